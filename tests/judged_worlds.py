"""A home whose log was drawn by a known policy from customers whose taps are known: truth in closed form."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from bandits.baselines import UniformPolicy
from bandits.drawing import Drawn, MaskOf, draw_slate
from bandits.policy import Policy
from recsys import features
from recsys.catalogue import Surface
from recsys.clocks import FixedClock
from recsys.eventlog import Entry
from recsys.vocabulary import (
    NOTHING,
    Body,
    Candidate,
    Context,
    Decision,
    Fact,
    FactValue,
    Floats,
    Outcome,
    Permissions,
    Slot,
    Token,
)
from serving.bootstrap import Installation, compose
from serving.settings import Settings
from serving.slates import mask_of
from tests import builders
from tests.builders import START
from tests.service import ADULT, apply_products

PRODUCTS = ("pot", "cash-isa", "round-ups", "budgeting")
SEEN = (0.9, 0.6)
_APPEAL = np.array([1.2, -0.4, 0.3, -0.8])
_SLOPE = np.array([-1.0, 1.5, 0.2, 0.6])


def rates(x: float) -> Floats:
    """(5,) chance of a tap on each product and on nothing, if seen."""
    return np.append(1.0 / (1.0 + np.exp(-(_APPEAL + _SLOPE * x))), 0.0)


def candidates(*, null: bool = True) -> tuple[Candidate, ...]:
    real = tuple(Candidate(product, f"{product}-a") for product in PRODUCTS)
    return (*real, Candidate(NOTHING)) if null else real


@dataclass(slots=True)
class World:
    """A home, and what was drawn in it."""

    home: Installation
    contexts: list[float]
    clock: FixedClock

    def value(self, policy: Policy, *, slots: int = 2) -> float:
        """What a policy is worth a round in taps, exactly, at the logged contexts: every slate enumerated."""
        return float(np.mean([self._value(policy, x, slots=slots) for x in self.contexts]))

    def _value(self, policy: Policy, x: float, *, slots: int) -> float:
        offered, chance = candidates(), rates(x)
        mask = mask_of(offered, offer=self.home.offers.current, surface=self.surface)
        scores = policy.scores(context_of(x), offered)

        def worth(above: tuple[int, ...]) -> float:
            place = len(above)
            if place == slots or (above and offered[above[-1]].product_id == NOTHING):
                return 0.0
            open_ = np.array(mask(above))
            open_[list(above)] = False
            if not open_.any():
                return 0.0
            pmf = policy.pmf(scores, open_=open_)
            return sum(
                float(pmf[row]) * (SEEN[place] * float(chance[row]) + worth((*above, row)))
                for row in np.flatnonzero(pmf).tolist()
            )

        return worth(())

    @property
    def surface(self) -> Surface:
        return self.home.offers.current.catalogue.surfaces["home"]


def context_of(x: float) -> Context:
    return Context(("x",), (x,))


def world(
    folder: Path,
    *,
    decisions: int = 1_500,
    customers: int = 300,
    days: int = 60,
    policy: Policy | None = None,
    claims: Policy | None = None,
    seed: int = 1,
    facts: Mapping[str, FactValue] = ADULT,
    mode: Callable[[int], str] = lambda n: "live",
    **settings: object,
) -> World:
    """Live some days: uniform slates of two on `home`, tapped by known chances; then quiet until all windows close.

    With `claims`, the log tells the probabilities of that policy instead of the one that drew.
    """
    settings = {"champion": "uniform", **settings}
    apply_products(folder)
    clock = FixedClock(START)
    home = compose(Settings(home=folder, **settings), clock=clock)  # type: ignore[arg-type]
    rng, numbers, drawer = np.random.default_rng(seed), itertools.count(), policy or UniformPolicy()
    offered = candidates()
    made = World(home, [], clock)
    mask = mask_of(offered, offer=home.offers.current, surface=made.surface)
    waiting: list[Body] = []
    whose = rng.integers(0, customers, decisions)
    nature = rng.normal(size=customers)
    held = {name: Fact(value, START) for name, value in facts.items()}
    for n in range(decisions):
        at = START + timedelta(days=days) * (n / decisions)
        x = float(nature[whose[n]] + 0.3 * rng.normal())
        name = f"d-{seed}-{n}"
        drawn = draw_slate(drawer, context_of(x), offered, length=2, decision_id=name, mask_of=mask)
        if claims is not None:
            drawn = _claimed(drawn, claims, x=x, mask=mask)
        slots = tuple(
            Slot(k + 1, offered[row].product_id, offered[row].creative_id, p)
            for k, (row, p) in enumerate(zip(drawn.rows, drawn.propensities, strict=True))
        )
        plain = builders.decision(name, token=f"t-{whose[n]}", made_at=at, candidates=PRODUCTS, unit=f"u-{whose[n]}")
        decision = replace(
            plain,
            policy=(claims or drawer).name,
            mode=mode(n),
            n_slots=2,
            context=context_of(x),
            candidates=offered,
            scores=drawn.scores,
            pmfs=drawn.pmfs,
            slots=slots,
            facts=held,
            permissions=Permissions(in_app=True),
            versions=replace(plain.versions, catalogue=home.offers.current.catalogue.digest, features=features.VERSION),
        )
        made.contexts.append(x)
        clock.set(at)
        waiting += [decision, *_outcomes(decision, drawn.rows, x=x, rng=rng, numbers=numbers, at=at)]
        if n % 25 == 24 or n + 1 == decisions:
            home.log.append([Entry(body) for body in waiting])
            waiting.clear()
    clock.set(START + timedelta(days=days + 20))
    home.log.append([Entry(Outcome("last", Token("t-0"), "pot", "opened", clock.now()))])  # the watermark moves on
    return made


def _claimed(drawn: Drawn, claims: Policy, *, x: float, mask: MaskOf) -> Drawn:
    scores = claims.scores(context_of(x), candidates())
    pmfs = []
    for place in range(len(drawn.rows)):
        open_ = np.array(mask(drawn.rows[:place]))
        open_[list(drawn.rows[:place])] = False
        pmfs.append(claims.pmf(scores, open_=open_))
    propensities = tuple(float(pmf[row]) for pmf, row in zip(pmfs, drawn.rows, strict=True))
    return Drawn(scores, np.array(pmfs).reshape(-1, len(scores)), drawn.rows, propensities)


def _outcomes(
    decision: Decision,
    rows: Sequence[int],
    *,
    x: float,
    rng: np.random.Generator,
    numbers: itertools.count[int],
    at: datetime,
) -> list[Outcome]:
    found = []
    for place, row in enumerate(rows):
        product = decision.candidates[row].product_id
        if product == NOTHING or rng.random() > SEEN[place]:
            continue
        kinds = ["seen", *(["tapped"] if rng.random() < rates(x)[row] else [])]
        found += [
            Outcome(
                f"o-{decision.decision_id}-{next(numbers)}", decision.token, product, kind, at, decision.decision_id
            )
            for kind in kinds
        ]
    return found
