"""Recall is counted per customer, over the whole catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from embeddings.evaluation import popularity_recall, ranks, recall
from recsys.errors import InvalidTable

EYE = np.eye(4, dtype=np.float32)


def test_a_busy_customer_counts_once() -> None:
    rows = np.array([0, 0, 0, 1])
    found = recall(EYE[[0, 0, 0, 0]], vectors=EYE, product_rows=rows, customer_rows=np.array([5, 5, 5, 9]), k=1)
    assert found.per_customer.tolist() == [1.0, 0.0]
    assert found.mean == 0.5
    assert found.standard_error == pytest.approx(0.5)


def test_ranks_equal_a_full_sort() -> None:
    rng = np.random.default_rng(2)
    queries, vectors = rng.normal(size=(300, 5)).astype(np.float32), rng.normal(size=(40, 5)).astype(np.float32)
    chosen, eligible = rng.integers(0, 40, size=300), rng.random((300, 40)) < 0.5
    eligible[np.arange(300), chosen] = True
    scores = np.where(eligible, queries @ vectors.T, -np.inf)
    expected = [int(np.flatnonzero(np.argsort(-row) == c)[0]) for row, c in zip(scores, chosen, strict=True)]
    assert ranks(queries, vectors=vectors, product_rows=chosen, eligible=eligible).tolist() == expected


def test_what_could_not_be_shown_does_not_stand_in_the_way() -> None:
    eligible = np.array([[False, True, True, True]])
    asked = {"product_rows": np.array([1]), "customer_rows": np.array([0]), "k": 1}
    assert popularity_recall(np.array([9, 5, 1, 0]), **asked).mean == 0.0
    assert popularity_recall(np.array([9, 5, 1, 0]), **asked, eligible=eligible).mean == 1.0


def test_an_ineligible_choice_is_a_miss_and_nothing_is_refused() -> None:
    eligible = np.array([[False, True, True, True]])
    found = recall(
        EYE[[0]], vectors=EYE, product_rows=np.array([0]), customer_rows=np.array([0]), k=4, eligible=eligible
    )
    assert found.mean == 0.0
    with pytest.raises(InvalidTable, match="nothing to evaluate"):
        recall(EYE[:0], vectors=EYE, product_rows=np.array([], dtype=int), customer_rows=np.array([], dtype=int), k=1)
