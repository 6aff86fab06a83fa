"""Which eligible products are worth a policy's attention, and how near each is to the customer.

Imports no torch: a request brings a vector that `recsys encode` made earlier, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from embeddings.bundle import Bundle
from embeddings.identifiers import IdMap
from recsys.errors import InvalidTable
from recsys.shelves import Memo, Rows
from recsys.vocabulary import Floats, ProductId, Profile, Vector

ALL_UP_TO = 100  # up to so many eligible products every one is a candidate (architecture.md, "Support")

Proposal = tuple[ProductId, float | None]


class Retriever:
    """Proposes candidates from a bundle; pure, and safe to share between threads.

    Without a bundle it still answers: eligible products in their order, no affinity.

    >>> Retriever(None).propose(None, eligible=("pot", "card"), k=1)
    (('pot', None), ('card', None))
    """

    def __init__(self, bundle: Bundle | None) -> None:
        self.bundle = bundle
        self._row_of = IdMap().row if bundle is None else bundle.products.row
        self.rows_on = Memo(lambda shelf: self.rows_of(shelf.ids))  # of all products of a shelf

    @property
    def digest(self) -> str:
        """Digest of the bundle, "" without one."""
        return "" if self.bundle is None else self.bundle.digest

    def vector_of(self, profile: Profile) -> Vector | None:
        """The profile's vector if this very bundle made it and it is whole, else None."""
        vector = profile.vector
        if self.bundle is None or vector is None or profile.bundle != self.digest:
            return None
        return vector if vector.shape == (self.bundle.index.dim,) and bool(np.isfinite(vector).all()) else None

    def mode(self, vector: Vector | None, *, n_eligible: int) -> Literal["all", "vector", "static"]:
        """How `propose` would choose, as a decision logs it in `retrieval`."""
        if n_eligible <= ALL_UP_TO:
            return "all"
        return "static" if vector is None else "vector"

    def rows_of(self, ids: Sequence[ProductId]) -> Rows:
        """(n,) rows of products in the bundle, -1 for those that it does not know."""
        found = (self._row_of(each) for each in ids)
        return np.array([-1 if row is None else row for row in found], dtype=np.intp)

    def propose(self, vector: Vector | None, *, eligible: Sequence[ProductId], k: int) -> tuple[Proposal, ...]:
        """Eligible products with their affinities, None where one has none; chosen and ordered as by `ranked`."""
        places, affinities = self.ranked(vector, rows=self.rows_of(eligible), k=k)
        told = zip(places.tolist(), affinities.tolist(), strict=True)
        return tuple((eligible[place], None if affinity != affinity else affinity) for place, affinity in told)

    def ranked(self, vector: Vector | None, *, rows: Rows, k: int) -> tuple[Rows, Floats]:
        """((m,) places among `rows`, (m,) their affinities): the best first, those without one last as they stood.

        `rows` (n,) are eligible products, as `rows_of` tells them. Up to 100 of them all are proposed,
        whatever `k`. Above that: the `k` nearest of those with a vector (without a customer vector the `k`
        most chosen in training), and up to `k` that the bundle does not know yet, so that a launch is not
        invisible. `vector` (D,) must be this bundle's own: pass it through `vector_of`. Affinity is the
        cosine standardised by the bundle's reference, within ±4; nan where customer or product has no vector.

        Raises:
            InvalidTable: a vector of another length or not finite, or k below 1.
        """
        if k < 1:
            raise InvalidTable(f"k must be at least 1, got {k}", where="retrieval")
        limit = len(rows) if len(rows) <= ALL_UP_TO else k
        known = rows >= 0
        if self.bundle is None or not np.count_nonzero(known):
            unknown = np.flatnonzero(~known)[:limit]
            return unknown, np.full(unknown.size, np.nan)
        if np.count_nonzero(known) == rows.size:
            return _best(self.bundle, vector, rows=rows, k=limit)
        unknown = np.flatnonzero(~known)[:limit]
        places, affinities = _best(self.bundle, vector, rows=rows[known], k=limit)
        told = np.concatenate([affinities, np.full(unknown.size, np.nan)])
        return np.concatenate([np.flatnonzero(known)[places], unknown]), told


def _best(bundle: Bundle, vector: Vector | None, *, rows: Rows, k: int) -> tuple[Rows, Floats]:
    """Places of the `k` best among `rows`, and their affinities."""
    if vector is not None:
        return _nearest(bundle, vector=_checked(vector, dim=bundle.index.dim), rows=rows, k=k)
    most_chosen = np.lexsort((rows, -bundle.n_chosen[rows]))[:k]
    return most_chosen, np.full(most_chosen.size, np.nan)


def _checked(vector: Vector, *, dim: int) -> Vector:
    if vector.shape != (dim,) or not np.isfinite(vector).all():
        raise InvalidTable(f"a customer vector must be {dim} finite numbers", where="retrieval")
    return vector.astype(np.float32, copy=False)


def _nearest(bundle: Bundle, *, vector: Vector, rows: Rows, k: int) -> tuple[Rows, Floats]:
    """Places of the `k` nearest among `rows`, and their affinities."""
    places = None
    if k >= rows.size:
        cosines = bundle.index.vectors[rows] @ vector
    else:
        mask = np.zeros(len(bundle.index), dtype=np.bool_)
        mask[rows] = True
        [found] = bundle.index.search(vector[None, :], mask=mask, k=k)
        place_of = np.zeros(len(bundle.index), dtype=np.intp)
        place_of[rows] = np.arange(rows.size)
        rows, cosines, places = found.rows, found.cosines, place_of[found.rows]
    order = np.lexsort((rows, -cosines))  # equal cosines in catalogue order
    return order if places is None else places[order], bundle.reference.affinities(cosines[order])
