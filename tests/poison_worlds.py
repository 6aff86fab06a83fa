"""Clean rounds and poison: a log as it should be, its twin with one bad thing in the middle, and what each teaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bandits.policy import Policy
from recsys.clocks import FixedClock
from recsys.eventlog import Entry
from recsys.features import VERSION
from recsys.vocabulary import NOTHING, Body, Decision, Floats, Outcome, Token
from serving.bootstrap import Installation, compose
from serving.commands.learn import learner_of
from serving.learner_loop import LearnerLoop
from serving.settings import Settings
from tests.bandit_worlds import drawn_decision, moment, products
from tests.builders import START, outcome
from tests.service import apply_products

Poison: TypeAlias = Callable[[Decision], list[Body]]
"""A clean decision that nobody has logged → the poisoned events it would become."""
EVERY = timedelta(minutes=7)
LONG_AFTER = timedelta(days=40)  # every window has closed


def clean(number: int) -> tuple[Decision, list[Body]]:
    """One decision of a customer of its own, and its outcomes: pots are tapped and opened, the rest seldom."""
    at = START + number * EVERY
    drawn = drawn_decision(number)
    drawn = replace(
        drawn,
        token=Token(f"t-{number}"),
        made_at=at,
        expires_at=at + timedelta(hours=1),
        versions=replace(drawn.versions, features=VERSION),
    )
    return drawn, reports(drawn, seed=number)


def reports(drawn: Decision, *, seed: int, liked: str = "pot", source: str = "") -> list[Body]:
    """What came of a decision."""
    rng, told = np.random.default_rng(seed), list[Body]()
    for slot in drawn.shown:
        kinds = ["seen"]
        if rng.random() < (0.6 if slot.product_id == liked else 0.1):
            kinds += ["tapped"] if rng.random() < 0.5 else ["tapped", "opened"]
        told += [
            replace(
                outcome(
                    f"{drawn.decision_id}-{slot.number}-{kind}",
                    token=str(drawn.token),
                    product_id=slot.product_id,
                    kind=kind,
                    happened_at=drawn.made_at + timedelta(minutes=1),
                    decision_id=drawn.decision_id,
                ),
                source=source,
            )
            for kind in kinds
        ]
    return told


@dataclass(frozen=True, slots=True)
class Learned:
    """A home after its log was learned."""

    home: Installation
    loop: LearnerLoop
    policies: Mapping[str, Policy]

    def scores(self) -> Floats:
        """(policies · 100, n) every policy's scores at a hundred moments: they move before a pmf does."""
        return np.array([policy.scores(moment(seed), products()) for policy, seed in self._asked()])

    def pmfs(self) -> Floats:
        """(policies · 100, n) every policy's pmf at the same."""
        open_ = np.ones(len(products()), dtype=np.bool_)
        told = zip(self._asked(), self.scores(), strict=True)
        return np.array([policy.pmf(scores, open_=open_) for (policy, _), scores in told])

    def _asked(self) -> list[tuple[Policy, int]]:
        return [(policy, seed) for _, policy in sorted(self.policies.items()) for seed in range(100)]

    def counts(self, recipe: str = "bandit") -> dict[str, int]:
        """What became of the lessons of a recipe."""
        counts = self.loop.counts()
        return {state: counts[f"{state}_{recipe}"] for state in ("received", "learned", "waiting", "quarantined")} | {
            "superseded": counts[f"superseded_{recipe}"]
        }


def opened(folder: Path, **settings: object) -> Installation:
    """A home with the bank's catalogue and a clock that the test sets."""
    apply_products(folder)
    return compose(Settings(home=folder, **settings), clock=FixedClock(START))  # type: ignore[arg-type]


def append(home: Installation, bodies: Sequence[Body], *, after: timedelta) -> None:
    """Log bodies, recorded so long after the start."""
    assert isinstance(home.clock, FixedClock)
    home.clock.set(START + after)
    home.log.append([Entry(body) for body in bodies])


