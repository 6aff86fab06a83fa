"""How good vectors are at finding what a customer chose next: the whole catalogue ranked, no sampled negatives.

Neighbours are averaged within a customer first, then over customers: the customer is the unit, so one busy
customer does not count as many, and the standard error is honest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats, Vector

_CELLS = 4_000_000  # scores held at once: 16 MB, whatever the catalogue's size


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """Share of choices found among the first k, per customer."""

    k: int
    per_customer: Floats  # (customers,) in [0, 1]

    @property
    def mean(self) -> float:
        """Mean over customers, in [0, 1]."""
        return float(self.per_customer.mean())

    @property
    def standard_error(self) -> float:
        """Of the mean; infinite for a single customer."""
        n = len(self.per_customer)
        return float(self.per_customer.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")


def recall(
    queries: Vector,
    *,
    vectors: Vector,
    product_rows: NDArray[np.int64],
    customer_rows: NDArray[np.int64],
    k: int,
    eligible: Bools | None = None,
) -> Recall:
    """Recall@k of the ranking by inner product.

    `queries` (m, D) stand beside the chosen `product_rows` (m,) and `customer_rows` (m,); `vectors` is
    (P, D); `eligible` (m, P) keeps other products out of the ranking. A choice that is not eligible
    is a miss. Equal scores rank in row order.

    >>> found = recall(np.eye(2, dtype=np.float32), vectors=np.eye(2, dtype=np.float32), k=1,
    ...                product_rows=np.array([0, 0]), customer_rows=np.array([7, 8]))
    >>> found.mean
    0.5
    """
    if not len(queries):
        raise InvalidTable("nothing to evaluate", where="recall")
    hits = ranks(queries, vectors=vectors, product_rows=product_rows, eligible=eligible) < k  # (m,)
    _, places = np.unique(customer_rows, return_inverse=True)
    return Recall(k, np.bincount(places, weights=hits) / np.bincount(places))


def popularity_recall(
    counts: NDArray[np.int64],
    *,
    product_rows: NDArray[np.int64],
    customer_rows: NDArray[np.int64],
    k: int,
    eligible: Bools | None = None,
) -> Recall:
    """Recall@k of one list for all, by how often each product was chosen before; `counts` is (P,)."""
    return recall(
        np.ones((len(product_rows), 1), dtype=np.float32),
        vectors=counts[:, None].astype(np.float32),
        product_rows=product_rows,
        customer_rows=customer_rows,
        k=k,
        eligible=eligible,
    )


def ranks(
    queries: Vector, *, vectors: Vector, product_rows: NDArray[np.int64], eligible: Bools | None = None
) -> NDArray[np.int64]:
    """(m,) rank of each chosen product, 0 the best; P where the choice is not eligible."""
    n_products = len(vectors)
    found = np.empty(len(queries), dtype=np.int64)
    places = np.arange(n_products)
    for part in _parts(len(queries), width=n_products):
        scores = queries[part] @ vectors.T  # (b, P)
        if eligible is not None:
            scores = np.where(eligible[part], scores, -np.inf)
        chosen = product_rows[part][:, None]  # (b, 1)
        score = np.take_along_axis(scores, chosen, axis=1)
        ahead = (scores > score) | ((scores == score) & (places < chosen))  # (b, P)
        found[part] = np.where(np.isfinite(score[:, 0]), ahead.sum(axis=1), n_products)
    return found


def _parts(n_rows: int, *, width: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(width, 1))
    return (slice(start, start + step) for start in range(0, n_rows, step))
