"""Which eligible products are worth a policy's attention, and how near each is to the customer.

Imports no torch: a request brings a vector that `recsys encode` made earlier, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embeddings.bundle import Bundle
from embeddings.identifiers import IdMap
from recsys.errors import InvalidTable
from recsys.vocabulary import ProductId, Profile, Vector

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

    def propose(self, vector: Vector | None, *, eligible: Sequence[ProductId], k: int) -> tuple[Proposal, ...]:
        """Eligible products with their affinities, the best first, those without one last in the order given.

        Up to 100 eligible products all are proposed, whatever `k`. Above that: the `k` nearest of those with
        a vector (without a customer vector the `k` most chosen in training), and up to `k` that the bundle
        does not know yet, so that a launch is not invisible. `vector` (D,) must be this bundle's own:
        pass it through `vector_of`. Affinity is the cosine standardised by the bundle's reference,
        within ±4; None where customer or product has no vector.

        Raises:
            InvalidTable: a vector of another length or not finite, or k below 1.
        """
        if k < 1:
            raise InvalidTable(f"k must be at least 1, got {k}", where="retrieval")
        limit = len(eligible) if len(eligible) <= ALL_UP_TO else k
        row_of = self._row_of
        placed = [(product, row_of(product)) for product in eligible]
        unknown: tuple[Proposal, ...] = tuple((product, None) for product, row in placed if row is None)[:limit]
        rows = np.array([row for _, row in placed if row is not None], dtype=np.int64)
        if self.bundle is None or not len(rows):
            return unknown
        if vector is None:
            return _most_chosen(self.bundle, rows=rows, k=limit) + unknown
        return _nearest(self.bundle, vector=_checked(vector, dim=self.bundle.index.dim), rows=rows, k=limit) + unknown


def _checked(vector: Vector, *, dim: int) -> Vector:
    if vector.shape != (dim,) or not np.isfinite(vector).all():
        raise InvalidTable(f"a customer vector must be {dim} finite numbers", where="retrieval")
    return vector.astype(np.float32, copy=False)


def _most_chosen(bundle: Bundle, *, rows: NDArray[np.int64], k: int) -> tuple[Proposal, ...]:
    order = np.lexsort((rows, -bundle.n_chosen[rows]))[:k]
    return tuple((bundle.products.ids[row], None) for row in rows[order])


def _nearest(bundle: Bundle, *, vector: Vector, rows: NDArray[np.int64], k: int) -> tuple[Proposal, ...]:
    if k >= len(rows):
        return _ranked(bundle, rows=rows, cosines=bundle.index.vectors[rows] @ vector)
    mask = np.zeros(len(bundle.index), dtype=np.bool_)
    mask[rows] = True
    [found] = bundle.index.search(vector[None, :], mask=mask, k=k)
    return _ranked(bundle, rows=found.rows, cosines=found.cosines)


def _ranked(bundle: Bundle, *, rows: NDArray[np.int64], cosines: Vector) -> tuple[Proposal, ...]:
    order = np.lexsort((rows, -cosines))  # equal cosines in catalogue order
    affinities = bundle.reference.affinities(cosines[order]).tolist()
    ids = bundle.products.ids
    return tuple((ids[row], affinity) for row, affinity in zip(rows[order].tolist(), affinities, strict=True))
