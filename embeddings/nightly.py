"""The nightly walk: split by time, train, encode, index, judge, and publish whole or not at all.

The last tenth of the time span judges; the training never sees it. The gate: recall@5 on it, ranked
over the whole catalogue, must reach nine tenths of popularity's. The tenth is room for noise on a few
hundred customers, not for a bad model. The gate holds for the first bundle too: without a bundle
everything works (no affinity, every eligible product a candidate), with a bad one a policy is misled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from embeddings import bundle as bundles
from embeddings.bundle import Blueprint, Reference
from embeddings.encoding import Encoder
from embeddings.evaluation import Recall, popularity_recall, recall
from embeddings.fitting import Epoch, Weights, limited_threads
from embeddings.index import ExactIndex
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.training import TrainingConfig, train
from recsys.artefacts import Artefact, canonical
from recsys.errors import InvalidConfiguration, InvalidTable, RecsysError
from recsys.tracking import Parameter, Run, Tracker
from recsys.vocabulary import Bools

GATE = 0.9  # of popularity's recall
K = 5
_JUDGE_SHARE = 0.1
_REFERENCE_ROWS = 2000  # customers and products whose cosines make the reference


class BundleRefused(RecsysError):
    """The new bundle ranks worse than popularity; the one in force, if any, stays."""

    def __init__(self, found: float, *, popularity: float) -> None:
        super().__init__(
            f"bundle not published: recall@{K} {found:.3f} is below {GATE:g} of popularity's {popularity:.3f}"
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Recall@5 of the bundle and of popularity, on the same later rows."""

    found: Recall
    popularity: Recall
    n_rows: int

    @property
    def passed(self) -> bool:
        """Whether the gate opens."""
        return self.found.mean >= GATE * self.popularity.mean

    def metrics(self) -> dict[str, float]:
        """Numbers for the tracker and the manifest."""
        return {
            "recall_at_5": self.found.mean,
            "recall_at_5_standard_error": self.found.standard_error,
            "popularity_recall_at_5": self.popularity.mean,
            "judged_rows": float(self.n_rows),
        }


def train_bundle(
    interactions: TrainingSet,
    *,
    products: ProductFacts,
    root: Path,
    features_version: str,
    tracker: Tracker,
    seed: int,
    config: TrainingConfig | None = None,
    eligible: Bools | None = None,
    progress: Callable[[Epoch], None] = lambda _: None,
    experiment: str = "embeddings",
) -> Artefact:
    """Train on `interactions`, and publish the bundle under `root` if it passes the gate.

    `products` has the rows of `interactions.products`; `eligible` (n, P), where given, keeps what could
    not have been shown out of the judged rankings, for the bundle and for popularity alike. The same
    inputs and seed publish the same digest.

    Raises:
        InvalidTable: interactions that cannot be split by time, products or eligibility that do not fit them.
        InvalidConfiguration: the learning rate is so high that nothing finite was learned.
        BundleRefused: the gate stayed shut (the run is tracked all the same).
    """
    config = config or TrainingConfig()
    learn, judge = interactions.split(1 - _JUDGE_SHARE)
    if len(np.unique(judge.customer_rows)) < 2:
        raise InvalidTable("one customer alone cannot judge a bundle; bring a longer log", where="training")
    shown = _judged(eligible, interactions=interactions, judge=judge)
    parameters = {
        "encoder": "two_tower",
        "seed": seed,
        "features_version": features_version,
        "data": interactions.digest,
        "n_interactions": len(interactions),
        "n_products": len(products),
        **_settings(config),
    }
    with tracker.run("two_tower", experiment=experiment, parameters=parameters) as run:
        weights, best = _best(learn, products=products, seed=seed, config=config, progress=progress, run=run)
        blueprint = _blueprint(interactions, products=products, config=config)
        with limited_threads(config.threads):  # vectors too must not depend on the number of cores
            encoder = Encoder(blueprint, weights=weights)
            index = ExactIndex(encoder.encode_products(products), ids=products.ids)
            reference = _reference(encoder, index=index, data=learn)
            judgement = _judgement(encoder, index=index, learn=learn, judge=judge, eligible=shown)
        run.record(judgement.metrics())
        run.file("judgement.json", canonical(judgement.metrics() | {"passed": judgement.passed, "best_epoch": best}))
        if not judgement.passed:
            raise BundleRefused(judgement.found.mean, popularity=judgement.popularity.mean)
        return bundles.publish(
            root,
            features_version=features_version,
            index=index,
            n_chosen=interactions.product_counts,
            reference=reference,
            blueprint=blueprint,
            weights=weights,
            notes=judgement.metrics() | {"seed": seed, "best_epoch": best, "data": interactions.digest},
        )


