"""Search among very many products: the lists nearest to the query are read until enough eligible ones were met.

An inverted file (Jégou et al. 2011) over unit vectors; encoders whose lengths differ become unit vectors by one more
coordinate (`spectral.as_cosines`), where a graph walked by inner products would stall. A fixed number of lists loses
whatever a mask leaves over, so what is fixed here is the number of *eligible* products that are compared. It is
measured when the index is built, on queries under masks, and kept with the index; where no number short of most
of the catalogue reaches the bound, the index stays exact. Where a mask closes what lies nearest to a query, the
eligible ones are scattered over lists that tell little, and that query is answered exactly.

    query ─ nearest centres ─ members ∧ mask, until `compared` of them ─ inner products ─ the k best

Few eligible products are all compared too: what is masked is never compared, and there are never fewer than k while
k are eligible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex, Neighbours, centres_of
from recsys.errors import Corrupt
from recsys.vocabulary import Bools, Vector

EXACT_UP_TO = 20_000
"""Products up to which every search compares all that are eligible: some 0.2 ms on one core."""

BOUND = 0.99
"""Least recall@50 of an approximate index, measured, beyond two standard errors."""

_K = 50
_ALL_OF = 2000  # so few eligible products are all compared, whatever the lists
_COMPARED = (400, 800, 1600, 3200, 6400)  # tried in turn, per 50 asked for
_SHARES = (1.0, 0.3, 0.1)  # eligible, in the masks that are measured
_FAR = 1 / 3  # of the products, the nearest: closed in one more mask, for whom what they like is not eligible
_CLOSED = 0.5  # of the eligible share, what must be eligible among the nearest: less is a mask against the query
_MOST = 1 / 3  # of the catalogue read: from there reading all of it in one go is faster
_QUERIES = 128
_FIRST_LISTS = 8


class Index(Protocol):
    """Product vectors, searchable under a mask; immutable."""

    def __len__(self) -> int: ...

    @property
    def vectors(self) -> Vector:
        """(n, D)."""

    @property
    def ids(self) -> IdMap:
        """Row ↔ id."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def digest(self) -> str:
        """Digest of all that decides what it answers."""

    def search(self, queries: NDArray[np.floating], *, mask: Bools, k: int) -> tuple[Neighbours, ...]:
        """The k nearest eligible products of each query; raises `InvalidTable` as `ExactIndex.search` does."""

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All that it is, by name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What building found out: how many eligible products to compare, and the recall@50 that this gave."""

    compared: int
    recall: float


def index_of(vectors: Vector, *, ids: IdMap, queries: Vector | None = None) -> Index:
    """An exact index up to `EXACT_UP_TO` products, an approximate one beyond where it keeps the bound.

    `queries` (q, D), such as customers' vectors, are what recall is measured on; products' own vectors,
    shaken, without them. Deterministic.

    Raises:
        InvalidTable: vectors that are not finite, not of unit length, or do not fit the ids.
        Corrupt: the engine does not give back what was put in.
    """
    exact = ExactIndex(vectors, ids=ids)
    if len(exact) <= EXACT_UP_TO:
        return exact
    centres = centres_of(exact.vectors, n=4 * int(np.sqrt(len(exact))))
    return measured(exact, centres=centres, queries=_shaken(exact.vectors) if queries is None else queries) or exact


def measured(exact: ExactIndex, *, centres: Vector, queries: Vector) -> ApproximateIndex | None:
    """The index that compares the fewest products and keeps the bound under every mask tried; None if none does."""
    dice = np.random.default_rng(0)
    asked = queries[np.unique(np.linspace(0, len(queries) - 1, num=_QUERIES).astype(np.int64))]
    masks: list[Bools] = [dice.random(len(exact)) < share for share in _SHARES]
    cosines = asked @ exact.vectors.T  # (q, n)
    masks.append(cosines < np.quantile(cosines, 1 - _FAR, axis=1, keepdims=True))
    nearest = np.concatenate([(part @ centres.T).argmax(axis=1) for part in np.array_split(exact.vectors, 64)])
    masks += [(dice.random(len(centres)) < share)[nearest] for share in _SHARES[1:]]  # whole neighbourhoods closed
    truth = [exact.search(asked, mask=mask, k=_K) for mask in masks]
    for compared in _COMPARED:
        if compared > len(exact) * _MOST:
            break
        tried = ApproximateIndex(exact, centres=centres, measured=Measured(compared, 1.0))
        worst = 1.0
        for mask, true in zip(masks, truth, strict=True):
            found = np.array([_shared(*pair) for pair in zip(tried.search(asked, mask=mask, k=_K), true, strict=True)])
            if found.mean() - 2 * found.std() / np.sqrt(len(found)) < BOUND:
                break
            worst = min(worst, float(found.mean()))
        else:
            return ApproximateIndex(exact, centres=centres, measured=Measured(compared, worst))
    return None


def loaded(arrays: Mapping[str, NDArray[Any]], *, ids: IdMap) -> Index:
    """The index that was saved as `arrays`.

    Raises:
        KeyError: an array is missing.
        InvalidTable: vectors that do not fit the ids.
        Corrupt: centres that do not fit the vectors.
    """
    exact = ExactIndex(arrays["vectors"], ids=ids)
    if "centres" not in arrays:
        return exact
    told = Measured(int(arrays["compared"]), float(arrays["recall"]))
    return ApproximateIndex(exact, centres=arrays["centres"], measured=told)


class ApproximateIndex:
    """An exact index with lists of what lies near each centre; immutable. Make one with `index_of`."""

    def __init__(self, exact: ExactIndex, *, centres: Vector, measured: Measured) -> None:
        """Raises `Corrupt` where centres do not fit the vectors, or nothing was measured."""
        if centres.ndim != 2 or centres.shape[1] != exact.dim or not len(centres) or not np.isfinite(centres).all():
            raise Corrupt("the index's centres do not fit its vectors")
        if measured.compared < 1 or not BOUND <= measured.recall <= 1.0:
            raise Corrupt("the index was saved without a recall that keeps the bound")
        self.exact = exact
        self.measured = measured
        self._centres = np.ascontiguousarray(centres, dtype=np.float32)
        self._centres.setflags(write=False)
        lists = np.concatenate(
            [
                (exact.vectors[start : start + 8192] @ self._centres.T).argmax(axis=1)
                for start in range(0, len(exact), 8192)
            ]
        )  # (n,)
        order = np.argsort(lists, kind="stable")
        starts = np.searchsorted(lists[order], np.arange(len(centres) + 1))
        self._members = [order[a:b] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]
        self._lengths = np.diff(starts)

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def vectors(self) -> Vector:
        """(n, D)."""
        return self.exact.vectors

    @property
    def ids(self) -> IdMap:
        """Row ↔ id."""
        return self.exact.ids

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.exact.dim

    @property
    def digest(self) -> str:
        """Digest of ids, vectors, centres and what was measured, bit for bit."""
        content = sha256(self.exact.digest.encode() + self._centres.astype("<f4").tobytes())
        content.update(repr((self._centres.shape, self.measured)).encode())
        return content.hexdigest()[:32]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All that it is, by name."""
        told = {"compared": np.array(self.measured.compared), "recall": np.array(self.measured.recall)}
        return {**self.exact.arrays(), "centres": self._centres, **told}

    def search(self, queries: NDArray[np.floating], *, mask: Bools, k: int) -> tuple[Neighbours, ...]:
        """Nearly always the k nearest eligible products of each query; never a masked one, never fewer than can be.

        Raises:
            InvalidTable: shapes that do not fit, a query that is not finite, or k below 1.
        """
        asked = self.exact.checked_queries(queries, mask=mask, k=k)
        each = [mask] * len(asked) if mask.ndim == 1 else mask
        return tuple(self._nearest(query, mask=one, k=k) for query, one in zip(asked, each, strict=True))

    def _nearest(self, query: Vector, *, mask: Bools, k: int) -> Neighbours:
        n_eligible = int(np.count_nonzero(mask))
        compared = max(self.measured.compared * max(1.0, k / _K), k)
        if n_eligible <= max(_ALL_OF, compared):
            return self._best(query, rows=np.flatnonzero(mask), k=k)
        rows = self._met(query, mask=mask, enough=int(compared), least=_CLOSED * n_eligible / len(mask))
        if rows is None:
            return self.exact.search(query[None, :], mask=mask, k=k)[0]
        return self._best(query, rows=rows, k=k)

    def _met(self, query: Vector, *, mask: Bools, enough: int, least: float) -> NDArray[np.int64] | None:
        """Eligible members of the nearest lists, `enough` of them; None where too much would have to be read.

        `least` is the share of the nearest that must be eligible.
        """
        order = np.argsort(-(self._centres @ query))
        found: list[NDArray[np.int64]] = []
        start, width, met, read = 0, _FIRST_LISTS, 0, 0
        while met < enough:
            if start >= len(order) or read > len(mask) * _MOST:
                return None
            members = np.concatenate([self._members[each] for each in order[start : start + width].tolist()])
            found.append(members[mask[members]])
            met, read = met + len(found[-1]), read + len(members)
            if met < least * read:
                return None
            start, width = start + width, max(_FIRST_LISTS, min(width * (enough - met) // max(met, 1) + 1, 4 * width))
        return np.concatenate(found)

    def _best(self, query: Vector, *, rows: NDArray[np.int64], k: int) -> Neighbours:
        cosines = self.exact.vectors[rows] @ query
        if k < len(rows):
            some = np.argpartition(-cosines, k - 1)[:k]
            rows, cosines = rows[some], cosines[some]
        order = np.argsort(-cosines, kind="stable")
        return Neighbours(rows[order], cosines[order])


def _shared(one: Neighbours, true: Neighbours) -> float:
    """Share of the true neighbours that were found; ties count as found."""
    if not len(true.rows):
        return 1.0
    worst = true.cosines[-1] - 1e-6
    return float(np.count_nonzero(one.cosines >= worst) / len(true.rows))


def _shaken(vectors: Vector) -> Vector:
    """Some vectors, each moved by a quarter of its length."""
    some = vectors[np.unique(np.linspace(0, len(vectors) - 1, num=_QUERIES).astype(np.int64))]
    moved = some + 0.25 * np.random.default_rng(0).normal(size=some.shape) / np.sqrt(some.shape[1])
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)
