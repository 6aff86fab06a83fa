"""One interface for every way of knowing what a customer will choose next, and the families behind it.

A family is fitted on what was learned from and chosen by what came later; afterwards it may be refitted on
both. `fit` yields an `Epoch` for each pass of a network, and for each parameter that a closed form tries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from embeddings.fitting import Epoch, put_weights
from embeddings.graph import Graph, GraphConfig
from embeddings.histories import Histories, Rows
from embeddings.linear import Ease, Popularity, Transitions, TransitionsConfig
from embeddings.ranking import Scorer, Wanted, ranked
from embeddings.sequence_training import SequenceConfig, network_of, preferences, train_sequences
from embeddings.sequential import Sequential, SequentialConfig
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Vector

_JUDGED_CELLS = 40_000_000  # scores that decide on a parameter: 160 MB at once
_JUDGED = 2000  # customers at most
_POPULAR = 0.05  # share of every counted distribution that is popularity's: nothing is impossible, ties are broken
_SHARP = 2.0  # logits a standard deviation of a linear score is worth


@dataclass(frozen=True, slots=True, eq=False)
class Later:
    """What decides between parameters: histories, what was chosen after them, and whether repeats count."""

    histories: Histories
    wanted: Wanted
    seen: str = "keep"  # or "drop": what is in the history is not proposed again

    def some(self) -> Later:
        """An even spread of those who wanted something, few enough to rank often."""
        able = np.flatnonzero(self.wanted.lengths > 0)
        n = max(1, min(_JUDGED, _JUDGED_CELLS // max(self.histories.n_products, 1), len(able)))
        rows = able[np.unique(np.linspace(0, max(len(able) - 1, 0), num=n).astype(np.int64))]
        return Later(self.histories.only(rows), self.wanted.only(rows), self.seen)


class Family(Protocol):
    """Fits, prefers, and can be fitted again on more."""

    @property
    def name(self) -> str:
        """As the command line calls it."""

    def fit(self, learn: Histories, *, later: Later, seed: int, checkpoint: Path | None = None) -> Iterator[Epoch]:
        """Learn; the generator must be exhausted before `scores`."""

    def refit(self, whole: Histories, *, seed: int) -> None:
        """Learn from everything, with what `fit` chose."""

    def scores(self, histories: Histories) -> Vector:
        """(b, P) float32 logits: preferences for the next product, higher is better, near a log probability."""

    def chosen(self) -> Mapping[str, float]:
        """The parameters that `fit` settled on."""


class Solver(Protocol):
    """Something solved in closed form."""

    @property
    def counts(self) -> bool:
        """Whether its scores are counts, which are probabilities once they are divided by their sum."""

    def scores(self, histories: Histories) -> Vector:
        """(b, P)."""


@dataclass(frozen=True, slots=True)
class Try:
    """One setting of a closed form."""

    parameters: Mapping[str, float]
    solve: Callable[[Histories], Solver]


class Solved:
    """A closed form with a short list of settings, of which later choices pick one."""

    def __init__(self, name: str, tries: tuple[Try, ...]) -> None:
        self._name, self._tries = name, tries
        self._best = tries[0]
        self._solver: Solver | None = None
        self._popularity: Vector = np.ones(1, dtype=np.float32)

    @property
    def name(self) -> str:
        """As the command line calls it."""
        return self._name

    def fit(self, learn: Histories, *, later: Later, seed: int, checkpoint: Path | None = None) -> Iterator[Epoch]:
        """Solve each setting and keep the one that ranks later choices best; nothing is drawn, nothing is kept."""
        few, best = later.some(), float("-inf")
        self._popularity = _popularity(learn)
        for number, each in enumerate(self._tries, start=1):
            started = time.perf_counter()
            solver = each.solve(learn)
            quality, recall = _quality(partial(self._logits, solver), few, counts=learn.product_counts)
            if quality > best:
                best, self._best, self._solver = quality, each, solver
            seconds, nan = time.perf_counter() - started, float("nan")
            yield Epoch(number, nan, nan, recall, seconds, {} if quality == best else None, quality)

    def refit(self, whole: Histories, *, seed: int) -> None:
        """Solve the chosen setting on everything."""
        self._popularity = _popularity(whole)
        self._solver = self._best.solve(whole)

    def scores(self, histories: Histories) -> Vector:
        """(b, P) logits; equal ones rank by popularity."""
        if self._solver is None:
            raise InvalidConfiguration(f"{self.name} has not been fitted")
        return self._logits(self._solver, histories)

    def chosen(self) -> Mapping[str, float]:
        """The setting that won."""
        return self._best.parameters

    def _logits(self, solver: Solver, histories: Histories) -> Vector:
        scores = solver.scores(histories)
        if solver.counts:
            shares = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1e-9)
            found = np.log((1 - _POPULAR) * shares + _POPULAR * self._popularity)
        else:
            spread = np.maximum(scores.std(axis=1, keepdims=True), 1e-9)
            sharp = np.where(spread > 1e-9, _SHARP / spread, 0.0)
            found = sharp * scores + 0.01 * np.log(self._popularity)
        return np.asarray(found, dtype=np.float32)


class SequentialFamily:
    """The sequential network, taught on what came first and finished on everything."""

    name = "sequential"

    def __init__(self, config: SequenceConfig | None = None) -> None:
        """`config` None lets the data decide: heavier dropout where products were seen seldom."""
        self._given = config
        self.config = config or SequenceConfig()
        self.network: Sequential | None = None
        self.best: Epoch | None = None
        self._later: Later | None = None

    def fit(self, learn: Histories, *, later: Later, seed: int, checkpoint: Path | None = None) -> Iterator[Epoch]:
        """Yield each pass; the best weights are kept."""
        self.config = self._given or settings_for(learn)
        self.network, self._later = network_of(learn, self.config, seed=seed), later
        passes = train_sequences(
            learn,
            later=(later.histories, later.wanted),
            seed=seed,
            config=self.config,
            seen=later.seen,
            checkpoint=checkpoint,
            start=self.network,
        )
        for epoch in passes:
            if epoch.weights is not None:
                self.best = epoch
            yield epoch
        if self.best is None or self.best.weights is None:
            raise InvalidConfiguration("training never reached a finite loss; lower the learning rate")
        put_weights(self.network, self.best.weights)

    def refit(self, whole: Histories, *, seed: int) -> None:
        """A few passes more, at the rate of the best one, over everything: the newest choices tell the most."""
        if self.network is None or self.best is None or self._later is None:
            raise InvalidConfiguration("sequential has not been fitted")
        n_passes = max(1, round(self.best.number / 8))
        config = replace(
            self.config, epochs=n_passes, patience=n_passes, falls=0, learning_rate=self.best.learning_rate / 3
        )
        later = (self._later.histories, self._later.wanted)
        for _ in train_sequences(whole, later=later, seed=seed + 1, config=config, start=self.network):
            pass
        self.network.eval()

    def scores(self, histories: Histories) -> Vector:
        """(b, P)."""
        if self.network is None:
            raise InvalidConfiguration("sequential has not been fitted")
        return preferences(self.network, histories)

    def chosen(self) -> Mapping[str, float]:
        """Where early stopping stopped, and what the data decided."""
        number = 0 if self.best is None else self.best.number
        return {"best_epoch": float(number), "dropout": self.config.network.dropout, "start": self.config.network.start}


def settings_for(data: Histories) -> SequenceConfig:
    """Defaults for data of this shape.

    Dropout 0.5 where a product was chosen fewer than 50 times on average or a history is shorter than 20, else 0.2, as
    Kang and McAuley chose for their sparse sets (the largest, Steam, has 280 choices a product and 11 a customer)
    and for their dense one. There embeddings begin near zero too, so that a rare product keeps its popularity and not
    the noise it began with. Windows are no longer than nearly every history.
    """
    per_product, per_customer = data.n_events / max(data.n_products, 1), data.n_events / max(len(data), 1)
    longest = float(np.quantile(data.lengths, 0.95)) if len(data) else 1.0
    length = int(np.clip(2 ** np.ceil(np.log2(max(longest, 2.0))), 16, SequentialConfig().length))
    sparse = per_product < 50 or per_customer < 20
    network = SequentialConfig(length=length, dropout=0.5 if sparse else 0.2, start=0.02 if sparse else 0.125)
    return SequenceConfig(network=network)


def popularity() -> Solved:
    """One list for all."""
    return Solved("popularity", (Try({}, Popularity.of),))


def transitions() -> Solved:
    """Counts over windows short and long; which, later choices say."""
    tries = []
    for window, halving in ((1, 1.0), (5, 1.0), (10, 3.0), (40, 10.0), (40, 40.0), (100, 100.0)):
        for damping in (0.5, 1.0):
            config = TransitionsConfig(window, halving, damping)
            told = {"window": float(window), "halving": halving, "damping": damping}
            tries.append(Try(told, partial(Transitions.of, config=config)))
    return Solved("transitions", tuple(tries))


def ease() -> Solved:
    """EASE with a penalty that later choices pick."""
    return Solved(
        "ease",
        tuple(Try({"penalty": penalty}, partial(Ease.of, penalty=penalty)) for penalty in (20.0, 100.0, 500.0)),
    )


def graph() -> Solved:
    """The spectral filter: few or many directions, more or less weight on them, more or less damping."""
    tries = []
    for rank, weight, damping in ((256, 0.3, 0.5), (256, 1.0, 0.5), (64, 0.3, 0.5), (64, 1.0, 0.3), (256, 0.3, 0.3)):
        config = GraphConfig(rank, weight, product_damping=damping)
        told = {"rank": float(rank), "weight": weight, "product_damping": damping}
        tries.append(Try(told, partial(Graph.of, config=config)))
    return Solved("graph", tuple(tries))


def _popularity(data: Histories) -> Vector:
    """(P,) share of the choices, half a choice given to each."""
    lifted = data.product_counts + 0.5
    return np.asarray(lifted / lifted.sum(), dtype=np.float32)


def _quality(scorer: Scorer, later: Later, *, counts: Rows) -> tuple[float, float]:
    """NDCG@10 and hit rate @10 on later choices."""
    found = ranked(scorer, histories=later.histories, wanted=later.wanted, counts=counts, k=10, seen=later.seen)
    return float(found.ndcg(10).mean()), float(found.hit_rate(10).mean())
