"""Candidates in columns: what is the same for every customer stands once on a shelf, with two numbers beside it.

Fifty candidates as fifty objects cost more to make, and to ask one by one, than to choose among. A `Shelf` is made
once for a catalogue; a decision's `Candidates` are rows of it. Whatever a reader needs to know of each product (its
row in a model, its place in the log) it works out once a shelf and keeps in a `Memo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Generic, TypeVar, overload
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from recsys.vocabulary import Candidate, Floats, ProductId

Rows = NDArray[np.intp]
T = TypeVar("T")


class Shelf:
    """Products as candidates apart from any customer: no affinity, never seen. Told apart by identity."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = tuple(candidates)
        self.ids = tuple(each.product_id for each in self.candidates)
        self.row_of: Mapping[ProductId, int] = {product: row for row, product in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)


class Memo(Generic[T]):
    """What one reader makes of each shelf: made when first asked for, forgotten with the shelf.

    >>> lengths = Memo(len)
    >>> shelf = Shelf([Candidate("pot"), Candidate("isa")])
    >>> lengths(shelf), lengths(shelf)
    (2, 2)
    """

    def __init__(self, make: Callable[[Shelf], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Shelf, T] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, shelf: Shelf) -> T:
        """What it makes of the shelf."""
        found = self._made.get(shelf)
        if found is None:
            found = self._made[shelf] = self._make(shelf)
        return found


class Candidates(Sequence[Candidate]):
    """Rows of a shelf (n,), each with its affinity (nan where it has none) and how often it was seen lately.

    Affinities may be given for the first few; the others have none. Equal to any sequence of the same candidates;
    immutable.

    >>> pot, isa = Candidate("pot"), Candidate("isa", affinity=0.5)
    >>> found = Candidates(Shelf([pot, Candidate("isa")]), [1, 0], affinities=[0.5, np.nan])
    >>> found == (isa, pot), found[0].affinity, list(found.ids)
    (True, 0.5, ['isa', 'pot'])
    """

    def __init__(
        self,
        shelf: Shelf,
        rows: Sequence[int] | Rows,
        *,
        affinities: Sequence[float] | Floats | None = None,
        seen: Sequence[float] | Floats | None = None,
    ) -> None:
        self.shelf = shelf
        self.rows: Rows = np.asarray(rows, dtype=np.intp)
        n = self.rows.size
        self.affinities: Floats = np.full(n, np.nan)
        if affinities is not None:
            self.affinities[: len(affinities)] = affinities
        self.seen: Floats = np.zeros(n) if seen is None else np.asarray(seen, dtype=np.float64)

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Candidates:
        """The same candidates in columns; those that stand on no shelf get one of their own."""
        if isinstance(candidates, Candidates):
            return candidates
        affinities = [np.nan if each.affinity is None else each.affinity for each in candidates]
        seen = [each.seen_lately for each in candidates]
        return cls(Shelf(candidates), range(len(candidates)), affinities=affinities, seen=seen)

    @cached_property
    def ids(self) -> tuple[ProductId, ...]:
        """The products, in order."""
        ids = self.shelf.ids
        return tuple([ids[row] for row in self.rows.tolist()])

    def __len__(self) -> int:
        return self.rows.size

    @overload
    def __getitem__(self, at: int) -> Candidate: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, at: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self._whole[at] if isinstance(at, slice) else self._one(at)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._whole)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._whole == tuple(other)

    def __hash__(self) -> int:
        return hash(self._whole)

    @cached_property
    def _whole(self) -> tuple[Candidate, ...]:
        own = self.shelf.candidates
        columns = zip(self.rows.tolist(), self.affinities.tolist(), self.seen.tolist(), strict=True)
        return tuple([_beside(own[row], affinity, seen) for row, affinity, seen in columns])

    def _one(self, at: int) -> Candidate:
        return _beside(self.shelf.candidates[self.rows[at]], float(self.affinities[at]), float(self.seen[at]))


def _beside(own: Candidate, affinity: float, seen: float) -> Candidate:
    told = None if affinity != affinity else affinity
    return Candidate(own.product_id, own.creative_id, own.names, own.values, told, seen)


def ids_of(candidates: Sequence[Candidate]) -> tuple[ProductId, ...]:
    """The products of some candidates, in order.

    >>> ids_of([Candidate("pot"), Candidate("isa")])
    ('pot', 'isa')
    """
    return candidates.ids if isinstance(candidates, Candidates) else tuple([each.product_id for each in candidates])


def affinities_of(candidates: Sequence[Candidate]) -> Floats:
    """(n,) their affinities, 0 where there is none."""
    if isinstance(candidates, Candidates):
        return np.where(np.isnan(candidates.affinities), 0.0, candidates.affinities)
    return np.array([0.0 if each.affinity is None else each.affinity for each in candidates], dtype=np.float64)


def seen_of(candidates: Sequence[Candidate]) -> Floats:
    """(n,) how often each was seen lately."""
    if isinstance(candidates, Candidates):
        return candidates.seen
    return np.array([each.seen_lately for each in candidates], dtype=np.float64)
