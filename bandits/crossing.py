"""Context × candidate → hashed features: the only place that says what a learner sees.

For a candidate of product p in context x the features are

    p × each x_j (and p × hats of x_j)   p × 1   the product's own features   1
    p × affinity   affinity   p × seen lately   seen lately

so that context matters per product (without crossings it has no effect at all, and nothing warns) and never
alone (which VowpalWabbit's `--ignore_linear` asks of a shared namespace: it tells no product from another),
a new product starts from what its family shares, and the two numbers between this customer and the
product (affinity, and how often it was seen lately) enter alone and crossed. Hats are piecewise-linear
bumps at `knots` points of [-2, 2] that let a linear learner bend. `scale` makes context smaller beside
the product's own level, so that the level is learned first: at rare outcomes that saves the first
weeks. Names are hashed by BLAKE2 with a fixed seed, once each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from recsys.errors import Misuse
from recsys.shelves import Candidates, Shelf, affinities_of, seen_of
from recsys.vocabulary import Candidate, Context, Floats

Indices: TypeAlias = NDArray[np.int64]
_SEED = b"recsys-1"
_REACH = 2.0  # hats stand between -2 and 2: facts come scaled to about [-1, 2]
_MOST_KNOWN = 20_000  # cached (context names, candidate) pairs before starting afresh


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The feature rows of several candidates, end to end; row i starts at `starts[i]`."""

    indices: Indices  # (F,) into a table of 2 ** bits weights
    values: Floats  # (F,)
    starts: Indices  # (n,)


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What never changes for one candidate under one tuple of context names."""

    indices: Indices  # (f,)
    tail: Floats  # own values, 1, and two places each for affinity and for how often it was seen lately


def knots_of(n: int) -> Floats:
    """(n,) places of the hats, evenly between -2 and 2; none for 0."""
    return np.linspace(-_REACH, _REACH, n) if n else np.empty(0)


def hats(x: Floats, knots: Floats) -> Floats:
    """(d,) → (d × knots,) how near each value stands to each knot, from 0 to 1.

    >>> hats(np.array([0.5]), knots_of(5))
    array([0. , 0. , 0.5, 0.5, 0. ])
    """
    if not knots.size:
        return np.empty(0)
    bent = np.clip(x[:, None], -_REACH, _REACH)  # (d, 1)
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(bent - knots) / (knots[1] - knots[0])).ravel())


class Crossing:
    """Makes feature tables; pure but for a cache of hashed names."""

    def __init__(self, *, bits: int, knots: int = 0, scale: float = 1.0) -> None:
        self._mask = (1 << bits) - 1
        self._knots = knots_of(knots)
        self._scale = scale
        self._known: dict[tuple[str, ...], dict[object, _Known]] = {}
        self._n_known = 0
        self._shelves: dict[tuple[str, ...], WeakKeyDictionary[Shelf, list[_Known]]] = {}

    def table(self, context: Context, candidates: Sequence[Candidate]) -> Table:
        """Feature rows of `candidates`; raises `Misuse` where names and values do not pair."""
        head = self._head(context)
        return self._table([head] * len(candidates), names=context.names, candidates=candidates)

    def pairs(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Table:
        """The feature row of candidate i in the context of row i of `values` (m, len(names))."""
        x = np.hstack([values * self._scale, np.ones((len(values), 1))])
        if self._knots.size:
            bumps = hats(values.ravel(), self._knots).reshape(len(values), -1)
            x = np.hstack([x, bumps * self._scale])
        return self._table(list(x), names=names, candidates=candidates)

    def _table(self, heads: Sequence[Floats], *, names: tuple[str, ...], candidates: Sequence[Candidate]) -> Table:
        known = self._all_known(names, candidates)
        values = np.concatenate([part for head, one in zip(heads, known, strict=True) for part in (head, one.tail)])
        indices = np.concatenate([one.indices for one in known])
        ends = np.cumsum([one.indices.size for one in known])
        values[ends - 3] = values[ends - 4] = affinities_of(candidates)
        values[ends - 1] = values[ends - 2] = seen_of(candidates)
        starts = np.concatenate([[0], ends[:-1]])
        return Table(indices, values, starts)

    def _head(self, context: Context) -> Floats:
        """Context values, their hats, and the 1 of the product's own level."""
        if len(context.names) != len(context.values):
            raise Misuse(f"a context with {len(context.names)} names and {len(context.values)} values")
        x = np.array((*context.values, 1.0))
        bumps = hats(x[:-1], self._knots)
        x[:-1] *= self._scale
        return np.concatenate([x, bumps * self._scale]) if bumps.size else x

    def _all_known(self, names: tuple[str, ...], candidates: Sequence[Candidate]) -> list[_Known]:
        if not isinstance(candidates, Candidates):
            return [self._known_of(names, candidate) for candidate in candidates]
        shelves = self._shelves.setdefault(names, WeakKeyDictionary())  # a `Memo` would hold this object in a ring
        if (of_shelf := shelves.get(candidates.shelf)) is None:
            of_shelf = shelves[candidates.shelf] = [self._known_of(names, each) for each in candidates.shelf.candidates]
        return [of_shelf[row] for row in candidates.rows.tolist()]

    def _known_of(self, names: tuple[str, ...], candidate: Candidate) -> _Known:
        of_names = self._known.get(names)
        if of_names is None:
            of_names = self._known[names] = {}
        key = (candidate.product_id, candidate.names, candidate.values)
        known = of_names.get(key)
        if known is None:
            if self._n_known >= _MOST_KNOWN:
                self._known, self._shelves, self._n_known, of_names = {names: {}}, {}, 0, {}
            known = of_names[key] = self._hashed(names, candidate)
            self._known[names] = of_names
            self._n_known += 1
        return known

    def _hashed(self, names: tuple[str, ...], candidate: Candidate) -> _Known:
        if len(candidate.names) != len(candidate.values):
            raise Misuse(
                f"{candidate.product_id}: {len(candidate.names)} feature names and {len(candidate.values)} values"
            )
        product = candidate.product_id
        bumps = [f"{name}#{k}" for name in names for k in range(self._knots.size)]
        own = [(name, value) for name, value in zip(candidate.names, candidate.values, strict=True) if value]
        indices = self._indices(
            [(product, "context", name) for name in names]
            + [(product, "level", "")]
            + [(product, "context", bump) for bump in bumps]
            + [("", "own", name) for name, _ in own]
            + [("", "level", ""), (product, "affinity", ""), ("", "affinity", "")]
            + [(product, "seen", ""), ("", "seen", "")]
        )
        return _Known(indices, np.array([*(value for _, value in own), 1.0, 0.0, 0.0, 0.0, 0.0]))

    def _indices(self, keys: Iterable[tuple[str, str, str]]) -> Indices:
        digests = (hashlib.blake2b("\x1f".join(key).encode(), digest_size=8, key=_SEED).digest() for key in keys)
        return np.array([int.from_bytes(digest, "big") & self._mask for digest in digests], dtype=np.int64)
