"""Laws of retrieval: nothing ineligible, nothing lost, nothing twice, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import bundle as bundles
from embeddings.bundle import Blueprint, Reference
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from embeddings.retrieval import ALL_UP_TO, Retriever
from recsys.errors import InvalidTable
from recsys.vocabulary import CustomerId, Profile, Token, Vector

DIM, N = 8, 400
KNOWN = tuple(f"product-{row}" for row in range(N))


def unit(seed: int, *, n: int) -> Vector:
    vectors = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    root = tmp_path_factory.mktemp("bundle")
    artefact = bundles.publish(
        root,
        features_version="f-1",
        index=ExactIndex(unit(0, n=N), ids=IdMap(KNOWN)),
        n_chosen=np.arange(N)[::-1].copy(),  # the first products are the most chosen
        reference=Reference(0.0, 0.35),
        blueprint=Blueprint("two_tower", {}, (), IdMap(), 8, (), IdMap(KNOWN)),
        weights={},
    )
    return Retriever(bundles.opened(artefact, features_version="f-1"))


@st.composite
def questions(draw: st.DrawFn) -> tuple[tuple[str, ...], Vector | None, int]:
    size = draw(st.sampled_from([0, 1, 21, 99, 100, 101, 250]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = [*KNOWN, *(f"launched-{i}" for i in range(draw(st.integers(0, 40))))]
    eligible = tuple(pool[place] for place in rng.permutation(len(pool))[:size])
    vector = unit(int(rng.integers(2**31)), n=1)[0] if draw(st.booleans()) else None
    return eligible, vector, draw(st.integers(1, 300))


@settings(max_examples=150, deadline=None)
@given(questions())
def test_proposals_are_eligible_once_and_nothing_is_lost(
    retriever: Retriever, question: tuple[tuple[str, ...], Vector | None, int]
) -> None:
    eligible, vector, k = question
    proposals = retriever.propose(vector, eligible=eligible, k=k)
    ids = [product for product, _ in proposals]
    assert retriever.bundle is not None
    products = retriever.bundle.products
    known = [product for product in eligible if product in products]
    launched = [product for product in eligible if product not in products]
    limit = len(eligible) if len(eligible) <= ALL_UP_TO else k
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(eligible)
    assert ids[min(limit, len(known)) :] == launched[:limit]  # in the order given, last
    for product, affinity in proposals:
        assert (affinity is None) == (vector is None or product in launched)
        assert affinity is None or -4.0 <= affinity <= 4.0
    assert proposals == retriever.propose(vector, eligible=eligible, k=k)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_above_the_limit_the_nearest_are_proposed(retriever: Retriever, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(N)[:200]
    vector = unit(seed, n=1)[0]
    assert retriever.bundle is not None
    cosines = retriever.bundle.index.vectors[rows] @ vector
    proposals = retriever.propose(vector, eligible=[KNOWN[row] for row in rows], k=10)
    best = np.sort(cosines)[::-1][:10].astype(np.float64)
    np.testing.assert_allclose([affinity for _, affinity in proposals], np.clip(best / 0.35, -4, 4), atol=1e-4)


def test_without_a_customer_vector_the_most_chosen_are_proposed(retriever: Retriever) -> None:
    assert [product for product, _ in retriever.propose(None, eligible=KNOWN[::-1], k=3)] == list(KNOWN[:3])


def test_a_decision_can_say_how_it_was_chosen(retriever: Retriever) -> None:
    vector = unit(1, n=1)[0]
    assert retriever.mode(vector, n_eligible=100) == retriever.mode(None, n_eligible=21) == "all"
    assert retriever.mode(vector, n_eligible=101) == "vector"
    assert retriever.mode(None, n_eligible=101) == "static"


def test_only_this_bundles_vectors_are_used(retriever: Retriever) -> None:
    vector = unit(1, n=1)[0]

    def kept(vector: Vector | None, *, bundle: str | None) -> Vector | None:
        return retriever.vector_of(Profile(CustomerId("c"), Token("t"), vector=vector, bundle=bundle))

    assert kept(vector, bundle=retriever.digest) is vector
    assert kept(vector, bundle="another") is None
    assert kept(vector, bundle=None) is None
    assert kept(None, bundle=retriever.digest) is None
    assert kept(vector[:3], bundle=retriever.digest) is None
    assert kept(vector * np.float32("nan"), bundle=retriever.digest) is None


def test_a_vector_that_does_not_fit_is_refused(retriever: Retriever) -> None:
    with pytest.raises(InvalidTable, match="8 finite numbers"):
        retriever.propose(unit(1, n=1)[0][:3], eligible=KNOWN, k=5)
    with pytest.raises(InvalidTable, match="k must be at least 1"):
        retriever.propose(None, eligible=KNOWN, k=0)


def test_without_a_bundle_every_eligible_product_is_proposed_without_affinity() -> None:
    none = Retriever(None)
    profile = Profile(CustomerId("c"), Token("t"), vector=unit(1, n=1)[0], bundle="")
    assert none.digest == ""
    assert none.vector_of(profile) is None
    assert none.propose(None, eligible=KNOWN[:100], k=1) == tuple((product, None) for product in KNOWN[:100])
    assert len(none.propose(None, eligible=KNOWN, k=5)) == 5


def test_the_best_come_first_and_affinity_is_the_standardised_cosine(retriever: Retriever) -> None:
    assert retriever.bundle is not None
    vector = retriever.bundle.index.vectors[3]
    proposals = retriever.propose(vector, eligible=KNOWN[:21], k=1)
    assert proposals[0] == (KNOWN[3], pytest.approx(1 / 0.35, abs=1e-5))
    affinities = [affinity for _, affinity in proposals if affinity is not None]
    assert affinities == sorted(affinities, reverse=True)
    assert len(affinities) == 21
