"""A planted world is found, a shuffled one is not, and the same seed gives the same bytes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embeddings import bundle as bundles
from embeddings.bundling import made
from embeddings.encoding import TwoTowerEncoder
from embeddings.evaluation import popularity_recall, recall
from embeddings.fitting import Epoch, limited_threads
from embeddings.losses import log_inclusion, sampled_softmax
from embeddings.nightly import BundleRefused, train_bundle
from embeddings.training import TrainingConfig, met_in, train
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys.artefacts import Artefact
from recsys.errors import ArtefactMissing, InvalidConfiguration, InvalidTable
from recsys.tracking import MemoryTracker
from tests.embedding_worlds import KINDS, World, planted_world, products_of

QUICK = TrainingConfig(epochs=8, patience=3, learning_rate=3e-3)


def published(
    world: World, root: Path, *, seed: int = 1, config: TrainingConfig = QUICK
) -> tuple[Artefact, MemoryTracker]:
    tracker = MemoryTracker()
    artefact = train_bundle(
        world.interactions,
        products=world.products,
        root=root,
        features_version="f-1",
        tracker=tracker,
        seed=seed,
        config=config,
    )
    return artefact, tracker


@pytest.fixture(scope="module")
def world() -> World:
    return planted_world()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    root = tmp_path_factory.mktemp("planted")
    published(world, root)
    return root


@pytest.fixture(scope="module")
def encoder(home: Path) -> TwoTowerEncoder:
    return TwoTowerEncoder.of(bundles.load(home, features_version="f-1"))


def test_planted_kinds_are_found_far_beyond_popularity(world: World, tmp_path: Path) -> None:
    artefact, tracker = published(world, tmp_path)
    [run] = tracker.runs
    assert run.status == "finished"
    assert run.metrics["popularity_recall_at_5"] < 0.4
    assert run.metrics["recall_at_5"] > 0.75  # the best possible is about 0.92
    assert len(run.curves["loss"]) >= 2
    assert artefact.manifest["notes"]["recall_at_5"] == run.metrics["recall_at_5"]


def test_shuffled_choices_score_like_popularity(tmp_path: Path) -> None:
    shuffled, tracker = planted_world(n=6000, shuffled="yes"), MemoryTracker()
    with suppress(BundleRefused):  # noise may push it under the gate; the numbers are what is asked here
        train_bundle(
            shuffled.interactions,
            products=shuffled.products,
            root=tmp_path,
            features_version="f-1",
            tracker=tracker,
            seed=1,
            config=QUICK,
        )
    [run] = tracker.runs
    gained = run.metrics["recall_at_5"] - run.metrics["popularity_recall_at_5"]
    assert abs(gained) < 3 * run.metrics["recall_at_5_standard_error"] < 0.08


def test_a_product_that_always_stands_without_its_id_learns_none(world: World) -> None:
    config = replace(QUICK, epochs=1, id_dropout=1.0)
    [epoch] = train(world.interactions, products=world.products, seed=1, config=config)
    assert epoch.weights is not None
    assert not epoch.weights["product_ids.weight"].any()


def test_the_same_seed_publishes_the_same_digest_whatever_the_process_did_before(
    world: World, home: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    with limited_threads(2):
        again, _ = published(world, tmp_path)
        assert torch.get_num_threads() == 2
    other, _ = published(world, tmp_path, seed=2)
    assert again.digest == bundles.load(home, features_version="f-1").digest
    assert other.digest != again.digest


def test_drawing_between_epochs_changes_nothing_and_training_draws_from_nobody(world: World) -> None:
    config = replace(QUICK, epochs=2)
    quiet = [
        epoch.validation_loss for epoch in train(world.interactions, products=world.products, seed=1, config=config)
    ]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    noisy, drawn = [], []
    for epoch in train(world.interactions, products=world.products, seed=1, config=config):
        noisy.append(epoch.validation_loss)
        drawn.append(float(torch.rand(1)))
    assert noisy == quiet
    assert drawn == expected[:2].tolist()


def test_training_stops_when_later_rows_stop_improving(world: World) -> None:
    epochs: list[Epoch] = list(
        train(world.interactions, products=world.products, seed=1, config=replace(QUICK, epochs=60, patience=2))
    )
    best = min(epochs, key=lambda epoch: epoch.validation_loss)
    assert len(epochs) == best.number + 2 < 60
    assert best.weights is not None
    assert all(epoch.weights is None for epoch in epochs[best.number :])


def test_a_cold_product_is_near_the_customers_of_its_kind(world: World, encoder: TwoTowerEncoder) -> None:
    cold = products_of(np.arange(KINDS), prefix="launched-today")
    vectors = encoder.encode_products(cold)
    customers = encoder.encode(np.hstack([np.eye(KINDS), np.zeros((KINDS, 2))]), [["balance"]] * KINDS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.argmax(customers @ vectors.T, axis=1).tolist() == list(range(KINDS))


def test_history_alone_tells_the_kind(world: World, encoder: TwoTowerEncoder) -> None:
    unknown = np.full((KINDS, KINDS + 2), 1 / KINDS)
    customers = encoder.encode(unknown, [[f"subject-{kind}"] * 2 for kind in range(KINDS)])
    vectors = encoder.encode_products(products_of(np.arange(KINDS), prefix="new"))
    assert np.argmax(customers @ vectors.T, axis=1).tolist() == list(range(KINDS))


def test_encoding_is_unit_float32_and_row_by_row(world: World, encoder: TwoTowerEncoder) -> None:
    facts, histories = world.interactions.facts[:300], [["subject-1", "never seen"], []] * 150
    together = encoder.encode(facts, histories)
    assert together.dtype == np.float32
    assert together.shape == (300, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(facts[7:8], histories[7:8]), together[7:8], atol=1e-6)
    assert encoder.encode(np.empty((0, facts.shape[1])), []).shape == (0, encoder.dim)


def test_facts_the_encoder_cannot_read_are_refused(encoder: TwoTowerEncoder) -> None:
    with pytest.raises(InvalidTable, match=r"not finite \(row 1\)"):
        encoder.encode([[np.nan] * (KINDS + 2)], [[]])
    with pytest.raises(InvalidTable, match="shape"):
        encoder.encode([[0.0]], [[]])
    with pytest.raises(InvalidTable, match="other features"):
        encoder.encode_products(replace(products_of(np.arange(2)), names=("x",) * KINDS))


def test_a_log_whose_last_tenth_is_one_customers_is_refused_in_words(world: World, tmp_path: Path) -> None:
    alone = replace(world.interactions, customer_rows=np.zeros_like(world.interactions.customer_rows))
    with pytest.raises(InvalidTable, match="one customer alone cannot judge a bundle"):
        published(replace(world, interactions=alone), tmp_path)


def test_the_gate_refuses_what_is_worse_than_popularity(world: World, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    fashion = np.minimum(rng.geometric(0.4, size=len(world.interactions)), 25) - 1  # everybody wants the same few
    tracker = MemoryTracker()
    with pytest.raises(BundleRefused, match=r"recall@5 0\.\d+ is below 0\.9 of popularity's"):
        train_bundle(
            replace(world.interactions, product_rows=fashion),
            products=world.products,
            root=tmp_path,
            features_version="f-1",
            tracker=tracker,
            seed=3,
            config=replace(QUICK, epochs=1, learning_rate=1e-9),  # learns nothing
        )
    assert tracker.runs[0].status == "failed"
    assert "recall_at_5" in tracker.runs[0].metrics
    with pytest.raises(ArtefactMissing):
        bundles.load(tmp_path, features_version="f-1")


def test_the_judge_ranks_only_what_could_be_shown(world: World, tmp_path: Path) -> None:
    few = np.zeros((len(world.interactions), len(world.products)), dtype=np.bool_)
    few[:, :4] = True
    few[np.arange(len(few)), world.interactions.product_rows] = True  # at most five are eligible
    tracker = MemoryTracker()
    train_bundle(
        world.interactions,
        products=world.products,
        root=tmp_path,
        features_version="f-1",
        tracker=tracker,
        seed=1,
        config=replace(QUICK, epochs=1),
        eligible=few,
    )
    assert tracker.runs[0].metrics["recall_at_5"] == tracker.runs[0].metrics["popularity_recall_at_5"] == 1.0


def test_everybody_choosing_one_product_is_no_mishap(world: World, tmp_path: Path) -> None:
    same = replace(world.interactions, product_rows=np.zeros_like(world.interactions.product_rows))
    artefact, tracker = published(replace(world, interactions=same), tmp_path)
    assert tracker.runs[0].metrics["recall_at_5"] == 1.0
    assert bundles.opened(artefact, features_version="f-1").reference.std > 0


def test_a_product_nobody_chose_yet_is_not_pushed_away(world: World) -> None:
    """Twins of known kinds stand in the catalogue but were never offered: only facts speak for them."""
    twins = products_of(np.concatenate([world.product_kinds, np.arange(KINDS)]))
    data = replace(world.interactions, products=twins.ids)
    *_, best = [e for e in train(data, products=twins, seed=1, config=QUICK) if e.weights is not None]
    assert best.weights is not None
    ids = best.weights["product_ids.weight"]  # (1 + 30, D)
    assert not ids[-KINDS:].any()
    assert ids[1:-KINDS].any(axis=1).all()


def test_what_nobody_could_choose_is_not_learned_as_unwanted(world: World) -> None:
    """Two of the five products of each kind come later: customers of that kind find them by features and words."""
    later = np.arange(len(world.products)) >= 15
    data = world.interactions.where(~later[world.interactions.product_rows])
    data = data.choosing_among(np.broadcast_to(~later, (len(data), len(later))))
    assert met_in(data).tolist() == (~later).tolist()
    asked = world.interactions.where(later[world.interactions.product_rows])
    encoder = made(
        data, family="two-tower", products=world.products, seed=1, config=QUICK, told=lambda _: None, checkpoint=None
    ).encoder()
    told: dict[str, Any] = {"product_rows": asked.product_rows, "customer_rows": asked.customer_rows, "k": 2}
    queries, vectors = encoder.encode_rows(asked.facts, history=asked.history), encoder.encode_products(world.products)
    new, blind = np.broadcast_to(later, (len(asked), len(later))), 2 / later.sum()
    assert recall(queries, vectors=vectors, eligible=new, **told).mean > 3 * blind
    assert popularity_recall(data.product_counts, **told).mean == 0.0


def test_what_was_passed_over_again_and_again_is_known_to_be_unwanted(world: World) -> None:
    never = world.interactions.where(world.interactions.product_rows != 24)
    assert met_in(never)[24]  # 3,000 choices among 25: chance alone would have met it a hundred times
    seldom = np.ones((len(never), 25), dtype=np.bool_)
    seldom[20:, 24] = False
    assert not met_in(never.choosing_among(seldom))[24]


def test_a_rate_that_explodes_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="lower the learning rate"):
        published(world, tmp_path, config=replace(QUICK, epochs=1, learning_rate=1e30))


def test_the_gpu_path_bfloat16_and_compiled_towers_find_the_planted_kinds_too(world: World) -> None:
    config = replace(QUICK, epochs=4)
    *_, plain = train(world.interactions, products=world.products, seed=1, config=config)
    config = replace(config, precision="bf16", compiled="eager")
    *_, reduced = train(world.interactions, products=world.products, seed=1, config=config)
    assert reduced.recall == pytest.approx(plain.recall, abs=0.05)
    assert reduced.validation_loss == pytest.approx(plain.validation_loss, rel=0.05)


def test_a_large_catalogue_learns_from_a_sample(tmp_path: Path) -> None:
    large = planted_world(n=2000, n_products=3000)
    config = replace(QUICK, epochs=2, full_up_to=100, n_uniform=200)
    kinds = large.product_kinds
    *_, last = train(large.interactions, products=large.products, seed=1, config=config)
    assert last.validation_loss < np.log(len(kinds)) - 0.8  # knowing the kind is worth log 5 = 1.6 nats


def test_what_does_not_fit_together_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match="different products"):
        train(world.interactions, products=products_of(np.arange(3)), seed=1)
    with pytest.raises(InvalidTable, match="eligibility has shape"):
        train_bundle(
            world.interactions,
            products=world.products,
            root=tmp_path,
            features_version="f-1",
            tracker=MemoryTracker(),
            seed=1,
            eligible=np.ones((2, 2), dtype=np.bool_),
        )
    with pytest.raises(InvalidConfiguration, match="at least 1"):
        TrainingConfig(epochs=0)
    with pytest.raises(InvalidConfiguration, match="positive"):
        TrainingConfig(temperature=0.0)


def test_the_correction_makes_a_sample_agree_with_the_whole_catalogue() -> None:
    dice = torch.Generator().manual_seed(0)
    n, n_batch, n_uniform = 400, 64, 64
    popularity = torch.distributions.Dirichlet(torch.full((n,), 0.3)).sample()
    products = torch.nn.functional.normalize(torch.randn((n, 8), generator=dice), dim=1)
    customer = products[:1] * 0.5
    scores = (customer @ products.T).squeeze(0) / 0.2
    log_q = log_inclusion(popularity, n_batch=n_batch, n_uniform=n_uniform)
    partitions = []
    for _ in range(2000):
        rows = torch.cat(
            [
                torch.multinomial(popularity, n_batch, replacement=True, generator=dice),
                torch.randint(n, (n_uniform,), generator=dice),
            ]
        ).unique()
        partitions.append(float((scores[rows] - log_q[rows]).exp().sum()))
    assert np.mean(partitions) == pytest.approx(float(scores.exp().sum()), rel=0.02)


@pytest.mark.parametrize("likely", [1.0, 0.1])
def test_the_loss_is_the_softmax_with_likely_products_held_down(likely: float) -> None:
    vectors, in_sample = torch.eye(3), torch.tensor([likely, 1.0, 1.0])
    loss = sampled_softmax(
        vectors[:1], products=vectors, targets=torch.tensor([0]), log_q=in_sample.log(), temperature=0.5
    )
    lifted = np.exp(2) / likely  # rarely sampled, so it stands for many of its kind
    assert float(loss) == pytest.approx(-np.log(lifted / (lifted + 2)), abs=1e-6)


def test_an_empty_history_and_an_unknown_id_add_nothing() -> None:
    network = TwoTower(TwoTowerConfig(dim=4), n_facts=2, n_subjects=3, n_features=2, n_products=5)
    features, words = torch.rand(1, 2), torch.tensor([[3]])
    unknown = network.product(torch.tensor([0]), features=features, words=words)
    assert torch.equal(unknown, network.product(torch.tensor([4]), features=features, words=words))  # ids start at zero
    facts = torch.rand(1, 2)
    short = network.customer(facts, history=torch.tensor([[2, 0, 0]]))
    assert torch.allclose(short, network.customer(facts, history=torch.tensor([[2, 2, 0]])))  # a mean, not a sum
