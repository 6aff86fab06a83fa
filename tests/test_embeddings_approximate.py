"""The approximate index keeps its bound, its masks and its number of answers, and is saved whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import approximate
from embeddings import bundle as bundles
from embeddings.approximate import ApproximateIndex, Measured, index_of, loaded
from embeddings.bundle import Blueprint, Reference
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex, centres_of
from recsys.errors import Corrupt, InvalidTable
from recsys.vocabulary import Bools, Vector

N, DIM, K = 21_000, 16, 50


def unit(vectors: np.ndarray) -> Vector:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def grouped(seed: int, *, n: int) -> tuple[Vector, np.ndarray]:
    """Products in 60 families, and the family of each."""
    centres = np.random.default_rng(0).normal(size=(60, DIM))
    dice = np.random.default_rng(seed)
    families = dice.integers(0, 60, size=n)
    return unit(centres[families] + 0.6 * dice.normal(size=(n, DIM))), families


def ids_of(n: int) -> IdMap:
    return IdMap(tuple(f"p{row}" for row in range(n)))


@pytest.fixture(scope="module")
def index() -> ApproximateIndex:
    made = index_of(grouped(1, n=N)[0], ids=ids_of(N))
    assert isinstance(made, ApproximateIndex)
    return made


def recall(index: ApproximateIndex, *, queries: Vector, mask: Bools) -> float:
    true = index.exact.search(queries, mask=mask, k=K)
    found = index.search(queries, mask=mask, k=K)
    for each, right in zip(found, true, strict=True):
        assert len(each.rows) == len(set(each.rows.tolist())) == len(right.rows) == min(K, mask.sum())
        assert (each.rows >= 0).all()
        assert mask[each.rows].all()
        assert (np.diff(each.cosines) <= 0).all()
    shares = [
        len(set(a.rows.tolist()) & set(b.rows.tolist())) / max(len(b.rows), 1) for a, b in zip(found, true, strict=True)
    ]
    return float(np.mean(shares))


@pytest.mark.parametrize("share", [1.0, 0.1, 0.01])
def test_recall_keeps_the_bound_under_masks_on_queries_it_was_not_measured_on(
    index: ApproximateIndex, share: float
) -> None:
    mask = np.random.default_rng(5).random(N) < share
    assert recall(index, queries=grouped(2, n=100)[0], mask=mask) >= approximate.BOUND


def test_recall_keeps_the_bound_where_only_what_the_customer_is_far_from_is_eligible(index: ApproximateIndex) -> None:
    _, families = grouped(1, n=N)
    queries, liked = grouped(2, n=100)
    for first in (0, 20, 40):
        others = queries[(liked < first) | (liked >= first + 20)][:30]
        mask = (families >= first) & (families < first + 20)
        assert recall(index, queries=others, mask=mask) >= approximate.BOUND


def test_it_compares_far_fewer_products_than_there_are(index: ApproximateIndex) -> None:
    assert index.measured.compared <= N / 7
    assert index.measured.recall >= approximate.BOUND


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.0001, 0.05, 0.12, 0.5, 1.0]), st.integers(1, 3000))
def test_never_a_masked_product_never_minus_one_never_fewer_than_can_be(seed: int, share: float, k: int) -> None:
    vectors, _ = grouped(3, n=3000)
    exact = ExactIndex(vectors, ids=ids_of(3000))
    small = ApproximateIndex(exact, centres=centres_of(vectors, n=40), measured=Measured(100, 1.0))
    dice = np.random.default_rng(seed)
    mask = dice.random(3000) < share
    for found in small.search(grouped(seed, n=3)[0], mask=mask, k=k):
        assert len(found.rows) == len(np.unique(found.rows)) == min(k, mask.sum())
        assert (found.rows >= 0).all()
        assert mask[found.rows].all()


def test_each_query_may_have_a_mask_of_its_own(index: ApproximateIndex) -> None:
    queries = grouped(2, n=3)[0]
    masks = np.random.default_rng(1).random((3, N)) < np.array([[1.0], [0.3], [0.001]])
    together = index.search(queries, mask=masks, k=7)
    for row, found in enumerate(together):
        [alone] = index.search(queries[row : row + 1], mask=masks[row], k=7)
        assert found.rows.tolist() == alone.rows.tolist()


def test_a_small_catalogue_and_one_without_structure_are_searched_exactly() -> None:
    few = grouped(1, n=300)[0]
    assert isinstance(index_of(few, ids=ids_of(300)), ExactIndex)
    dice = np.random.default_rng(0)
    even = unit(dice.normal(size=(N, 32)))  # nothing lies near anything: no number of lists keeps the bound
    assert isinstance(index_of(even, ids=ids_of(N)), ExactIndex)


def test_the_same_vectors_make_the_same_index(index: ApproximateIndex) -> None:
    again = index_of(grouped(1, n=N)[0], ids=ids_of(N))
    assert again.digest == index.digest
    assert loaded(index.arrays(), ids=ids_of(N)).digest == index.digest
    assert loaded(index.arrays(), ids=IdMap(tuple(reversed(ids_of(N).ids)))).digest != index.digest


def publish(root: Path, index: ApproximateIndex) -> bundles.Artefact:
    return bundles.publish(
        root,
        features_version="f",
        index=index,
        n_chosen=np.zeros(N, dtype=np.int64),
        reference=Reference(0.0, 0.2),
        blueprint=Blueprint("two_tower", {}, (), IdMap(), 0, (), index.ids),
        weights={},
    )


def test_it_is_published_and_loaded_as_one_and_a_mismatch_is_refused(index: ApproximateIndex, tmp_path: Path) -> None:
    artefact = publish(tmp_path, index)
    read = bundles.opened(artefact, features_version="f").index
    assert isinstance(read, ApproximateIndex)
    assert read.measured == index.measured
    queries, everything = grouped(2, n=5)[0], np.ones(N, dtype=np.bool_)
    for one, other in zip(*(each.search(queries, mask=everything, k=9) for each in (index, read)), strict=True):
        assert one.rows.tolist() == other.rows.tolist()
    path = artefact.path / "products.npz"
    arrays = bundles.arrays_of(path.read_bytes(), where="x")
    with pytest.raises(Corrupt, match="do not belong together"):
        _opened_with(artefact, arrays | {"centres": arrays["centres"][::-1]})
    with pytest.raises(Corrupt, match="keeps the bound"):
        _opened_with(artefact, arrays | {"recall": np.array(0.7)})
    with pytest.raises(Corrupt, match="centres"):
        _opened_with(artefact, arrays | {"centres": arrays["centres"][:, 1:]})


def _opened_with(artefact: bundles.Artefact, arrays: bundles.Arrays) -> None:
    """Open the bundle as if these had been its arrays, digest and all."""

    class Forged(bundles.Artefact):
        def file(self, name: str) -> bytes:
            return bundles.bytes_of(arrays) if name == "products.npz" else artefact.file(name)

    forged = Forged(**{name: getattr(artefact, name) for name in artefact.__dataclass_fields__})
    bundles.opened(forged, features_version="f")


def test_questions_that_do_not_fit_are_refused(index: ApproximateIndex) -> None:
    query, everything = grouped(2, n=1)[0], np.ones(N, dtype=np.bool_)
    with pytest.raises(InvalidTable, match="not finite"):
        index.search(query * np.nan, mask=everything, k=1)
    with pytest.raises(InvalidTable, match="does not fit"):
        index.search(query, mask=everything[1:], k=1)
    with pytest.raises(InvalidTable, match="k must be"):
        index.search(query, mask=everything, k=0)
