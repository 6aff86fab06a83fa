"""Random states of the engine, each from its number alone: a bank, a customer, a moment, a question, and orders.

Some states share a *world*: some of the bank's products with other dates, classes and surfaces, and policies
that are sound, damaged or missing (tests/state_worlds.py). What is drawn is drawn near the edges that
requirements name (a birthday, the end of a tax year, the last second of a window), and a customer is mostly
somebody who may see everything, with a few things changed: else no state would come near what is forbidden.

`Engine` puts a state to the real recommender, in process and without a database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from recsys import contactfile, reasonfile
from recsys.clocks import FixedClock
from recsys.contact import ContactPolicy
from recsys.eligibility import GB_RULES
from recsys.records import SCHEMA, decode, encode, parsed_part
from recsys.rulebook import RuleBook, load_book
from recsys.steering import UNREADABLE, Steering
from recsys.touches import DISMISSED, OPENED, OPTED_OUT, SEEN, SENT, mark_of, remembered, second_of
from recsys.vocabulary import (
    NO_CONTACT,
    Contact,
    CustomerId,
    Decision,
    Fact,
    FactValue,
    Override,
    Permissions,
    ProductId,
    Profile,
    Slot,
    Switch,
    Token,
)
from serving.answers import answer_of
from serving.explanations import Explainer
from serving.finding import SURFACE
from serving.offer import Offer
from serving.recommender import Recommender
from serving.slates import Ask
from tests.rules.people import CREDIT, EVERYTHING_ALLOWED
from tests.state_worlds import BANK, DAY, HOUR, REWARDS, World, world_of

PER_WORLD = 200
BOOK = load_book([GB_RULES])
CONTACT = contactfile.load(contactfile.DEFAULT)
EXPLAINER = Explainer(reasonfile.load(reasonfile.DEFAULT))
LONDON = ZoneInfo("Europe/London")
SECOND = timedelta(seconds=1)
EDGES = (-SECOND, timedelta(microseconds=-1), timedelta(0), timedelta(microseconds=1), SECOND)
GOOD: Mapping[str, FactValue] = {**EVERYTHING_ALLOWED, "date_of_birth": "1985-02-01", "household_id": None}
_STATUSES = ("active", "dormant", "bereaved", "closed", "fincrime_hold")
_TYPED = ("loan", "borrow", "savings", "isa", "pension", "pot", "overdraft", "card", "teen", "bills", "qzx", "£", "!!")
_FLAGS = ("no_credit", "no_push", "no_promotion", "plain_language")


@dataclass(frozen=True, slots=True)
class Touched:
    """One thing that happened to a customer, as a test keeps it beside the engine: nothing pruned, nothing merged."""

    kind: str
    product_id: ProductId
    at: datetime
    decision_id: str | None


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything that a decision depends on; `profile` None where nobody can say who asks."""

    seed: int
    world: World
    at: datetime
    profile: Profile | None
    happened: tuple[Touched, ...]
    ask: Ask
    steering: Steering
    redraws: int = 0


