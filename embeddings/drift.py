"""How far a new bundle is from an old one, told by cosines alone: coordinates turn with every training.

A policy sees affinities in units of a bundle's own spread, so that is what is compared for customers; for products
it is who their neighbours are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InvalidTable
from recsys.vocabulary import Floats, Vector


@dataclass(frozen=True, slots=True)
class View:
    """What one bundle makes of the same customers and products, in the same rows."""

    customers: Vector  # (n, D)
    products: Vector  # (P, D)

    def affinities(self) -> Floats:
        """(n, P) cosines in units of their own spread."""
        cosines = self.customers.astype(np.float64) @ self.products.T
        return np.asarray((cosines - cosines.mean()) / max(float(cosines.std()), 1e-9))


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed between two bundles; nothing did where kept, alike and same are 1 and moved is 0."""

    neighbours_kept: float  # share of each product's k nearest products
    affinities_alike: float  # mean correlation, customer by customer, of affinities with all products
    affinities_moved: float  # mean distance of an affinity from what it was, in spreads
    same_first: float  # share of customers whose nearest product is the same


def neighbours(products: Vector, *, row: int, k: int) -> NDArray[np.int64]:
    """(≤ k,) rows of the products nearest to one, itself aside, the nearest first.

    >>> neighbours(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], dtype=np.float32), row=0, k=1).tolist()
    [1]
    """
    order = np.argsort(-(products @ products[row]), kind="stable")
    return np.asarray(order[order != row][:k])


def drift(old: View, new: View, *, k: int = 5) -> Drift:
    """Compare two bundles on the same customers and products.

    Raises:
        InvalidTable: they do not have the same rows, or there is nothing to compare.
    """
    shapes = [(len(each.customers), len(each.products)) for each in (old, new)]
    if shapes[0] != shapes[1] or min(shapes[0]) < 1 or shapes[0][1] < 2:
        raise InvalidTable(f"{shapes[0]} and {shapes[1]} customers and products cannot be compared", where="drift")
    kept = [
        len(set(neighbours(old.products, row=row, k=k)) & set(neighbours(new.products, row=row, k=k)))
        for row in range(shapes[0][1])
    ]
    before, after = old.affinities(), new.affinities()
    return Drift(
        float(np.mean(kept)) / min(k, shapes[0][1] - 1),
        float(np.mean([_correlation(*pair) for pair in zip(before, after, strict=True)])),
        float(np.abs(before - after).mean()),
        float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
    )


def flattened(products: Vector) -> Floats:
    """(P, 2) a map of the catalogue: the two directions along which products differ most (Pearson 1901)."""
    centred = products.astype(np.float64) - products.mean(axis=0)
    _, _, right = np.linalg.svd(centred, full_matrices=False)
    flat: Floats = centred @ right[:2].T
    flat *= np.sign(flat[np.abs(flat).argmax(axis=0), np.arange(flat.shape[1])])
    return flat


def _correlation(one: Floats, other: Floats) -> float:
    """Pearson's; 0 where either is the same for every product."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float(one @ other) / size if size > 1e-12 else 0.0
