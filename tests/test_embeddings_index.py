"""The index gives exactly what brute force gives, and never what is masked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Vector


def unit_vectors(rng: np.random.Generator, *, n: int, dim: int) -> Vector:
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def index_of(vectors: Vector) -> ExactIndex:
    return ExactIndex(vectors, ids=IdMap(tuple(f"p{row}" for row in range(len(vectors)))))


def best_by_brute_force(query: NDArray[np.float32], *, vectors: Vector, mask: Bools, k: int) -> NDArray[np.float32]:
    return np.sort((vectors @ query)[mask])[::-1][:k]


@st.composite
def searches(draw: st.DrawFn) -> tuple[Vector, Vector, Bools, int]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_queries = draw(st.integers(1, 300)), draw(st.integers(1, 4))
    vectors = unit_vectors(rng, n=n, dim=8)
    if draw(st.booleans()):
        vectors[:] = vectors[rng.integers(0, n, size=n)]  # products that are exactly alike
    shape = (n,) if draw(st.booleans()) else (n_queries, n)
    mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    return vectors, unit_vectors(rng, n=n_queries, dim=8), mask, draw(st.integers(1, 320))


@settings(max_examples=150, deadline=None)
@given(searches())
def test_search_is_brute_force_under_the_mask(search: tuple[Vector, Vector, Bools, int]) -> None:
    vectors, queries, mask, k = search
    answers = index_of(vectors).search(queries, mask=mask, k=k)
    assert len(answers) == len(queries)
    for query, allowed, found in zip(
        queries, np.broadcast_to(mask, (len(queries), len(vectors))), answers, strict=True
    ):
        assert len(found.rows) == min(k, allowed.sum())  # all eligible when there are fewer than k
        assert len(set(found.rows.tolist())) == len(found.rows)
        assert (found.rows >= 0).all()
        assert allowed[found.rows].all()
        np.testing.assert_allclose(found.cosines, vectors[found.rows] @ query, atol=1e-5)
        np.testing.assert_allclose(
            found.cosines, best_by_brute_force(query, vectors=vectors, mask=allowed, k=k), atol=1e-5
        )


def test_a_large_batch_of_queries_keeps_the_mask() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = unit_vectors(rng, n=500, dim=16), unit_vectors(rng, n=200, dim=16)
    mask = rng.random(500) < 0.1
    for query, found in zip(queries, index_of(vectors).search(queries, mask=mask, k=10), strict=True):
        np.testing.assert_allclose(
            found.cosines, best_by_brute_force(query, vectors=vectors, mask=mask, k=10), atol=1e-5
        )
        assert mask[found.rows].all()


def test_the_digest_tells_vectors_and_ids_apart() -> None:
    vectors = unit_vectors(np.random.default_rng(1), n=3, dim=4)
    turned = vectors[::-1].copy()
    assert index_of(vectors).digest == index_of(vectors.copy()).digest
    assert index_of(vectors).digest != index_of(turned).digest
    assert index_of(vectors).digest != ExactIndex(vectors, ids=IdMap(("a", "b", "c"))).digest


def test_vectors_that_are_not_unit_never_enter() -> None:
    vectors = unit_vectors(np.random.default_rng(1), n=3, dim=4)
    for poison in (np.nan, np.inf, 7.0, 0.0):
        wrong = vectors.copy()
        wrong[1] = poison
        with pytest.raises(InvalidTable, match=r"unit length \(row 2\)"):
            index_of(wrong)
    with pytest.raises(InvalidTable, match=r"shape \(3, 4\) for 2 products"):
        ExactIndex(vectors, ids=IdMap(("a", "b")))


def test_a_question_that_does_not_fit_is_refused() -> None:
    index = index_of(unit_vectors(np.random.default_rng(1), n=3, dim=4))
    query, everything = np.ones((1, 4), dtype=np.float32), np.ones(3, dtype=np.bool_)
    with pytest.raises(InvalidTable, match="query is not finite"):
        index.search(query * np.nan, mask=everything, k=1)
    with pytest.raises(InvalidTable, match="query is not finite"):
        index.search(query * np.float32(1e30), mask=everything, k=1)  # finite, but its products are not
    with pytest.raises(InvalidTable, match="expected"):
        index.search(query[:, :3], mask=everything, k=1)
    with pytest.raises(InvalidTable, match="does not fit"):
        index.search(query, mask=everything[:2], k=1)
    with pytest.raises(InvalidTable, match="does not fit"):
        index.search(query, mask=np.array([0, 1, 2]), k=1)
    with pytest.raises(InvalidTable, match="k must be at least 1"):
        index.search(query, mask=everything, k=0)


def test_an_index_cannot_be_changed_from_outside() -> None:
    vectors = unit_vectors(np.random.default_rng(1), n=3, dim=4)
    index = index_of(vectors)
    before = index.digest
    vectors[:] = 0
    assert index.digest == before
    with pytest.raises(ValueError, match="read-only"):
        index.vectors[0] = 0
