"""Teach the two towers; the caller watches, keeps the best, and may stop whenever it likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embeddings.evaluation import recall
from embeddings.fitting import Epoch, Precision, Schedule, Validated, best_device, compiled, fit, reduced
from embeddings.interactions import TrainingSet
from embeddings.losses import log_inclusion, sampled_softmax
from embeddings.product_facts import ProductFacts
from embeddings.together import ALONE, Together
from embeddings.two_tower import TwoTower, TwoTowerConfig
from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Bools

_PASSED_OVER = 3.0  # times that a blind choice would have fallen on a product: none in so many says it is unwanted


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How the network is taught; each default with its reason."""

    network: TwoTowerConfig = field(default_factory=TwoTowerConfig)
    epochs: int = 30  # an upper bound; patience usually ends sooner
    patience: int = 4  # epochs without a better validation loss before stopping
    batch: int = 256  # 40 steps an epoch at 10,000 positives
    learning_rate: float = 1e-3  # three times as much memorises 2,000 products in an epoch (measured)
    weight_decay: float = 1.0  # decoupled; keeps the id table small where features explain enough (measured)
    temperature: float = 0.2  # cosines end at ±1: logits of ±5 still tell 1 in 20,000; new products like it (measured)
    id_dropout: float = (
        0.3  # so often a product stands without its id: cold recall@5 of 200 products 0.67 → 0.70 (measured)
    )
    full_up_to: int = 2048  # up to so many products the whole catalogue is the sample
    n_uniform: int = 1024  # beyond: even draws added to the batch's own products
    learn_share: float = 0.9  # of the time span's rows; the later rest decides when to stop
    k: int = 5  # of the reported recall
    threads: int = 1  # bytes must not depend on the number of cores
    precision: Precision = "auto"  # bfloat16 products on a GPU
    compiled: str = "auto"  # back end of torch.compile: "inductor" on a GPU, "" for none

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.batch, self.k, self.threads) < 1:
            raise InvalidConfiguration("training: epochs, patience, batch, k and threads must be at least 1")
        if not (self.learning_rate > 0 and self.temperature > 0):
            raise InvalidConfiguration("training: learning_rate and temperature must be positive")
        if not (0 < self.learn_share < 1 and 0 <= self.id_dropout <= 1):
            raise InvalidConfiguration("training: learn_share lies within (0, 1), id_dropout within [0, 1]")


@dataclass(frozen=True, slots=True)
class _Tensors:
    """A training set where torch wants it."""

    facts: Tensor  # (n, F)
    history: Tensor  # (n, H)
    targets: Tensor  # (n,)
    eligible: Tensor | None  # (n, P)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The catalogue where torch wants it; gives vectors of the rows asked for."""

    id_rows: Tensor  # (P,) row + 1, 0 for none
    features: Tensor  # (P, G)
    words: Tensor  # (P, W)

    def vectors(self, tower: Callable[..., Tensor], *, rows: Tensor, id_rows: Tensor | None = None) -> Tensor:
        ids = self.id_rows[rows] if id_rows is None else id_rows
        return tower(ids, features=self.features[rows], words=self.words[rows])


class Teach(Protocol):
    """`train`, or something else that ends as it would: on several machines, perhaps."""

    def __call__(
        self,
        interactions: TrainingSet,
        *,
        products: ProductFacts,
        seed: int,
        config: TrainingConfig | None = None,
        checkpoint: Path | None = None,
    ) -> Iterator[Epoch]:
        """Epochs, the best of them with its weights."""


