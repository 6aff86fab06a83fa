"""What policies are worth in closed form, on the very states the bandit met.

The bank knows what each card is worth to each customer at each visit; the log knows which products
were eligible and the distributions the slots were drawn from. Nothing here has outcome noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from recsys.bank.oracle import best_slate, slate_value
from recsys.catalogue import Catalogue
from recsys.vocabulary import Bools, Decision, Floats, ProductId
from serving.demo import EXPERIMENT, Run

UNRULED = "oracle without rules"
"""The best slate if anything might be shown: what it is worth beyond the oracle is what compliance costs."""

_STRENGTH = 20.0  # lessons' weight of the mean of all products, so that a product shown twice leads no list


def worth_of(run: Run) -> tuple[list[int], dict[str, list[float]]]:
    """(customer row of each judged visit, policy → points of each): the bandit's own visits only."""
    catalogue = run.home.offers.current.catalogue
    by_taps = _order(run, catalogue, score=lambda seen, tapped, opened, points: tapped / seen)
    by_value = _order(run, catalogue, score=lambda seen, tapped, opened, points: opened * points / seen)
    rows: list[int] = []
    worth: dict[str, list[float]] = {}
    for hour in run.judged:
        assert hour.values is not None
        mine = [n for n, a in enumerate(hour.answers) if a.mode == "live" and a.experiments.get(EXPERIMENT) == "bandit"]
        decisions = run.home.log.decisions([hour.answers[n].decision_id for n in mine])
        for n in mine:
            decision = decisions[hour.answers[n].decision_id].body
            assert isinstance(decision, Decision)
            rows.append(hour.visits[n].row)
            values = hour.values[n]
            seen = run.bank.examination(decision.surface)[: decision.n_slots]
            judged = _Judged(catalogue, decision, values, seen)
            for policy, points in {
                UNRULED: judged.unruled(),
                "oracle": judged.oracle(),
                "bandit": judged.as_drawn(),
                "popularity by taps": judged.listed(by_taps),
                "popularity by value": judged.listed(by_value),
                "uniform": judged.uniform(),
            }.items():
                worth.setdefault(policy, []).append(points)
    return rows, worth


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One decision beside the truth: `values` (products,) points if seen, `seen` (slots,) P(seen)."""

    catalogue: Catalogue
    decision: Decision
    values: Floats
    seen: Floats

    def oracle(self) -> float:
        """The best compliant slate."""
        surface = self.catalogue.surfaces[self.decision.surface]
        rows = best_slate(
            self.values,
            eligible=self._eligible(),
            examination=self.seen,
            families=_families(self.catalogue),
            per_family=surface.per_family,
        )
        return slate_value(self.values, rows, examination=self.seen)

    def unruled(self) -> float:
        """The best slate of anything that the customer could open, were there no rules, caps or rests."""
        rows = best_slate(self.values, eligible=np.ones(self.values.size, dtype=np.bool_), examination=self.seen)
        return slate_value(self.values, rows, examination=self.seen)

    def as_drawn(self) -> float:
        """Expected over each slot's logged distribution, given the slots above."""
        column = {product: row for row, product in enumerate(self.catalogue.ids)}
        worth = np.array([self.values[column[c.product_id]] if c.product_id in column else 0.0
                          for c in self.decision.candidates])  # fmt: skip
        return float((self.decision.pmfs @ worth) @ self.seen[: len(self.decision.pmfs)]) if worth.size else 0.0

    def listed(self, order: Sequence[int]) -> float:
        """The first eligible products of a fixed order, within the family limit."""
        eligible, families = self._eligible(), _families(self.catalogue)
        limit = self.catalogue.surfaces[self.decision.surface].per_family
        chosen: list[int] = []
        for row in order:
            if eligible[row] and sum(families[each] == families[row] for each in chosen) < limit:
                chosen.append(row)
            if len(chosen) == len(self.seen):
                break
        return slate_value(self.values, chosen, examination=self.seen)

    def uniform(self) -> float:
        """Uniform over what is open, the null choice included: exact, by recursion over the slots."""
        surface = self.catalogue.surfaces[self.decision.surface]
        chances = _uniform_marginals(
            tuple(np.flatnonzero(self._eligible()).tolist()),
            _families(self.catalogue),
            len(self.seen),
            surface.per_family,
            n_null=int(surface.null_allowed),
        )
        return float(self.seen @ (chances @ self.values))

    def _eligible(self) -> Bools:
        allowed = set(self.decision.verdicts.eligible())
        return np.array([product in allowed for product in self.catalogue.ids], dtype=np.bool_)


def _families(catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(product.family for product in catalogue.products)


@cache
def _uniform_marginals(
    eligible: tuple[int, ...], families: tuple[str, ...], length: int, per_family: int, *, n_null: int
) -> Floats:
    """(length, products) chance that each product stands in each slot under uniform drawing.

    States are families' counts, not products: products of one family are alike to the drawing.
    """
    names = sorted({families[row] for row in eligible})
    sizes = [sum(families[row] == name for row in eligible) for name in names]
    chances = np.zeros((length, len(families)))
    states = {tuple([0] * len(names)): 1.0}
    for slot in range(length):
        following: dict[tuple[int, ...], float] = {}
        family_chance = np.zeros(len(names))
        for taken, probability in states.items():
            left = [0 if used >= per_family else size - used for used, size in zip(taken, sizes, strict=True)]
            total = sum(left) + n_null
            for place, n in enumerate(left):
                if n:
                    share = probability * n / total
                    family_chance[place] += share
                    after = (*taken[:place], taken[place] + 1, *taken[place + 1 :])
                    following[after] = following.get(after, 0.0) + share
        for row in eligible:
            place = names.index(families[row])
            chances[slot, row] = family_chance[place] / sizes[place]
        states = following
    return chances


def _order(run: Run, catalogue: Catalogue, *, score: Callable[[float, float, float, float], float]) -> list[int]:
    """Products by a score of their attributed counts in the first log, smoothed towards the mean of all."""
    tally = run.first.tally
    totals = {kind: sum(tally[kind, each] for each in catalogue.ids) for kind in ("seen", "tapped", "opened")}
    base = max(totals["seen"], 1)

    def scored(product_id: ProductId) -> float:
        seen, tapped, opened = (
            tally[kind, product_id] + _STRENGTH * totals[kind] / base for kind in ("seen", "tapped", "opened")
        )
        return score(max(seen, 1e-9), tapped, opened, catalogue.product(product_id).value)

    return sorted(range(len(catalogue.ids)), key=lambda row: -scored(catalogue.ids[row]))
