"""A family fitted on the bank's positives, as what a bundle holds: blueprint, weights, vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from embeddings import projection
from embeddings.bundle import Blueprint
from embeddings.encoding import CustomerEncoder, encoder_from
from embeddings.fitting import Epoch, Weights
from embeddings.histories import Histories
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.ranking import Wanted
from embeddings.sequence_training import SequenceConfig, train_sequences
from embeddings.sequential import SequentialConfig
from embeddings.training import Teach, TrainingConfig, train
from recsys.errors import InvalidConfiguration
from recsys.tracking import Parameter

FAMILIES = ("two-tower", "sequential", *projection.KINDS)
"""The first is the default. Recall@5 on the last tenth of 964 taps of a bank (`make bench ARGS=embeddings`):
.883 ± .036, sequential .863, linear .858, graph and popularity .821, text .637; and it alone knows new customers and
products. On 347 taps the closed forms led (linear .933 ± .046, two-tower .650 ± .087, which the gate refuses).
"""
_LEARN_SHARE = 0.9
SEQUENCES = SequenceConfig(network=SequentialConfig(length=64), tokens=1024, epochs=30)
"""For the bank's histories: 32 subjects and a choice fit a window, and ten thousand positives need small batches."""


@dataclass(frozen=True, slots=True)
class Made:
    """A fitted family."""

    blueprint: Blueprint
    weights: Weights
    best_epoch: int

    def encoder(self) -> CustomerEncoder:
        """It, frozen."""
        return encoder_from(self.blueprint, weights=self.weights)


def prepared(interactions: TrainingSet, *, family: str) -> TrainingSet:
    """The positives in the vocabulary of a family.

    Raises:
        InvalidConfiguration: no such family.
    """
    if family not in FAMILIES:
        raise InvalidConfiguration(f"no encoder is called {family}: choose from {', '.join(FAMILIES)}")
    return interactions if family == "two-tower" else interactions.products_first()


def made(
    learn: TrainingSet,
    *,
    family: str,
    products: ProductFacts,
    seed: int,
    config: TrainingConfig,
    told: Callable[[Epoch], None],
    checkpoint: Path | None,
    teach: Teach = train,
) -> Made:
    """Fit; every epoch is told. `teach` is how the two towers are taught. Raises as `train_bundle` does."""
    if family == "two-tower":
        epochs = teach(learn, products=products, seed=seed, config=config, checkpoint=checkpoint)
        weights, best = _best(epochs, told=told)
        return Made(
            _blueprint(learn, products=products, encoder="two_tower", shape=asdict(config.network)), weights, best
        )
    if family == "sequential":
        earlier, later = learn.split(_LEARN_SHARE)
        epochs = train_sequences(
            _rows(earlier, targets=True),
            later=(_rows(later, targets=False), Wanted.one(later.product_rows)),
            seed=seed,
            config=replace(SEQUENCES, threads=config.threads),
            checkpoint=checkpoint,
        )
        weights, best = _best(epochs, told=told)
        shape = asdict(SEQUENCES.network)
        return Made(_blueprint(learn, products=products, encoder="sequential", shape=shape), weights, best)
    solved = projection.project(family, learn, texts=products.texts)
    return Made(_blueprint(learn, products=products, encoder="projection", shape={"kind": family}), solved.arrays(), 1)


def settings_of(family: str, *, config: TrainingConfig) -> dict[str, Parameter]:
    """The configuration, flat, for the tracker."""
    if family not in {"two-tower", "sequential"}:
        return {}
    whole = asdict(config) if family == "two-tower" else asdict(SEQUENCES)
    network = whole.pop("network")
    return whole | {f"network_{name}": value for name, value in network.items()}


def _rows(data: TrainingSet, *, targets: bool) -> Histories:
    """Each positive as a history of its own, with its choice at the end or without."""
    return Histories.of_rows(
        data.history,
        product_rows=data.product_rows if targets else None,
        subjects=data.subjects,
        n_products=len(data.products),
    )


def _best(epochs: Iterator[Epoch], *, told: Callable[[Epoch], None]) -> tuple[Weights, int]:
    best: tuple[Weights, int] | None = None
    for epoch in epochs:
        told(epoch)
        if epoch.weights is not None:
            best = epoch.weights, epoch.number
    if best is None:
        raise InvalidConfiguration("training never reached a finite loss; lower the learning rate")
    return best


def _blueprint(
    interactions: TrainingSet, *, products: ProductFacts, encoder: str, shape: dict[str, object]
) -> Blueprint:
    return Blueprint(
        encoder=encoder,
        shape=shape,
        fact_names=interactions.fact_names,
        subjects=interactions.subjects,
        history_length=int(np.shape(interactions.history)[1]),
        feature_names=products.names,
        products=products.ids,
    )