def train(
    interactions: TrainingSet,
    *,
    products: ProductFacts,
    seed: int,
    config: TrainingConfig | None = None,
    checkpoint: Path | None = None,
    together: Together = ALONE,
) -> Iterator[Epoch]:
    """Yield an `Epoch` after each pass until the later rows stop improving.

    Deterministic on a CPU: the same inputs and seed give the same weights, bit for bit, whatever
    else the process draws or computes between two epochs, and whether or not it was killed in between
    (`checkpoint`, see `fitting.fit`). Several processes may teach `together`, each calling this with the same inputs.

    Raises:
        InvalidTable: products that do not fit the interactions, or times that cannot be split.
        Corrupt, InvalidConfiguration: a checkpoint that cannot be read, or is of another training.
    """
    config = config or TrainingConfig()
    if products.ids.ids != interactions.products.ids:
        raise InvalidTable("product facts and interactions name different products", where="training")
    learn, later = interactions.split(config.learn_share)
    met, device = np.flatnonzero(met_in(learn)), best_device()
    network = _network(learn, products=products, config=config.network, seed=seed).to(device)
    pupil = _Pupil(
        network,
        compiled(network.customer, backend=config.compiled, device=device),
        compiled(network.product, backend=config.compiled, device=device),
        _tensors(learn, device=device),
        later,
        _shelf(products, n_chosen=learn.product_counts, device=device),
        torch.tensor(met, device=device),
        torch.tensor(learn.product_counts / len(learn))[met],
        config,
        device,
        together,
    )
    return fit(
        pupil,
        schedule=Schedule(
            config.epochs,
            config.patience,
            config.learning_rate,
            weight_decay=config.weight_decay,
            threads=config.threads,
        ),
        seed=seed,
        checkpoint=checkpoint,
        key=digest_of(canonical([interactions.digest, asdict(config)])),
        together=together,
    )