def live(home: Installation, rounds: Sequence[int], *, poison: Sequence[Body] = (), at: int | None = None) -> None:
    """Log clean rounds, with the poison in the middle of them (or at a round)."""
    middle = rounds[len(rounds) // 2] if at is None else at
    for number in rounds:
        if number == middle:
            append(home, poison, after=number * EVERY)
        drawn, told = clean(number)
        append(home, [drawn, *told], after=number * EVERY + timedelta(minutes=1))


def close(home: Installation) -> None:
    """Somebody comes by long after: every window closes."""
    assert isinstance(home.clock, FixedClock)
    last = home.log.last_position()
    at = home.log.recorded_at(last) - START + LONG_AFTER
    append(home, [outcome(f"later-{last}", happened_at=START)], after=at)


def learned(home: Installation) -> Learned:
    """Read everything, publish, and keep the policies."""
    close(home)
    loop = learner_of(home)
    loop.catch_up()
    loop.publish()
    home.live.refresh()
    found = {name: home.live.policy(name) for name in ("bandit", "popularity")}
    return Learned(home, loop, {name: each.policy for name, each in found.items() if each is not None})


# -- the poisons ------------------------------------------------------------------------------


_PENCE = 10**9


def _tapped(bad: Decision) -> list[Body]:
    """A poisoned decision, all of whose slots were seen, tapped and opened."""
    told: list[Body] = [bad]
    for slot in bad.shown:
        for kind in ("seen", "tapped", "opened"):
            name = f"{bad.decision_id}-{slot.number}-{kind}"
            at = bad.made_at + timedelta(minutes=1)
            told.append(
                Outcome(
                    name, bad.token, slot.product_id, kind, at, bad.decision_id, 10**9 if kind == "opened" else None
                )
            )
    return told


def _seen_lately(value: float) -> Poison:
    def poison(drawn: Decision) -> list[Body]:
        bad = tuple(replace(each, seen_lately=value) for each in drawn.candidates)
        return _tapped(replace(drawn, candidates=bad))

    return poison


def _feature(value: float) -> Poison:
    def poison(drawn: Decision) -> list[Body]:
        values = (value, *drawn.context.values[1:])
        return _tapped(replace(drawn, context=replace(drawn.context, values=values)))

    return poison


def _propensity(value: float) -> Poison:
    """In the slot and in the pmf, so that only its size speaks against it."""

    def poison(drawn: Decision) -> list[Body]:
        pmfs, rows = drawn.pmfs.copy(), [each.product_id for each in drawn.candidates]
        for k, slot in enumerate(drawn.shown):
            pmfs[k, rows.index(slot.product_id)] = value
        slots = tuple(replace(s, propensity=value) if s.product_id != NOTHING else s for s in drawn.slots)
        return _tapped(replace(drawn, pmfs=pmfs, slots=slots))

    return poison


def _another_propensity(drawn: Decision) -> list[Body]:
    return _tapped(replace(drawn, slots=tuple(replace(s, propensity=s.propensity / 2) for s in drawn.slots)))


def _swollen_pmf(drawn: Decision) -> list[Body]:
    shown = np.array([[each.product_id == slot.product_id for each in drawn.candidates] for slot in drawn.slots])
    return _tapped(replace(drawn, pmfs=drawn.pmfs + 0.5 * ~shown))


def _wrong_outcome(drawn: Decision) -> list[Body]:
    """A tap on what a clean decision never showed."""
    known, _ = clean(3)
    return [outcome("wrong", token=str(known.token), product_id="mortgage", kind="tapped", decision_id="d-3")]


def _wrong_slot(drawn: Decision) -> list[Body]:
    """A record whose slots hold products that were no candidates."""
    slots = tuple(replace(slot, product_id=f"{slot.product_id}-x") for slot in drawn.slots)
    return _tapped(replace(drawn, slots=slots))


def _unknown_version(drawn: Decision) -> list[Body]:
    return _tapped(replace(drawn, versions=replace(drawn.versions, features="of another house")))


def _duplicates(drawn: Decision) -> list[Body]:
    """A thousand times what was told before: under the same ids, and under new ones."""
    _, told = clean(3)
    again = [body for body in told if isinstance(body, Outcome)]
    fresh = [replace(body, outcome_id=f"{body.outcome_id}-again-{n}") for n in range(500) for body in again]
    return [*again * 500, *fresh]


POISONS: Mapping[str, Poison] = {
    "inf": _seen_lately(float("inf")),
    "NaN": _seen_lately(float("nan")),
    "1e9": _feature(1e9),
    "propensity 0": _propensity(0.0),
    "propensity 1.7": _propensity(1.7),
    "propensity not the pmf's": _another_propensity,
    "a pmf that sums to more than 1": _swollen_pmf,
    "an outcome of a product never shown": _wrong_outcome,
    "a slot that was no candidate": _wrong_slot,
    "features nobody knows": _unknown_version,
    "duplicate flood": _duplicates,
}


def poisoned(kind: str) -> list[Body]:
    """The events of one kind of poison."""
    drawn = next(each for number in range(1_000_000, 1_001_000) if len((each := clean(number)[0]).shown) == 3)
    at = START + timedelta(hours=1)
    return POISONS[kind](replace(drawn, decision_id=f"poison-{kind}", token=Token("t-poison"), made_at=at))