def state_of(seed: int) -> State:
    """The state of this number."""
    return _state(seed, world_of(seed // PER_WORLD), Random(seed))


def _state(seed: int, world: World, dice: Random) -> State:
    at = _moment(dice, world)
    happened = _happened(dice, world, at)
    return State(
        seed=seed,
        world=world,
        at=at,
        profile=None if dice.random() < 0.02 else _profile(dice, seed, world, at, happened),
        happened=happened,
        ask=_ask(dice, world),
        steering=_steering(dice, world, at),
        redraws=0 if dice.random() < 0.95 else dice.randint(1, 6),
    )


def later_of(state: State, decision: Decision) -> State:
    """The same question asked again: later, after its own displays, under new orders, or by a changed customer."""
    dice = Random(f"later {state.seed}")
    at = state.at + dice.choice((HOUR, 12 * HOUR, DAY, 7 * DAY + SECOND, 20 * DAY))
    profile, happened, steering = state.profile, state.happened, state.steering
    if profile is not None and dice.random() < 0.5:
        own = [Touched(SEEN, slot.product_id, at - SECOND, decision.decision_id) for slot in decision.shown]
        if own and dice.random() < 0.3:
            own.append(replace(own[0], kind=DISMISSED))
        happened = (*happened, *own)
    if dice.random() < 0.3:
        steering = _steering(dice, state.world, at)
    if profile is not None and dice.random() < 0.5:
        changed = _profile(dice, state.seed, state.world, at, happened)
        kept = {**profile.facts, **dict(dice.sample(sorted(changed.facts.items()), min(len(changed.facts), 8)))}
        permissions = changed.permissions if dice.random() < 0.3 else profile.permissions
        profile = replace(profile, facts=kept, permissions=permissions)
    if profile is not None:
        profile = replace(profile, contact=contact_of(happened, at=at))
    return replace(state, at=at, profile=profile, happened=happened, steering=steering)


def twin_of(state: State) -> State:
    """Another objector with the same eligibility and the opposite history, for whom the slate must be the same."""
    assert state.profile is not None
    dice = Random(f"twin {state.seed}")
    facts = dict(state.profile.facts)
    facts["household_id"] = Fact(f"h-{dice.randrange(1000)}", state.at)
    facts["app_platform"] = Fact(dice.choice(("ios", "android")), state.at)
    if state.profile.value("status") == "fincrime_hold":
        facts["status"] = facts["status"]._replace(value="active")  # no signal may tell the two apart (OPS-7)
    said = tuple(each for each in state.happened if each.kind == DISMISSED)  # what a customer said counts everywhere
    silent = (Touched(each.kind, each.product_id, each.at, f"x-{n}") for n, each in enumerate(_burst(dice, state)))
    happened = (*said, *silent)
    profile = Profile(
        CustomerId("twin"), Token(f"twin-{state.seed}"), facts, Permissions(push=True, objected_at=state.at),
        contact=contact_of(happened, at=state.at),
    )  # fmt: skip
    return replace(state, profile=profile, happened=happened)


def contact_of(happened: Sequence[Touched], *, at: datetime) -> Contact:
    """What the engine remembers of all that happened."""
    if not happened:
        return NO_CONTACT
    fresh = [
        (
            each.kind,
            (second_of(each.at), each.product_id, "" if each.decision_id is None else mark_of(each.decision_id)),
        )
        for each in happened
    ]
    return remembered(NO_CONTACT, fresh, now=second_of(at), memory=CONTACT.memory)


# -- a moment ------------------------------------------------------------------------------------


def _moment(dice: Random, world: World) -> datetime:
    """Any time within three years, often on an edge."""
    at = datetime(2025, 9, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(3 * 365 * 86_400))
    match dice.randrange(10):
        case 0 | 1:
            return _local(at, dice.choice((time(21), time(8)))) + dice.choice(EDGES)
        case 2:
            return _local(at.replace(month=4, day=dice.choice((5, 6))), time(0)) + dice.choice(EDGES)
        case 3:
            month = dice.choice((3, 10))
            return _last_sunday(at.year, month) + dice.choice(EDGES) + dice.choice((HOUR * 0, HOUR, -HOUR))
        case 4:
            return datetime(dice.choice((2026, 2027, 2028)), 3, 1, tzinfo=UTC) - dice.choice((0, 1, 2)) * DAY
        case 5 | 6:
            turns = [each for p in world.catalogue.products for each in (p.launched_at, p.retired_at) if each]
            return dice.choice(turns) + dice.choice(EDGES) if turns else at
    return at


def _local(at: datetime, clock: time) -> datetime:
    """A time of day in London on the day of `at`."""
    return datetime.combine(at.date(), clock, LONDON).astimezone(UTC)


def _last_sunday(year: int, month: int) -> datetime:
    """When the clocks of London change."""
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - (last.weekday() + 1) % 7 * DAY


# -- a customer ----------------------------------------------------------------------------------


def _profile(dice: Random, seed: int, world: World, at: datetime, happened: Sequence[Touched]) -> Profile:
    told = at - timedelta(minutes=5)
    facts = {name: Fact(value, told) for name, value in GOOD.items()}
    facts["pre_eligible_until"] = Fact((at + 20 * HOUR).isoformat(), told)
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 2, 3, 5, 14))):
        name = dice.choice(_CHANGEABLE)
        facts[name] = Fact(CHANGES[name](dice, at), told)
    if dice.random() < 0.2:
        facts["held"] = Fact(tuple(dice.sample(BANK.ids, dice.randrange(5))), told)
    for _ in range(dice.choice((0, 0, 0, 0, 1, 2, 3))):
        _spoiled(dice, facts, at)
    if dice.random() < 0.03:
        facts = {}
    return Profile(
        CustomerId(f"c-{seed}"),
        Token(f"t-{seed}"),
        facts,
        _permissions(dice, at),
        contact=contact_of(happened, at=at),
    )


