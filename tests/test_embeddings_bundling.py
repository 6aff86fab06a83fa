"""Any family can be published, read back and served; the gate compares; what vectors give away is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embeddings import bundle as bundles
from embeddings.bundling import FAMILIES
from embeddings.encoding import encoder_of
from embeddings.interactions import TrainingSet
from embeddings.nightly import BundleRefused, train_bundle
from embeddings.proxy import auc, probed
from embeddings.text import Lexical, Sentences
from embeddings.training import TrainingConfig
from recsys.artefacts import Artefact
from recsys.bank.merchants import SENSITIVE
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.tracking import MemoryTracker
from tests.embedding_worlds import KINDS, World, planted_world

QUICK = TrainingConfig(epochs=3, learning_rate=3e-3)


@pytest.fixture(scope="module")
def world() -> World:
    """Histories that tell the kind more often than not."""
    return planted_world(n=1500)


def published(
    world: World, root: Path, *, family: str, seed: int = 1, **more: object
) -> tuple[Artefact, MemoryTracker]:
    tracker = MemoryTracker()
    artefact = train_bundle(
        world.interactions,
        products=world.products,
        root=root,
        features_version="f-1",
        tracker=tracker,
        seed=seed,
        config=QUICK,
        family=family,
        **more,  # type: ignore[arg-type]
    )
    return artefact, tracker


@pytest.mark.parametrize("family", [each for each in FAMILIES if each != "text"])
def test_a_family_is_published_registered_and_read_back(world: World, tmp_path: Path, family: str) -> None:
    artefact, tracker = published(world, tmp_path, family=family)
    bundle = bundles.load(tmp_path, features_version="f-1")
    encoder = encoder_of(bundle)
    customers = encoder.encode(world.interactions.facts[:50], world.interactions.histories()[:50])
    assert customers.shape == (50, encoder.dim) == (50, bundle.index.dim)
    np.testing.assert_allclose(np.linalg.norm(customers, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_products(world.products), bundle.index.vectors, atol=1e-5)
    assert tracker.registered == [
        ("recsys-embeddings", tracker.runs[0].run_id, {"digest": artefact.digest, "encoder": family})
    ]
    assert tracker.runs[0].metrics["recall_at_5"] > 1.1 * tracker.runs[0].metrics["popularity_recall_at_5"]
    again, _ = published(world, tmp_path / "again", family=family)
    assert again.digest == artefact.digest


@pytest.mark.parametrize("family", ["sequential", "linear", "graph"])
def test_history_alone_tells_the_kind(world: World, tmp_path: Path, family: str) -> None:
    published(world, tmp_path, family=family)
    bundle = bundles.load(tmp_path, features_version="f-1")
    vectors = encoder_of(bundle).encode(
        np.zeros((KINDS, KINDS + 2)), [[f"subject-{kind}", f"subject-{kind}", "balance"] for kind in range(KINDS)]
    )
    first = np.argmax(vectors @ bundle.index.vectors.T, axis=1)
    assert world.product_kinds[first].tolist() == list(range(KINDS))


def test_a_bundle_clearly_worse_than_the_one_in_force_is_refused(world: World, tmp_path: Path) -> None:
    good, _ = published(world, tmp_path, family="two-tower")
    blind = replace(world.interactions, history=np.zeros_like(world.interactions.history))
    with pytest.raises(BundleRefused, match="significantly below that of the bundle in force"):
        published(replace(world, interactions=blind), tmp_path, family="linear")
    assert bundles.load(tmp_path, features_version="f-1").digest == good.digest


def test_an_unknown_family_is_refused_with_those_there_are(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="no encoder is called als: choose from two-tower, sequential"):
        published(world, tmp_path, family="als")


def test_vul_2_no_row_or_weight_stands_for_a_sensitive_subject(world: World) -> None:
    data = world.interactions
    histories = [(*history, "gambling", "card:pharmacy", "union_dues") for history in data.histories()]
    told = TrainingSet.from_columns(
        data.facts,
        histories=histories,
        product_ids=[data.products.ids[row] for row in data.product_rows],
        tokens=[str(row) for row in data.customer_rows],
        happened_at=[at.astype("datetime64[us]").item().astimezone() for at in data.happened_at],
        products=data.products,
        fact_names=data.fact_names,
    )
    words = {word for subject in told.subjects.ids for word in subject.replace(":", "_").split("_")}
    assert not words & SENSITIVE
    assert set(told.subjects.ids) == set(data.subjects.ids)


def test_fair_2_what_a_vector_gives_away_is_told(world: World, tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    histories = world.interactions.histories()
    told = {
        "kind": [history[0] if len(history) > 1 else "" for history in histories],
        "chance": dice.choice(["a", "b"], size=len(histories)).tolist(),
    }
    _, tracker = published(world, tmp_path, family="two-tower", traits=told)
    metrics = tracker.runs[0].metrics
    assert metrics["proxy_auc_kind_subject-0"] > 0.9
    assert abs(metrics["proxy_auc_chance_a"] - 0.5) < 3 * metrics["proxy_auc_chance_a_standard_error"]


def test_fair_2_a_probe_is_the_share_of_pairs_in_order_and_rare_values_are_left_out() -> None:
    dice = np.random.default_rng(1)
    scores, has = dice.normal(size=60).round(1), dice.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[has] for b in scores[~has]]
    assert auc(scores, has=has) == pytest.approx(np.mean(pairs))
    vectors = dice.normal(size=(100, 4)).astype(np.float32)
    assert probed(vectors, trait="t", values=["rare"] * 5 + [""] * 95) == ()
    with pytest.raises(InvalidTable, match="3 values for 100 vectors"):
        probed(vectors, trait="t", values=["a"] * 3)


TEXTS = (
    "Easy access saver: savings you can take out at any time",
    "Cash ISA: savings free of tax",
    "Credit card: spread the cost of what you buy",
    "Travel card: no fees when you spend abroad",
    "Personal loan: borrow and repay monthly",
)


@pytest.mark.parametrize(("asked", "place"), [("savngs", {0, 1}), ("abroad", {3}), ("borow money", {4}), ("ISA", {1})])
def test_words_and_their_misspellings_find_their_product(asked: str, place: set[int]) -> None:
    encoder = Lexical.of(TEXTS)
    [vector] = encoder.encode([asked])
    assert int(np.argmax(encoder.encode(TEXTS) @ vector)) in place


def test_a_text_that_says_nothing_known_has_no_direction_and_a_model_must_be_there(tmp_path: Path) -> None:
    encoder = Lexical.of(TEXTS)
    assert not encoder.encode(["", "???"]).any()
    with pytest.raises(InvalidTable, match="no text holds a word"):
        Lexical.of(["", "!"])
    with pytest.raises(InvalidConfiguration, match="is no directory"):
        Sentences(tmp_path / "none")
