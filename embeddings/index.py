"""Exact inner-product search under an eligibility mask: the one door to FAISS (`approximate.py` is built on it).

At a bank's size exact search is both faster and better than an approximate one: a graph walked under
a mask of 5 % found half of the true neighbours, while scanning 2,000 products takes microseconds
(architecture.md, "Lessons already paid for"). What a mask closes is never compared, so it cannot leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from embeddings.identifiers import IdMap
from recsys.errors import Corrupt, InvalidTable
from recsys.vocabulary import Bools, Vector

_UNIT_WITHIN = 1e-3  # float32 normalisation is within 1e-6; more means something else was stored
_ROUNDS, _PER_CENTRE = 8, 64  # of k-means, and the vectors it learns from: more moves the centres little
_VERIFIED = 256  # vectors that must find themselves, evenly spread


class Neighbours(NamedTuple):
    """What one query found, the nearest first."""

    rows: NDArray[np.int64]  # (≤ k,)
    cosines: Vector  # (≤ k,)


class ExactIndex:
    """The product vectors, searchable; immutable once built.

    Building verifies: every vector is finite and of unit length, and a spread of them find themselves.

    >>> index = ExactIndex(np.eye(3, dtype=np.float32), ids=IdMap(("pot", "isa", "card")))
    >>> [found] = index.search(np.array([[0.8, 0.6, 0.0]]), mask=np.array([False, True, True]), k=5)
    >>> found.rows.tolist(), found.cosines.round(1).tolist()
    ([1, 2], [0.6000000238418579, 0.0])
    """

    def __init__(self, vectors: Vector, *, ids: IdMap) -> None:
        """Build over `vectors` (n, D) in the rows of `ids`.

        Raises:
            InvalidTable: vectors that are not finite or not of unit length, or do not fit the ids.
            Corrupt: the engine does not give back what was put in.
        """
        self.vectors = checked_vectors(vectors, n_rows=len(ids))
        self.ids = ids
        self._flat = faiss.IndexFlatIP(self.vectors.shape[1])
        self._flat.add(self.vectors)
        self._verify()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._flat.d)

    @property
    def digest(self) -> str:
        """Digest of ids and vectors, bit for bit."""
        content = sha256(self.ids.digest.encode())
        content.update(str(self.vectors.shape).encode() + self.vectors.astype("<f4").tobytes())
        return content.hexdigest()[:32]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All that it is, by name."""
        return {"vectors": self.vectors}

    def search(self, queries: NDArray[np.floating], *, mask: Bools, k: int) -> tuple[Neighbours, ...]:
        """The k nearest eligible products of each query.

        `queries` is (q, D); `mask` is (n,) for all of them or (q, n) for each its own. Each `Neighbours` holds
        min(k, eligible) rows: never one that is masked, never −1, never fewer while eligible ones are left.

        Raises:
            InvalidTable: shapes that do not fit, a query that is not finite, or k below 1.
        """
        asked = self.checked_queries(queries, mask=mask, k=k)
        faiss.omp_set_num_threads(1)  # of this thread; on busy cores waiting for helpers cost 12 ms, alone it took 0.3
        if mask.ndim == 1:
            return self._nearest(asked, mask=mask, k=k)
        return tuple(self._nearest(asked[i : i + 1], mask=mask[i], k=k)[0] for i in range(len(asked)))

    def _nearest(self, queries: Vector, *, mask: Bools, k: int) -> tuple[Neighbours, ...]:
        n_eligible = int(np.count_nonzero(mask))
        if not n_eligible:
            nothing = Neighbours(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
            return (nothing,) * len(queries)
        if n_eligible == len(self):
            cosines, rows = self._flat.search(queries, min(k, n_eligible))
        else:
            bits = np.packbits(mask, bitorder="little")  # the engine keeps a pointer: alive until it is done
            only = faiss.SearchParameters()
            only.sel = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
            cosines, rows = self._flat.search(queries, min(k, n_eligible), params=only)
        return tuple(map(Neighbours, rows, cosines))

    def checked_queries(self, queries: NDArray[np.floating], *, mask: Bools, k: int) -> Vector:
        """The queries (q, D) float32, or `InvalidTable` where they, the mask or k do not fit."""
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        if asked.ndim != 2 or asked.shape[1] != self.dim:
            raise InvalidTable(f"queries have shape {asked.shape}, expected (q, {self.dim})", where="search")
        if not np.isfinite(np.vdot(asked, asked)):  # also finite queries whose products are not: those would find −1
            raise InvalidTable("a query is not finite", where="search")
        if mask.dtype != np.bool_ or mask.shape not in {(len(self),), (len(asked), len(self))}:
            raise InvalidTable(
                f"a mask of {mask.dtype} {mask.shape} does not fit {len(self)} products, {len(asked)} queries",
                where="search",
            )
        if k < 1:
            raise InvalidTable(f"k must be at least 1, got {k}", where="search")
        return asked

    def _verify(self) -> None:
        rows = np.unique(np.linspace(0, len(self) - 1, num=_VERIFIED).astype(np.int64))
        cosines, _ = self._flat.search(self.vectors[rows], 1)
        itself = (self.vectors[rows] ** 2).sum(axis=1)
        if self._flat.ntotal != len(self) or (cosines[:, 0] < itself - 1e-4).any():
            raise Corrupt("the index does not find its own vectors")


def centres_of(vectors: Vector, *, n: int) -> Vector:
    """(n, D) unit vectors amid the (m, D) vectors: spherical k-means (Dhillon and Modha 2001); deterministic."""
    faiss.omp_set_num_threads(1)
    made = faiss.Kmeans(vectors.shape[1], n, niter=_ROUNDS, seed=1, spherical=True, max_points_per_centroid=_PER_CENTRE)
    made.train(vectors)
    return np.asarray(made.centroids, dtype=np.float32)


def checked_vectors(vectors: Vector, *, n_rows: int) -> Vector:
    """A read-only copy (n, D) float32, finite, of unit length; or `InvalidTable` with the rows."""
    array = np.array(vectors, dtype=np.float32, order="C")
    if not n_rows or array.ndim != 2 or len(array) != n_rows:
        raise InvalidTable(f"vectors have shape {array.shape} for {n_rows} products", where="index")
    off = ~(np.abs(np.linalg.norm(array, axis=1) - 1.0) < _UNIT_WITHIN)  # also true for NaN
    if off.any():
        raise InvalidTable("a vector is not of unit length", where="index", rows=(np.flatnonzero(off) + 1).tolist())
    array.setflags(write=False)
    return array
