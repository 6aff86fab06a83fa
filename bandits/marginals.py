"""The chance of each product at each place of a slate, whatever stands above: exact, by enumeration.

What a slate may still hold depends on which products stand above, not on their order, so a place has
one mask for each set of them. Masks are made once for each list of candidates and shared by every
round that has it; a round then costs one pmf for each mask, all in one pass. With 21 products and 3
places that is 232 masks; with more than 3 places enumerating is out of reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bandits.drawing import MaskOf
from bandits.policy import Policy
from recsys.errors import Misuse
from recsys.vocabulary import NOTHING, Bools, Candidate, Floats

MOST_PLACES = 3
Rows = NDArray[np.int64]


@runtime_checkable
class ManyMasks(Protocol):
    """A policy that tells its pmf under many masks in one pass."""

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) for masks (m, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """All that may stand above one place: a mask for each set, and where each draw leads."""

    open_: Bools  # (m, n)
    before: Rows  # (t,) the mask that a draw starts from
    drawn: Rows  # (t,) the row it draws
    after: Rows  # (t,) the mask of the next place that it leads to
    n_after: int


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """Everything that may stand above each place, for one list of candidates. Build with `prefixes_of`."""

    places: tuple[_Place, ...]
    n: int

    def marginals(self, policy: Policy, scores: Floats) -> Floats:
        """(places, n) the chance of each candidate at each place; rows sum to that of the slate being so long."""
        chances = np.zeros((len(self.places), self.n))
        reached: Floats = np.ones(1)
        for number, place in enumerate(self.places):
            if not place.open_.size:
                break
            joint = reached[:, None] * _pmfs(policy, scores, place.open_)
            chances[number] = joint.sum(axis=0)
            onwards = np.bincount(place.after, weights=joint[place.before, place.drawn], minlength=place.n_after)
            reached = np.asarray(onwards, dtype=np.float64)
        return chances


def prefixes_of(candidates: Sequence[Candidate], *, mask_of: MaskOf, length: int) -> Prefixes:
    """Enumerate the sets of candidates above each of `length` places; raises `Misuse` beyond `MOST_PLACES`."""
    if length > MOST_PLACES:
        raise Misuse(f"chances at each place are enumerated for at most {MOST_PLACES} places, not {length}")
    ends = np.array([candidate.product_id == NOTHING for candidate in candidates], dtype=np.bool_)
    above: list[tuple[int, ...]] = [()]
    places = []
    for number in range(length):
        masks = [_open(mask_of, rows, n=len(candidates)) for rows in above]
        open_ = np.array(masks, dtype=np.bool_).reshape(len(above), len(candidates))
        known: dict[tuple[int, ...], int] = {}
        steps = []
        if number + 1 < length:
            for before, drawn in zip(*np.nonzero(open_ & ~ends), strict=True):
                after = tuple(sorted((*above[before], int(drawn))))
                steps.append((before, drawn, known.setdefault(after, len(known))))
        before_, drawn_, after_ = np.array(steps, dtype=np.int64).reshape(-1, 3).T
        places.append(_Place(open_, before_, drawn_, after_, len(known)))
        above = list(known)
    return Prefixes(tuple(places), len(candidates))


def _open(mask_of: MaskOf, rows: tuple[int, ...], *, n: int) -> Bools:
    open_ = np.array(mask_of(rows), dtype=np.bool_).reshape(n)
    open_[list(rows)] = False
    return open_


def _pmfs(policy: Policy, scores: Floats, open_: Bools) -> Floats:
    """(m, n) one pmf a mask; zero where nothing is open."""
    some = open_.any(axis=1)
    found = np.zeros(open_.shape)
    if isinstance(policy, ManyMasks):
        found[some] = policy.pmfs(scores, open_=open_[some])
    else:
        for row in np.flatnonzero(some).tolist():
            found[row] = policy.pmf(scores, open_=open_[row])
    return found