def _permissions(dice: Random, at: datetime) -> Permissions:
    objected = dice.choice((at, at - SECOND, at - 400 * DAY, at + HOUR)) if dice.random() < 0.2 else None
    chances = dice.random(), dice.random(), dice.random()
    return Permissions(chances[0] < 0.8, chances[1] < 0.7, dice.random() < 0.5, chances[2] < 0.6, objected)


def _spoiled(dice: Random, facts: dict[str, Fact], at: datetime) -> None:
    """One fact missing, known to be none, old, reported in another tax year, or of a kind that the border refuses."""
    name = dice.choice(_CHANGEABLE)
    if name not in facts:
        return
    match dice.randrange(5):
        case 0:
            del facts[name]
        case 1:
            facts[name] = facts[name]._replace(value=None)
        case 2 | 3:
            days = dice.choice((7, 31, 92, 366)) * DAY
            facts[name] = facts[name]._replace(as_of=at - days + dice.choice(EDGES))
        case 4:
            facts[name] = facts[name]._replace(value=dice.choice((True, "", "0", -1, 0.5, ("x",))))


def _born(dice: Random, at: datetime) -> str:
    """A day of birth on or beside a birthday that matters, or on a leap day."""
    if dice.random() < 0.2:
        return f"{dice.choice((1960, 1988, 2008, 2008, 2008, 2012))}-02-29"
    years = dice.choice((16, 17, 18, 18, 18, 18, 21, 22, 64, 65, 65, 90))
    day = at.astimezone(LONDON).date() + timedelta(days=dice.choice((-1, 0, 0, 1, 40)))
    return f"{day.year - years:04}-{day.month:02}-{day.day if (day.month, day.day) != (2, 29) else 28:02}"


def _days_ago(*days: int) -> Callable[[Random, datetime], FactValue]:
    return lambda dice, at: (at.astimezone(LONDON).date() - timedelta(days=dice.choice(days))).isoformat()


def _one_of(*values: FactValue) -> Callable[[Random, datetime], FactValue]:
    return lambda dice, at: dice.choice(values)


def _turned_on(dice: Random, at: datetime) -> FactValue:
    return True


def _turned_off(dice: Random, at: datetime) -> FactValue:
    return False


def _some_of(*values: str) -> Callable[[Random, datetime], FactValue]:
    return lambda dice, at: tuple(each for each in values if dice.random() < 0.4)


CHANGES: Mapping[str, Callable[[Random, datetime], FactValue]] = {
    "date_of_birth": _born,
    "age_verified": _turned_off,
    "residence": _one_of("IE", "FR", "gb"),
    "status": _one_of(*_STATUSES),
    "arrears_days": _one_of(0, 1, 30),
    "forbearance": _turned_on,
    "breathing_space": _turned_on,
    "insolvent": _turned_on,
    "persistent_debt": _turned_on,
    "at_risk_of_difficulty": _turned_on,
    "credit_declined_on": _days_ago(-1, 0, 1, 89, 90, 91, 1000),
    "limit_increase_opt_out": _turned_on,
    "direct_debit_failed_on": _days_ago(-1, 0, 29, 30, 31),
    "repeat_overdraft_use": _turned_on,
    "gambling_block": _turned_on,
    "gambling_spike": _turned_on,
    "pre_eligible": _some_of(*CREDIT, "pot"),
    "pre_eligible_until": lambda dice, at: (at + dice.choice((*EDGES, DAY, -DAY))).isoformat(),
    "treatment_flags": _some_of(*_FLAGS),
    "balance_pence": _one_of(-1, 0, 24_999, 25_000, 25_001, 10**9),
    "savings_pence": _one_of(0, 449_999, 450_000, 450_001),
    "monthly_income_pence": _one_of(0, 1_499_999, 1_500_000, 1_500_001),
    "monthly_spend_pence": _one_of(0, 1, 549_999, 550_000, 550_001),
    "isa_subscribed_pence": _one_of(0, 1_199_999, 1_200_000, 1_999_999, 2_000_000, 2_000_001),
    "held": lambda dice, at: tuple(dice.sample(BANK.ids, dice.randrange(8))),
    "signals": _some_of("sole_trader", "parent_of_teen", "saver"),
    "emergency_months": _one_of(0.0, 0.99, 1.0, 1, 2.99, 3.0),
    "has_defined_benefit_pension": _turned_on,
    "household_id": _one_of("h-1", "h-2", "h-3"),
}
"""How each fact may differ from that of somebody who may see everything."""

