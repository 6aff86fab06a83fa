"""Puts states to an engine, holds whatever leaves it to the invariants, and finds the smallest state that fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from recsys.layers import Layers
from recsys.steering import Steering
from recsys.vocabulary import Decision, Fact, Profile
from tests.invariants import Answer, Case, broken_by
from tests.state_worlds import BANK, World
from tests.states import GOOD, Engine, State, contact_of, later_of, twin_of

OCCURRENCES = ("door", "path", "rung", "surface", "slots shown", "shown", "class", "override", "switch")
ALIKE = "MKT-3 OPS-7 unlike another objector"
LOGGED = "TRN-2 not the slate that the log gives back"
NO_ANSWER = "OPS-2 no answer"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that a state breaks; the state is found again by its seed (`states.state_of`)."""

    seed: int
    invariant: str
    door: str
    why: str = ""


class Watch:
    """Sees state after state; keeps violations and counts what occurred."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.found: list[Violation] = []
        self.occurred: dict[str, Counter[str]] = {name: Counter() for name in OCCURRENCES}
        self._alike: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._world: World | None = None

    def see(self, state: State) -> list[Violation]:
        """Every new violation of one state."""
        try:
            found = list(self._all(state))
        except Exception as error:  # whatever it was: a customer would have had no answer
            found = [Violation(state.seed, NO_ANSWER, "decided", f"{type(error).__name__}: {error}")]
        self.found += found
        return found

    def _all(self, state: State) -> Iterator[Violation]:
        decision = self.engine.decide(state)
        answer = Answer.read("decided", self.engine.told(decision), decision)
        self._count(state, answer)
        yield from self._held(state, answer)
        if decision.purpose == "service" and not self._like_others(state, decision):
            yield Violation(state.seed, ALIKE, "decided")
        match state.seed % 8:
            case 0:
                self.occurred["door"]["unlogged"] += 1
                slots, why = self.engine.unlogged(state)
                yield from self._held(state, Answer("unlogged", slots, why, None))
            case 1 | 2 if decision.shown:
                later = later_of(state, decision)
                again = self.engine.repeated(later, decision)
                self.occurred["door"]["repeated as it was" if again.slots else "repeated, and withdrawn"] += 1
                yield from self._held(later, Answer.read("repeated", self.engine.told(again), again))
            case 3 if _seen(self.engine.logged(decision)) != _seen(decision):
                yield Violation(state.seed, LOGGED, "logged")
            case 4 | 5 if decision.purpose == "service" and state.profile is not None and decision.surface != "push":
                # what is sent is capped for each by what was sent to them before, whatever the slate (MKT-7)
                self.occurred["door"]["twin"] += 1
                if _seen(self.engine.decide(twin_of(state))) != _seen(decision):
                    yield Violation(state.seed, ALIKE, "twin")

    def _held(self, state: State, answer: Answer) -> Iterator[Violation]:
        yield from (Violation(state.seed, name, answer.door) for name in broken_by(Case(state, answer)))

    def _like_others(self, state: State, decision: Decision) -> bool:
        """Whether all who may see the same on the same list do (MKT-3)."""
        if self._world is not state.world:
            self._world = state.world
            self._alike.clear()
        key = (decision.surface, decision.n_slots, decision.policy, state.ask.query, decision.verdicts.eligible())
        return self._alike.setdefault(key, _seen(decision)) == _seen(decision)

    def _count(self, state: State, answer: Answer) -> None:
        decision, occurred = answer.decision, self.occurred
        assert decision is not None
        occurred["door"]["decided"] += 1
        occurred["path"]["personalised" if answer.personal else "the same for everyone"] += 1
        occurred["rung"][decision.mode] += 1
        occurred["surface"][decision.surface] += 1
        occurred["slots shown"][str(len(answer.slots))] += 1
        occurred["override"].update(override.split(":")[1] for override in decision.overrides)
        occurred["switch"].update(s.scope for s in state.steering.off(state.at))
        for slot in answer.slots:
            product = state.world.catalogue.product(slot.product_id)
            occurred["shown"][product.regulated_class] += 1
            occurred["class"][product.communication_class.value] += 1


def _seen(decision: Decision) -> tuple[object, ...]:
    """What a customer sees of a decision, and what is logged of it."""
    return tuple((s.number, s.product_id, s.creative_id, s.propensity, s.reasons) for s in decision.slots)


# -- the smallest state that fails ---------------------------------------------------------------


def smallest(state: State, fails: Callable[[State], bool]) -> State:
    """The state with everything taken away, or put back to what is ordinary, that it fails without."""
    moved = True
    while moved:
        moved = False
        for simpler in _simpler(state):
            if fails(simpler):
                state, moved = simpler, True
                break
    return state


def _simpler(state: State) -> Iterator[State]:
    steering, world, profile = state.steering, state.world, state.profile
    for switch in steering.switches:
        left = tuple(each for each in steering.switches if each is not switch)
        yield replace(state, steering=Steering(1, left, steering.overrides))
    for override in steering.overrides:
        others = tuple(each for each in steering.overrides if each is not override)
        yield replace(state, steering=Steering(1, steering.switches, others))
    for n in range(len(state.happened)):
        happened = (*state.happened[:n], *state.happened[n + 1 :])
        known = None if profile is None else replace(profile, contact=contact_of(happened, at=state.at))
        yield replace(state, happened=happened, profile=known)
    ask = state.ask
    for plain in (replace(ask, candidates=None), replace(ask, exclude=()), replace(ask, given={})):
        if plain != ask:
            yield replace(state, ask=plain)
    if ask.slots > 1:
        yield replace(state, ask=replace(ask, slots=ask.slots - 1))
    if state.redraws:
        yield replace(state, redraws=0)
    if profile is not None:
        yield from (replace(state, profile=simpler) for simpler in _simpler_profiles(profile, at=state.at))
    for product in world.catalogue.products:
        products = tuple(each for each in world.catalogue.products if each is not product)
        yield replace(state, world=replace(world, catalogue=replace(world.catalogue, products=products)))
    for n, product in enumerate(world.catalogue.products):
        if product is not (own := BANK.product(product.product_id)):
            products = (*world.catalogue.products[:n], own, *world.catalogue.products[n + 1 :])
            yield replace(state, world=replace(world, catalogue=replace(world.catalogue, products=products)))
    if world.retriever is not None or world.layers != Layers((), holdout_share=0.0):
        yield replace(state, world=replace(world, retriever=None, layers=Layers((), holdout_share=0.0)))


def _simpler_profiles(profile: Profile, *, at: datetime) -> Iterator[Profile]:
    for name, value in GOOD.items():
        fact = profile.facts.get(name)
        if name != "pre_eligible_until" and (fact is None or fact.value != value):
            yield replace(profile, facts={**profile.facts, name: Fact(value, at)})


def told(state: State) -> str:
    """A state in words: whatever is not as with somebody who may see everything in the synthetic bank."""
    profile, ask = state.profile, state.ask
    lines = [f"seed {state.seed}, world {state.world.number}: {state.at.isoformat()}, {ask}, redraws {state.redraws}"]
    lines.append(f"policies: {state.world.policies or 'none published'}")
    for product in state.world.catalogue.products:
        own = BANK.product(product.product_id)
        changed = [n for n in product.__dataclass_fields__ if getattr(product, n) != getattr(own, n)]
        lines.append(f"product {product.product_id} {({name: getattr(product, name) for name in changed}) or ''}")
    if profile is None:
        return "\n".join([*lines, "nobody can say who asks"])
    lines.append(f"{profile.permissions}")
    facts = {name: fact for name, fact in profile.facts.items() if fact.value != GOOD.get(name)}
    lines += [f"fact {name} = {fact.value!r} as of {fact.as_of.isoformat()}" for name, fact in facts.items()]
    lines += [f"not known: {', '.join(missing)}"] if (missing := sorted(set(GOOD) - set(profile.facts))) else []
    lines += [f"{each.kind} {each.product_id} {state.at - each.at} ago ({each.decision_id})" for each in state.happened]
    return "\n".join([*lines, *map(str, state.steering.switches), *map(str, state.steering.overrides)])
