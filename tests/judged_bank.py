"""First slots on the synthetic bank's home screen, drawn again and again: the truth of every policy is known.

A bank is lived once under a logging policy. Its customers, with all their visits, are then the population:
a replication draws customers with replacement, draws a card for each of their visits from the logged
distribution, and a tap from its true chance. So the population's mean is the truth, exactly, and nothing
of a replication is shared with another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from bandits.batches import Batch
from recsys.bank.logged import Log
from recsys.bank.logs import log_of
from recsys.bank.slates import ArrayPolicy, PmfRule, epsilon_greedy, prepared, softmax
from recsys.bank.truth import TRUTHS
from recsys.bank.world import Bank
from recsys.vocabulary import Bools, Floats

START = datetime(2026, 1, 5, tzinfo=UTC)
FOLDS, PRIOR = 3, 40.0
_MIX = np.uint64(11_400_714_819_323_198_485)


def bank_of(customers: int, *, seed: int = 1) -> Bank:
    """A bank of so many customers."""
    return Bank.create(customers=customers, seed=seed, start=START, catalogue=tuple(TRUTHS))


def taste(name: str, rule: PmfRule, *, seed: int, strength: float = 1.0) -> ArrayPolicy:
    """A policy with a taste of its own for what can be seen; showing nothing scores 0."""

    def scores(visible: Floats, *, eligible: Bools, surface: str) -> Floats:
        weights = 0.08 * np.random.default_rng(seed).normal(size=(visible.shape[1], eligible.shape[1]))
        return np.hstack([strength * np.tanh(visible @ weights), np.zeros((len(visible), 1))])

    return ArrayPolicy(name, scores, rule)


LOGGING = taste("logging@1", softmax(), seed=0)
CELLS = {
    "mild": taste("mild@1", softmax(), seed=1),
    "greedy": taste("greedy@1", epsilon_greedy(epsilon=0.5), seed=0),
    "sharp": taste("sharp@1", softmax(temperature=0.5), seed=2),
}
"""Targets, by how far their weights reach."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Visits sorted by customer, and one target."""

    logged: Floats  # (d, P + 1) the null choice last
    target: Floats  # (d, P + 1)
    chance: Floats  # (d, P + 1) of a sighting and a tap
    sums: Floats  # (d, P) of the logged distribution, to draw by
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]  # (customers + 1,)

    @property
    def truth(self) -> float:
        """What the target earns a visit."""
        return float((self.target * self.chance).sum(axis=1).mean())

    def replication(self, rng: np.random.Generator, *, customers: int) -> Batch:
        """So many customers' visits, drawn anew, with a model cross-fitted by customer."""
        who = rng.integers(0, len(self.starts) - 1, customers)
        lengths = np.diff(self.starts)[who]
        rows = np.repeat(self.starts[who] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        return self.drawn(rng, rows, unit=np.repeat(np.arange(customers), lengths))

    def visits(self, rng: np.random.Generator, *, n: int) -> Batch:
        """So many visits, each of a customer of its own: what a confidence sequence speaks of."""
        return self.drawn(rng, rng.integers(0, len(self.logged), n), unit=np.arange(n))

    def drawn(self, rng: np.random.Generator, rows: np.ndarray, *, unit: np.ndarray) -> Batch:
        """A card for each of these visits, and whether it was tapped."""
        shown = (self.sums[rows] < rng.random((rows.size, 1))).sum(axis=1)
        reward = (rng.random(rows.size) < self.chance[rows, shown]).astype(np.float64)
        model = _cross_fitted(shown, reward, fold=unit % FOLDS, products=self.logged.shape[1])
        expected = self.target @ model.T  # (d, folds)
        return Batch(
            unit=unit.astype(np.uint64) * _MIX,
            reward=reward,
            propensity=self.logged[rows, shown],
            target=self.target[rows, shown],
            q_logged=model[unit % FOLDS, shown],
            q_target=expected[rows, unit % FOLDS],
        )


def population(log: Log, target: ArrayPolicy) -> Population:
    """The first slots of a log under a target."""
    order = np.argsort(log.rows, kind="stable")
    scores, open_ = prepared(target, log.visible, eligible=log.eligible, surface=log.surface)
    chance = np.hstack([log.taps * log.examination[:, :1], np.zeros((len(log), 1))])
    starts = np.append(np.flatnonzero(np.diff(log.rows[order], prepend=-1)), len(log))
    logged = log.pmfs[:, 0][order]
    sums = logged.cumsum(axis=1)
    last = logged.shape[1] - 1 - (logged[:, ::-1] > 0.0).argmax(axis=1)
    sums[np.arange(logged.shape[1]) >= last[:, None]] = 1.0  # rounding may leave them below
    return Population(logged, target.rule(scores, open_)[order], chance[order], sums[:, :-1], starts)


def lived(*, customers: int, days: int, seed: int = 1) -> Log:
    """A bank lived under the logging policy."""
    return log_of(bank_of(customers, seed=seed), days=days, policy=LOGGING)


def _cross_fitted(shown: np.ndarray, reward: Floats, *, fold: np.ndarray, products: int) -> Floats:
    """(folds, products) each product's mean reward among the customers of the other folds, shrunk to everybody's."""
    cells = fold * products + shown
    counts = np.bincount(cells, minlength=FOLDS * products).reshape(FOLDS, products)
    sums = np.bincount(cells, weights=reward, minlength=FOLDS * products).reshape(FOLDS, products)
    others, of_others = sums.sum(axis=0) - sums, counts.sum(axis=0) - counts
    everybody = of_others.sum(axis=1, keepdims=True)
    mean = others.sum(axis=1, keepdims=True) / np.maximum(everybody, 1)
    return np.asarray((others + PRIOR * mean) / (of_others + PRIOR))
