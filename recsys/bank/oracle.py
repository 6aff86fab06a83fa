"""The best that could be shown, and what simple policies are worth, in closed form.

Examination is additive (domain 3.10): a slate is worth the sum over places of P(seen) × the value of
the product there. So the best slate sorts eligible products by value and drops those that are worth
nothing; under a limit for each family taking them greedily is still best (a partition matroid, and
places only get worse). Values come from `Bank.values`, so regret is expected regret, without noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints
from recsys.vocabulary import Bools, Floats


def slate_value(values: Floats, rows: Sequence[int], *, examination: Floats) -> float:
    """Expected points of showing the products `rows` of `values` (P,), best place first.

    >>> slate_value(np.array([1.0, 4.0]), [1, 0], examination=np.array([0.5, 0.25]))
    2.25
    """
    return float(values[list(rows)] @ examination[: len(rows)])


def best_slate(
    values: Floats,
    *,
    eligible: Bools,
    examination: Floats,
    families: Sequence[str] = (),
    per_family: int | None = None,
) -> tuple[int, ...]:
    """Rows of the best slate: eligible, worth more than nothing, at most `per_family` of one family.

    >>> best_slate(np.array([1.0, 4.0, -1.0]), eligible=np.ones(3, dtype=bool), examination=np.array([0.5, 0.2, 0.1]))
    (1, 0)
    """
    chosen: list[int] = []
    taken: dict[str, int] = {}
    for row in np.argsort(-values, kind="stable").tolist():
        if len(chosen) == len(examination) or values[row] <= 0.0:
            break
        family = families[row] if families else ""
        if eligible[row] and (per_family is None or taken.get(family, 0) < per_family):
            chosen.append(row)
            taken[family] = taken.get(family, 0) + 1
    return tuple(chosen)


def slates_of(
    scores: Floats,
    *,
    eligible: Bools,
    slots: int,
    families: Ints | None = None,
    per_family: int | None = None,
) -> Ints:
    """(n, slots) columns of the slates that sort eligible products by score, -1 where nothing is shown.

    `scores` and `eligible` are (n, P). A product whose score is not above 0 is not shown, nor is one
    beyond `per_family` of its family (`families` (P,) numbers them). Of the true values this is a best slate.

    >>> slates_of(np.array([[1.0, 4.0, -1.0]]), eligible=np.ones((1, 3), dtype=bool), slots=2).tolist()
    [[1, 0]]
    """
    wanted = np.where(eligible & (scores > 0.0), scores, -np.inf)
    order = np.argsort(-wanted, axis=1, kind="stable")
    if per_family is None or families is None:
        order = order[:, :slots]
        return np.where(np.take_along_axis(wanted, order, axis=1) > -np.inf, order, -1)
    shown = np.full((len(scores), slots), -1)
    filled = np.zeros(len(scores), dtype=np.int64)
    taken = np.zeros((len(scores), int(families.max()) + 1), dtype=np.int64)
    everyone = np.arange(len(scores))
    for columns in order.T:
        fits = (wanted[everyone, columns] > -np.inf) & (filled < slots)
        fits &= taken[everyone, families[columns]] < per_family
        rows = everyone[fits]
        shown[rows, filled[rows]] = columns[rows]
        taken[rows, families[columns[rows]]] += 1
        filled[rows] += 1
    return shown


def slates_value(values: Floats, shown: Ints, *, examination: Floats) -> Floats:
    """(n,) expected points of `shown` (n, k), columns of `values` (n, P) by place, -1 for none."""
    worth = np.where(shown >= 0, np.take_along_axis(values, np.maximum(shown, 0), axis=1), 0.0)
    total: Floats = worth @ examination[: shown.shape[1]]
    return total


def best_values(values: Floats, *, eligible: Bools, examination: Floats, score: Floats | None = None) -> Floats:
    """(n,) worth of the slate that sorts eligible products by `score` (default: their true value).

    `values`, `eligible` and `score` are (n, P). A product whose score is not above 0 is not shown.
    """
    shown = slates_of(values if score is None else score, eligible=eligible, slots=len(examination))
    return slates_value(values, shown, examination=examination)


@dataclass(frozen=True, slots=True, eq=False)
class Regret:
    """Expected points lost, (n,) each: by the policy under the rules, and by the rules themselves."""

    policy: Floats  # best slate under the rules - what was shown
    compliance: Floats  # best slate in the world's own sense - best slate under the rules


def regret_of(
    values: Floats,
    shown: Ints,
    *,
    suited: Bools,
    allowed: Bools,
    examination: Floats,
    families: Ints | None = None,
    per_family: int | None = None,
) -> Regret:
    """Regret of what was `shown` (n, k), columns by place, -1 for none; `values` (n, P).

    `suited` (n, P) is the world's own sense of what could be opened, `allowed` (n, P) what the rules let
    through of it; the limit of one family belongs to the rules. Compliance regret is for information:
    nobody may act on it.
    """
    slots = len(examination)
    lawful = slates_of(values, eligible=suited & allowed, slots=slots, families=families, per_family=per_family)
    best = slates_value(values, lawful, examination=examination)
    free = best_values(values, eligible=suited, examination=examination)
    return Regret(best - slates_value(values, shown, examination=examination), free - best)


def expected_uniform(values: Floats, *, eligible: Bools, examination: Floats, null_allowed: bool = False) -> Floats:
    """(n,) worth of a uniform order over the eligible; `values` and `eligible` are (n, P).

    Every eligible product is equally likely in every filled place, so the worth is their mean value
    times the examination of the filled places. Where the null choice is one of the draws it ends
    the slate: of m eligible products, place k (from 1) is filled with probability (m + 1 − k) / (m + 1).

    >>> both = np.array([[True, True]])
    >>> expected_uniform(np.array([[1.0, 3.0]]), eligible=both, examination=np.array([0.6, 0.3, 0.1]))
    array([1.8])
    """
    counts = eligible.sum(axis=1)[:, None]
    left = counts + 1 - np.arange(1, len(examination) + 1)[None, :]  # products still open, the place's own included
    filled = np.maximum(left, 0) / (counts + 1) if null_allowed else (left > 0).astype(np.float64)
    mean = np.where(eligible, values, 0.0).sum(axis=1) / np.maximum(counts[:, 0], 1)
    worth: Floats = mean * (filled @ examination)
    return worth


def fixed_list(order: Sequence[int], *, eligible: Bools, length: int) -> tuple[int, ...]:
    """The first `length` products of `order` that are eligible (P,).

    >>> fixed_list([2, 0, 1], eligible=np.array([True, True, False]), length=2)
    (0, 1)
    """
    return tuple(row for row in order if eligible[row])[:length]


def fixed_values(order: Sequence[int], values: Floats, *, eligible: Bools, examination: Floats) -> Floats:
    """(n,) worth of showing everyone the same order, each without what they may not have."""
    rank = np.empty(len(order))
    rank[list(order)] = np.arange(len(order), 0, -1)
    return best_values(values, eligible=eligible, examination=examination, score=np.tile(rank, (len(values), 1)))


def best_fixed(values: Floats, *, eligible: Bools, examination: Floats) -> tuple[int, ...]:
    """A best fixed order: by mean value where eligible, then swapping neighbours while that helps."""
    mean = np.where(eligible, values, 0.0).sum(axis=0) / np.maximum(eligible.sum(axis=0), 1)
    order = np.argsort(-mean, kind="stable").tolist()

    def worth(candidate: Sequence[int]) -> float:
        return float(fixed_values(candidate, values, eligible=eligible, examination=examination).sum())

    best = worth(order)
    for place in [*range(6), *range(6)]:
        if place + 1 < len(order):
            swapped = [*order[:place], order[place + 1], order[place], *order[place + 2 :]]
            if (gained := worth(swapped)) > best:
                order, best = swapped, gained
    return tuple(order)


def per_customer(worth: Floats, *, rows: Ints) -> Mapping[int, float]:
    """Total worth by customer row, of visits' `worth` (n,) and `rows` (n,); the customer is the sample."""
    found, places = np.unique(rows, return_inverse=True)
    totals = np.bincount(places, weights=worth)
    return dict(zip(found.tolist(), totals.tolist(), strict=True))
