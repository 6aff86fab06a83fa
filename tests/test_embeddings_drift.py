"""Drift between bundles: a space that only turned has not drifted, one that was shuffled has."""

from __future__ import annotations

import numpy as np
import pytest

from embeddings.drift import Drift, View, drift, flattened, neighbours
from recsys.errors import InvalidTable
from recsys.vocabulary import Vector


def unit(seed: int, *, n: int) -> Vector:
    vectors = np.random.default_rng(seed).normal(size=(n, 8))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def test_a_space_that_only_turned_has_not_drifted() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(8, 8)))
    old = View(unit(1, n=40), unit(2, n=12))
    new = View(*(np.asarray(each @ turn, dtype=np.float32) for each in (old.customers, old.products)))
    told = drift(old, new)
    assert (told.neighbours_kept, told.same_first) == (1.0, 1.0)
    assert told.affinities_alike == pytest.approx(1.0, abs=1e-5)
    assert told.affinities_moved == pytest.approx(0.0, abs=1e-5)


def test_products_that_changed_places_have_drifted_and_more_change_is_more_drift() -> None:
    old = View(unit(1, n=200), unit(2, n=30))
    few, many = old.products.copy(), old.products.copy()
    few[:4], many[:] = old.products[3::-1], old.products[::-1]
    little, much = drift(old, View(old.customers, few)), drift(old, View(old.customers, many))
    assert 1.0 > little.affinities_alike > much.affinities_alike
    assert 0.0 < little.affinities_moved < much.affinities_moved
    assert little.same_first > much.same_first
    assert little.neighbours_kept > much.neighbours_kept


def test_neighbours_are_never_the_product_itself() -> None:
    products = np.repeat(unit(1, n=1), 4, axis=0)  # four that are exactly alike
    assert neighbours(products, row=2, k=9).tolist() == [0, 1, 3]


def test_a_map_keeps_what_differs_most_and_is_the_same_each_time() -> None:
    products = unit(1, n=20)
    assert flattened(products).shape == (20, 2)
    assert np.array_equal(flattened(products), flattened(products.copy()))
    first, second = flattened(products).std(axis=0)
    assert first >= second


@pytest.mark.parametrize(("customers", "products"), [(3, 9), (4, 8), (0, 9)])
def test_bundles_over_other_rows_cannot_be_compared(customers: int, products: int) -> None:
    old = View(unit(1, n=4), unit(2, n=9))
    with pytest.raises(InvalidTable, match="cannot be compared"):
        drift(old, View(unit(1, n=max(customers, 1))[:customers], unit(2, n=products)))
    assert isinstance(drift(old, old), Drift)