@dataclass(frozen=True, slots=True)
class _Pupil:
    """The two towers with what they learn from."""

    network: TwoTower
    customer: Callable[..., Tensor]  # its towers as they are taught: compiled where there is a GPU
    product: Callable[..., Tensor]
    data: _Tensors
    later: TrainingSet
    shelf: _Shelf
    met: Tensor  # (M,) rows of the products that were met, sorted: the others are no one's second choice
    popularity: Tensor  # (M,) share of the choices
    config: TrainingConfig
    device: torch.device
    together: Together

    def losses(self, dice: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        order = torch.tensor(dice.permutation(len(self.data.targets)), device=self.device)
        for batch in _parts(order, size=self.config.batch):
            targets = torch.searchsorted(self.met, self.data.targets[batch])  # (B,) places among the met
            own, chosen = self.together.share(batch), self.together.share(targets)  # (S,) of this process
            if not (n := len(own)):
                own, chosen = batch[:1], targets[:1]  # a row that weighs nothing, so that there is a gradient to add
            places, log_q = (
                each.to(self.device)
                for each in _sample(targets.cpu(), popularity=self.popularity, config=self.config)  # (C,), (C,)
            )
            rows = self.met[places]  # (C,)
            dropped = (torch.rand(len(rows)) < self.config.id_dropout).to(self.device)  # (C,)
            id_rows = self.shelf.id_rows[rows].masked_fill(dropped, 0)
            with reduced(self.config.precision, device=self.device):
                customers = self.customer(self.data.facts[own], history=self.data.history[own])  # (S, D)
                products = self.shelf.vectors(self.product, rows=rows, id_rows=id_rows)  # (C, D)
            loss = sampled_softmax(
                customers.float(),
                products=products.float(),
                targets=torch.searchsorted(places, chosen),
                log_q=log_q,
                temperature=self.config.temperature,
                open_=None if self.data.eligible is None else self.data.eligible[own][:, rows],
            )
            yield loss, n

    def validated(self) -> Validated:
        loss, found = _validated(
            self.network, later=self.later, shelf=self.shelf, config=self.config, device=self.device
        )
        return Validated(loss, found, quality=-loss)


def _network(learn: TrainingSet, *, products: ProductFacts, config: TwoTowerConfig, seed: int) -> TwoTower:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TwoTower(
            config,
            n_facts=len(learn.fact_names),
            n_subjects=len(learn.subjects),
            n_features=len(products.names),
            n_products=len(products),
        )
    scale = learn.facts.std(axis=0, dtype=np.float64)
    network.fact_mean.copy_(torch.tensor(learn.facts.mean(axis=0, dtype=np.float64)))
    network.fact_scale.copy_(torch.tensor(np.where(scale > 1e-6, scale, 1.0)))  # a constant fact says nothing
    return network


def _sample(targets: Tensor, *, popularity: Tensor, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Sorted places (C,) that hold every target, and their log inclusion (C,)."""
    n_products = len(popularity)
    if n_products <= config.full_up_to:
        return torch.arange(n_products), torch.zeros(n_products)
    even = torch.randint(n_products, (config.n_uniform,))
    rows = torch.tensor(np.unique(torch.cat([targets, even]).numpy()))
    log_q = log_inclusion(popularity, n_batch=len(targets), n_uniform=config.n_uniform)
    return rows, log_q[rows]


@torch.no_grad()
def _validated(
    network: TwoTower, *, later: TrainingSet, shelf: _Shelf, config: TrainingConfig, device: torch.device
) -> tuple[float, float]:
    """Loss and recall@k over the whole catalogue, on at most 2,048 of the later rows, evenly spread."""
    rows = np.unique(np.linspace(0, len(later) - 1, num=2048).astype(np.int64))
    later = later.where(rows)
    data = _tensors(later, device=device)
    every = torch.arange(len(shelf.id_rows), device=device)
    products = torch.cat([shelf.vectors(network.product, rows=part) for part in _parts(every, size=8192)])
    customers = network.customer(data.facts, history=data.history)
    even = torch.zeros(len(products), device=device)
    losses = [
        float(
            sampled_softmax(
                customers[part],
                products=products,
                targets=data.targets[part],
                log_q=even,
                temperature=config.temperature,
                open_=None if data.eligible is None else data.eligible[part],
            )
        )
        * len(part)
        for part in _parts(torch.arange(len(later), device=device), size=128)
    ]
    found = recall(
        customers.cpu().numpy(),
        vectors=products.cpu().numpy(),
        product_rows=later.product_rows,
        customer_rows=later.customer_rows,
        k=config.k,
        eligible=later.eligible,
    )
    return sum(losses) / len(later), found.mean


def met_in(data: TrainingSet) -> Bools:
    """(P,) which products a training set says anything of: chosen, or passed over often enough to know.

    One that nobody could choose yet, or hardly anybody, is not unwanted but new. Were it a negative, its words and
    features would be learned as what nobody wants, and it would stay cold for ever (measured on three banks: recall@10
    of cold products was below a blind choice's, and is twice that without). Where nobody knows what could have been
    chosen, everything could.
    """
    n_open = len(data.products) if data.eligible is None else data.eligible.sum(axis=1, keepdims=True)  # (n, 1)
    open_ = np.ones((1, 1)) if data.eligible is None else data.eligible
    passed = (open_ / np.maximum(n_open, 1)).sum(axis=0) * (len(data) if data.eligible is None else 1)  # (P,)
    met: Bools = (data.product_counts > 0) | (passed >= _PASSED_OVER)
    return met


def _tensors(data: TrainingSet, *, device: torch.device) -> _Tensors:
    facts, history, targets = (
        torch.tensor(each, device=device) for each in (data.facts, data.history, data.product_rows)
    )
    return _Tensors(
        facts, history, targets, None if data.eligible is None else torch.tensor(data.eligible, device=device)
    )


def _shelf(products: ProductFacts, *, n_chosen: NDArray[np.int64], device: torch.device) -> _Shelf:
    """Products nobody chose yet stand without their id: else being new would be learned as being unwanted."""
    id_rows = torch.tensor(np.where(n_chosen > 0, np.arange(1, len(products) + 1), 0))
    return _Shelf(
        id_rows.to(device), *(torch.tensor(each, device=device) for each in (products.features, products.words))
    )


def _parts(rows: Tensor, *, size: int) -> Iterator[Tensor]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