def _settings(config: TrainingConfig) -> dict[str, Parameter]:
    """The configuration, flat, for the tracker."""
    flat = {name: value for name, value in asdict(config).items() if name != "network"}
    return flat | {f"network_{name}": value for name, value in asdict(config.network).items()}


def _judged(eligible: Bools | None, *, interactions: TrainingSet, judge: TrainingSet) -> Bools | None:
    """The rows of `eligible` that belong to the later part."""
    if eligible is None:
        return None
    if eligible.shape != (expected := (len(interactions), len(interactions.products))):
        raise InvalidTable(f"eligibility has shape {eligible.shape}, expected {expected}", where="training")
    later: Bools = interactions.happened_at >= judge.happened_at.min()
    return np.compress(later, eligible, axis=0)


def _best(
    learn: TrainingSet,
    *,
    products: ProductFacts,
    seed: int,
    config: TrainingConfig,
    progress: Callable[[Epoch], None],
    run: Run,
) -> tuple[Weights, int]:
    """Weights and number of the best epoch; every epoch is told to the caller and the tracker."""
    best: tuple[Weights, int] | None = None
    for epoch in train(learn, products=products, seed=seed, config=config):
        numbers = {
            "loss": epoch.loss,
            "validation_loss": epoch.validation_loss,
            f"recall_at_{config.k}_validation": epoch.recall,
        }
        run.record(numbers, step=epoch.number)
        progress(epoch)
        if epoch.weights is not None:
            best = epoch.weights, epoch.number
    if best is None:
        raise InvalidConfiguration("training never reached a finite loss; lower the learning rate")
    return best


def _blueprint(interactions: TrainingSet, *, products: ProductFacts, config: TrainingConfig) -> Blueprint:
    return Blueprint(
        encoder="two_tower",
        shape=asdict(config.network),
        fact_names=interactions.fact_names,
        subjects=interactions.subjects,
        history_length=interactions.history.shape[1],
        feature_names=products.names,
        products=products.ids,
    )


def _judgement(
    encoder: Encoder, *, index: ExactIndex, learn: TrainingSet, judge: TrainingSet, eligible: Bools | None
) -> Judgement:
    found = recall(
        encoder.encode_rows(judge.facts, history=judge.history),
        vectors=index.vectors,
        product_rows=judge.product_rows,
        customer_rows=judge.customer_rows,
        k=K,
        eligible=eligible,
    )
    popularity = popularity_recall(
        learn.product_counts,
        product_rows=judge.product_rows,
        customer_rows=judge.customer_rows,
        k=K,
        eligible=eligible,
    )
    return Judgement(found, popularity, n_rows=len(judge))


def _reference(encoder: Encoder, *, index: ExactIndex, data: TrainingSet) -> Reference:
    """Mean and spread of cosines over an even spread of customers and products."""
    rows = np.unique(np.linspace(0, len(data) - 1, num=_REFERENCE_ROWS).astype(np.int64))
    places = np.unique(np.linspace(0, len(index) - 1, num=_REFERENCE_ROWS).astype(np.int64))
    cosines = encoder.encode_rows(data.facts[rows], history=data.history[rows]) @ index.vectors[places].T
    return Reference(float(cosines.mean(dtype=np.float64)), max(float(cosines.std(dtype=np.float64)), 1e-6))
