"""Slates drawn for many visits at once, with the exact probability of every draw.

A policy gives scores; a rule turns the scores of what is still open into a pmf, anew for each slot.
The last column of every pmf is the null choice, which ends a slate where the surface allows it. The
same two functions draw a slate and value a policy, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, TypeAlias

import numpy as np

from recsys.bank.dice import Ints
from recsys.errors import InvalidPmf, InvalidTable
from recsys.vocabulary import Bools, Floats

MAY_SHOW_NOTHING = frozenset({"home", "push", "inline"})
"""Surfaces on which "nothing" may be drawn, as in the bank's catalogue."""

PmfRule: TypeAlias = Callable[[Floats, Bools], Floats]
"""Scores (v, c) and what is open (v, c) → pmf (v, c); a row with nothing open is all 0."""


class Scores(Protocol):
    """What a policy prefers, from what can be seen; it must treat every visit for itself."""

    def __call__(self, visible: Floats, *, eligible: Bools, surface: str) -> Floats:
        """(v, P) a score for each product, or (v, P + 1), the last for showing nothing (more)."""


@dataclass(frozen=True, slots=True)
class ArrayPolicy:
    """A policy over arrays of visits: immutable, named `name@version`."""

    name: str
    scores: Scores
    rule: PmfRule


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """What was drawn for v visits in K slots among P products; P itself stands for the null choice."""

    columns: Ints  # (v, K) product column, P for nothing, -1 where no slot was drawn
    propensities: Floats  # (v, K) given the slots above; 1 where no slot was drawn
    pmfs: Floats  # (v, K, P + 1) that each slot was drawn from; 0 where none was

    @property
    def shown(self) -> Ints:
        """(v, K) product columns, -1 where none is shown."""
        return np.where(self.columns == self.pmfs.shape[2] - 1, -1, self.columns)


def softmax(*, temperature: float = 1.0) -> PmfRule:
    """Probabilities ∝ exp(score / temperature). With log-probabilities as scores: in their proportions."""

    def rule(scores: Floats, open_: Bools) -> Floats:
        logits = np.where(open_, scores / temperature, -np.inf)
        top = logits.max(axis=1, keepdims=True)
        weights = np.exp(logits - np.where(np.isfinite(top), top, 0.0))
        return _shares(weights)

    return rule


def alike() -> PmfRule:
    """All that is open alike, whatever the scores."""

    def rule(scores: Floats, open_: Bools) -> Floats:
        return _shares(open_.astype(np.float64))

    return rule


def epsilon_greedy(*, epsilon: float) -> PmfRule:
    """The best of what is open, the first of equals, but with probability `epsilon` any of it alike."""

    def rule(scores: Floats, open_: Bools) -> Floats:
        pmf = epsilon * _shares(open_.astype(np.float64))
        best = np.where(open_, scores, -np.inf).argmax(axis=1)
        some = np.flatnonzero(open_.any(axis=1))
        pmf[some, best[some]] += 1.0 - epsilon
        return pmf

    return rule