_CHANGEABLE = (*CHANGES, "date_of_birth", "isa_subscribed_pence", "arrears_days", "pre_eligible", "status")


def _happened(dice: Random, world: World, at: datetime) -> tuple[Touched, ...]:
    found: list[Touched] = []
    for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
        found += _run(dice, world.catalogue.ids if dice.random() < 0.9 else BANK.ids, at)
    return tuple(found)


def _burst(dice: Random, state: State) -> list[Touched]:
    """Much contact, and nothing said in answer to it."""
    runs = [_run(dice, state.world.catalogue.ids, state.at) for _ in range(4)]
    return [each for run in runs for each in run if each.kind != DISMISSED]


def _run(dice: Random, products: Sequence[ProductId], at: datetime) -> list[Touched]:
    """Some touches of one kind within one window, one of them perhaps just on its edge."""
    if not products:
        return []
    kind = dice.choice((SEEN, SEEN, SEEN, SENT, SENT, DISMISSED, OPENED, OPTED_OUT))
    window = dice.choice((1, 3, 7, 30, 30) if kind == SENT else (1, 1, 3, 7, 7, 30, 90)) * DAY
    times = dice.choice((1, 2, 3, 3, 6, 7)) if kind == SEEN else dice.choice((1, 1, 2, 3)) if kind == SENT else 1
    found = []
    for n in range(times):
        on_edge = n == 0 and dice.random() < 0.5
        back = window + dice.choice((-SECOND, SECOND * 0, SECOND)) if on_edge else window * dice.random()
        decision = None if kind not in (SENT, SEEN) or dice.random() < 0.1 else f"past-{dice.randrange(10**9)}"
        if kind == SENT and decision is None:
            decision = f"past-{dice.randrange(10**9)}"
        found.append(Touched(kind, products[0] if times > 4 else dice.choice(products), at - back, decision))
    if dice.random() < 0.2 and found[-1].decision_id is not None:
        found.append(found[-1])  # told twice
    return found


# -- a question, and orders ----------------------------------------------------------------------


def _ask(dice: Random, world: World) -> Ask:
    surfaces = world.catalogue.surfaces or BANK.surfaces
    surface = surfaces[dice.choice(tuple(surfaces))]
    given: dict[str, FactValue] = {}
    if dice.random() < 0.15:
        given["low_balance"] = dice.random() < 0.5
    if dice.random() < 0.1:
        given["payday_in_days"] = dice.randrange(31)
    ids = world.catalogue.ids
    among = tuple(each for each in ids if dice.random() < 0.6) if dice.random() < 0.15 else None
    exclude = tuple(each for each in ids if dice.random() < 0.3) if dice.random() < 0.15 else ()
    slots = dice.randint(1, surface.max_slots)
    if surface.name == SURFACE and dice.random() < 0.6:  # POST /v1/search: words, and nothing else
        return Ask(CustomerId("c"), SURFACE, slots, query=_words(dice, world))
    return Ask(CustomerId("c"), surface.name, slots, given, None, among, exclude)


def _words(dice: Random, world: World) -> str:
    """What somebody may type: words of texts, everyday words, slips of the keyboard, nonsense."""
    texts = [word for product in world.catalogue.products for word in f"{product.name} {product.text}".split()]
    words = [dice.choice((*_TYPED, *texts[: len(texts) // 2])) for _ in range(dice.choice((1, 1, 2, 3, 5)))]
    if dice.random() < 0.3:
        words[0] = words[0][:-1] or "?"
    return " ".join(words)


def _steering(dice: Random, world: World, at: datetime) -> Steering:
    chance = dice.random()
    if chance < 0.55:
        return Steering()
    if chance < 0.555:
        return UNREADABLE
    switches = tuple(_switch(dice, world, at) for _ in range(dice.choice((0, 0, 1, 1, 2, 3))))
    overrides = tuple(_override(dice, world, at, f"o-{n}") for n in range(dice.choice((0, 1, 1, 2, 3, 5))))
    return Steering(1, switches, overrides)


def _ends(dice: Random, at: datetime) -> datetime:
    return at + dice.choice((*EDGES, -DAY, *[30 * DAY] * 8))


def _switch(dice: Random, world: World, at: datetime) -> Switch:
    scope = dice.choice(("policy", "policy", "product", "product", "family", "surface", "everything"))
    policies = ("bandit", "bandit@7", "bandit@6", "popularity", "uniform", "static", "static@0", "empty")
    subjects: Mapping[str, Sequence[str]] = {
        "policy": policies,
        "product": BANK.ids,
        "family": ("savings", "credit", "features", "help"),
        "surface": tuple(BANK.surfaces),
        "everything": ("",),
    }
    ends = None if dice.random() < 0.1 else _ends(dice, at)
    return Switch(scope, dice.choice(subjects[scope]), dice.random() < 0.9, "a drill", "states", ends)


def _override(dice: Random, world: World, at: datetime, override_id: str) -> Override:
    action = dice.choice(("pin", "pin", "ban", "boost", "boost"))
    strength = {"pin": 1.0, "ban": 0.0, "boost": dice.choice((0.1, 0.5, 2.0, 10.0))}[action]
    surface = dice.choice(("", "", "", "home", "savings", "push"))
    withdrawn = _ends(dice, at) if dice.random() < 0.2 else None
    product = dice.choice(world.catalogue.ids or BANK.ids)
    return Override(override_id, action, product, strength, "any", "states", _ends(dice, at), surface, withdrawn)


# -- the engine ----------------------------------------------------------------------------------


class Engine:
    """The recommender over the world of the state that is put to it; with other rules or contact policy to break it."""

    def __init__(self, *, rules: RuleBook = BOOK, contact: ContactPolicy = CONTACT) -> None:
        self._rules, self._contact = rules, contact
        self._clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
        self._steering = Steering()
        self._world: World | None = None
        self._recommender: Recommender | None = None

    def _facing(self, state: State) -> Recommender:
        self._clock.set(state.at)
        self._steering = state.steering
        if self._recommender is None or self._world is not state.world:
            self._world = world = state.world
            offer = Offer(world.catalogue, self._rules, REWARDS, world.retriever, self._contact)
            self._recommender = Recommender(
                ladder=world.ladder,
                offer=lambda: offer,
                layers=lambda: world.layers,
                steering=lambda: self._steering,
                clock=self._clock,
                traffic=world.traffic,
                explainer=EXPLAINER,
                new_id=lambda: "never",
            )
        return self._recommender

    def decide(self, state: State) -> Decision:
        """The decision of a state."""
        recommender = self._facing(state)
        return recommender.decide(
            state.ask, profile=state.profile, decision_id=f"d-{state.seed}", redraws=state.redraws
        )

    def repeated(self, state: State, decision: Decision) -> Decision:
        """A decision that is given again in a later state."""
        return self._facing(state).repeated(decision, profile=state.profile)

    def unlogged(self, state: State) -> tuple[tuple[Slot, ...], str | None]:
        """What anybody is shown while nothing can be logged."""
        return self._facing(state).unlogged(state.ask)

    def told(self, decision: Decision) -> dict[str, Any]:
        """A decision as the app reads it."""
        return answer_of(decision)

    def logged(self, decision: Decision) -> Decision:
        """A decision as the log gives it back."""
        record = encode(decision)
        read = decode(
            record.kind,
            record.text,
            token=record.token,
            schema=SCHEMA,
            lookup=lambda part: parsed_part(record.parts[part]),
        )
        assert isinstance(read, Decision)
        return read