def _shares(weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    shares: Floats = weights / np.where(total > 0.0, total, 1.0)
    return shares


def prepared(policy: ArrayPolicy, visible: Floats, *, eligible: Bools, surface: str) -> tuple[Floats, Bools]:
    """(v, P + 1) the policy's scores and what is open at first, the null choice last.

    Raises `InvalidPmf` for scores that are not finite or of another shape.
    """
    visits, products = eligible.shape
    scores = policy.scores(visible, eligible=eligible, surface=surface)
    if scores.shape not in ((visits, products), (visits, products + 1)):
        raise InvalidPmf(f"expected scores of shape {(visits, products)}, got {scores.shape}", where=policy.name)
    null = scores.shape[1] > products
    whole = scores if null else np.hstack([scores, np.zeros((visits, 1))])
    open_ = np.hstack([eligible, np.full((visits, 1), null and surface in MAY_SHOW_NOTHING)])
    if not np.isfinite(whole[open_]).all():
        raise InvalidPmf("a score is not finite", where=policy.name)
    return whole, open_


def drawn(scores: Floats, *, open_: Bools, rule: PmfRule, luck: Floats) -> Slates:
    """Draw a slot for each column of `luck` (v, K) in (0, 1): without replacement, ended by the null choice."""
    visits, choices = scores.shape
    places = luck.shape[1]
    columns = np.full((visits, places), -1, dtype=np.int64)
    propensities = np.ones((visits, places))
    pmfs = np.zeros((visits, places, choices))
    left, every = open_.copy(), np.arange(visits)
    for place in range(places):
        pmf = rule(scores, left)
        drawing = pmf.any(axis=1)
        column = _fallen_on(pmf, luck[:, place])
        columns[drawing, place] = column[drawing]
        propensities[drawing, place] = pmf[every, column][drawing]
        pmfs[:, place] = pmf
        left[every, column] = False
        left[columns[:, place] == choices - 1] = False
    return Slates(columns, propensities, pmfs)


def propensities_of(scores: Floats, *, open_: Bools, rule: PmfRule, columns: Ints) -> tuple[Floats, Floats]:
    """(v, K) probability of each given slot given those above, and (v, K, P + 1) the pmfs: `drawn`'s twin."""
    visits, choices = scores.shape
    propensities = np.ones(columns.shape)
    pmfs = np.zeros((*columns.shape, choices))
    left, every = open_.copy(), np.arange(visits)
    for place in range(columns.shape[1]):
        column = columns[:, place]
        pmf = rule(scores, left)
        there = column >= 0
        propensities[there, place] = pmf[every, column][there]
        pmfs[there, place] = pmf[there]
        left[every[there], column[there]] = False
        left[column == choices - 1] = False
    return propensities, pmfs


EXACT_SLOTS = 3
_BLOCK = 2_048  # visits whose pmfs are held at once


def slot_chances(scores: Floats, *, open_: Bools, rule: PmfRule, places: int) -> Floats:
    """(v, K, P) probability that each product stands in each of the first K ≤ 3 slots, exactly.

    The slots above are enumerated as sets: a pmf depends on what is left, not on the order in which
    the rest went. That is 1 + P + P (P − 1) / 2 pmfs for three slots. Raises `InvalidTable` for more.
    """
    if places > EXACT_SLOTS:
        raise InvalidTable(f"chances are exact for {EXACT_SLOTS} slots, not {places}", where="slot_chances")
    blocks = range(0, max(len(scores), 1), _BLOCK)
    return np.concatenate(
        [_block_chances(scores[at : at + _BLOCK], open_[at : at + _BLOCK], rule=rule, places=places) for at in blocks]
    )


def _block_chances(scores: Floats, open_: Bools, *, rule: PmfRule, places: int) -> Floats:
    visits, choices = scores.shape
    products = choices - 1
    chances = np.zeros((visits, places, products))
    before: dict[tuple[int, ...], Floats] = {(): np.ones(visits)}  # set of products above → its probability
    for place in range(places):
        pmfs: dict[tuple[int, ...], Floats] = {}
        for above, reached in before.items():
            pmf = _after(scores, open_=open_, rule=rule, above=above)
            chances[:, place] += reached[:, None] * pmf[:, :products]
            if place + 1 < places:
                pmfs[above] = pmf
        before = {
            chosen: sum((before[rest] * pmfs[rest][:, last] for rest, last in _last_drawn(chosen)), np.zeros(visits))
            for chosen in (combinations(range(products), place + 1) if pmfs else ())
        }
    return chances


def _after(scores: Floats, *, open_: Bools, rule: PmfRule, above: tuple[int, ...]) -> Floats:
    left = open_.copy()
    left[:, list(above)] = False
    return rule(scores, left)


def _last_drawn(chosen: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Each way a set may have come about: what was there before, and which came last."""
    for place, last in enumerate(chosen):
        yield chosen[:place] + chosen[place + 1 :], last


def _fallen_on(pmf: Floats, luck: Floats) -> Ints:
    """(v,) the column each number falls on; never one without probability."""
    sums = pmf.cumsum(axis=1)
    column = (sums <= luck[:, None]).sum(axis=1)
    last = pmf.shape[1] - 1 - (pmf[:, ::-1] > 0.0).argmax(axis=1)  # where rounding left the sum below the luck
    fallen: Ints = np.minimum(column, last)
    return fallen
