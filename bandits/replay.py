"""Run a learner honestly over data that somebody else logged, with the code that serves.

`replay_uniform` is the replay of Li, Chu, Langford and Wang (2011): on a log whose products were
drawn uniformly, our learner draws for each row with its own dice, and a row counts, and teaches, only
when both drew the same product. Rows that count are then distributed as if the learner had served
them, so their mean reward is unbiased for the sequence of policies it went through; teaching from the
others too would let it learn from rounds it would never have seen. Beside it stands the IPS estimate
of the same sequence over all rows, which needs no match.

`progressive` turns a labelled table into a bandit: draw, earn 1 for the right label, learn from that
alone; one pass in an order shuffled by the seed.

Both yield as they go, so that the caller can show progress, and end with the whole result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bandits.chain import one_stage
from bandits.drawing import dice, draw
from bandits.engine import Engine, EngineSeat
from bandits.exploration import Exploration
from bandits.intervals import Interval, normal, wilson
from bandits.learner import make_learner
from bandits.policy import checked_pmf
from bandits.recipe import Learner, Recipe
from bandits.teaching import importance_of
from recsys.datasets import Labelled, LoggedBandit
from recsys.errors import InvalidPropensity, InvalidTable
from recsys.vocabulary import NOTHING, Bools, Candidate, Context, Floats

STAGE = "reward"
RECIPE = Recipe(
    "bandit",
    learner="linear",
    options=MappingProxyType({"waves": 128.0, "context": 5.0, "rate": 0.9, "level": 0.6, "shared": 0.01, "prior": 0.1}),
    exploration=Exploration("squarecb", gamma=1000.0, epsilon=0.01, bonus=1.0, unit="earned"),
)
"""One recipe for every public data set; none is tuned to one of them (tests/benchmarks/learners.py compares it).

A bonus of a whole deviation: of 0.7, classes among 26 starved for thousands of rows (letter, 6,000 rows, two seeds:
.46 against .57); where a right choice pays once in twenty, it costs up to 7 % (digits .45 against .47).
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay is, and what it found so far."""

    dataset: str
    recipe: str
    rows: int  # rows gone through
    total: int  # rows there are
    counted: int  # rounds that counted
    learner: Interval | None  # mean reward of the learner over the rounds that counted
    rival: Interval  # of the logging policy, or of choosing uniformly among the labels
    rival_name: str
    ips: Interval | None = None  # of the learner over all rows, by inverse propensity

    @property
    def done(self) -> bool:
        """Whether the whole data set has been gone through."""
        return self.rows == self.total

    @property
    def metrics(self) -> dict[str, float]:
        """Plain numbers for a tracker."""
        numbers = {"rows": float(self.rows), "counted": float(self.counted)}
        for name, interval in (("learner", self.learner), ("rival", self.rival), ("ips", self.ips)):
            if interval is not None and interval.n > 1:
                numbers |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return numbers

    def summary(self) -> str:
        """One sentence for a person."""
        against = f"{self.rival_name} {_told(self.rival)}"
        if self.learner is None:
            return f"{self.recipe} on {self.dataset}: no round counted in {self.rows} rows; {against}."
        by_ips = "" if self.ips is None else f" (by IPS over all rows {_told(self.ips)})"
        return (
            f"{self.recipe} on {self.dataset}: mean reward {_told(self.learner)}{by_ips} in {self.counted} rounds "
            f"that counted of {self.rows}, against {against}: {self._verdict()}."
        )

    def _verdict(self) -> str:
        if self.learner is None or self.learner.n < 2:
            return "too few rounds to tell"
        if self.learner.low > self.rival.high:
            return "better"
        if self.learner.high < self.rival.low:
            return "worse"
        return "no difference shown"


def _told(interval: Interval) -> str:
    if interval.low == interval.high:
        return f"{interval.estimate:.4f}"
    return f"{interval.estimate:.4f} (95 % from {interval.low:.4f} to {interval.high:.4f})"


def replay_uniform(
    dataset: LoggedBandit, recipe: Recipe | Engine = RECIPE, *, seed: int = 0, every: int = 500
) -> Iterator[Replayed]:
    """Replay a recipe by matching; yields every `every` rows and at the end.

    Raises `InvalidTable` for a log that was not drawn uniformly.
    """
    if not dataset.uniform:
        raise InvalidTable(
            f"{dataset.behaviour} did not draw uniformly, and replay by matching is only honest on a uniform log: "
            "take the rows of the random policy, or judge a fixed policy with ips, snips or dr",
            where=dataset.name,
        )
    seat = _seat(recipe, dataset.candidates, run=f"{dataset.name}:{seed}", seed=seed)
    matched: list[float] = []
    weighted = np.zeros(len(dataset))
    for i in range(len(dataset)):
        context, shown, reward = dataset.context(i), int(dataset.rows[i]), float(dataset.rewards[i])
        row, pmf = seat.draw(context, number=i, open_=None if dataset.open_ is None else dataset.open_[i])
        weighted[i] = pmf[shown] / dataset.propensities[i] * reward
        if row == shown:
            seat.learn(context, row, reward=reward, pmf=pmf)
            matched.append(reward)
        if (i + 1) % every == 0 or i + 1 == len(dataset):
            yield Replayed(
                dataset.name,
                recipe.name,
                i + 1,
                len(dataset),
                len(matched),
                wilson(np.array(matched)) if matched else None,
                wilson(dataset.rewards[: i + 1]),
                f"logging policy {dataset.behaviour}",
                normal(weighted[: i + 1]),
            )


def progressive(
    dataset: Labelled, recipe: Recipe | Engine = RECIPE, *, seed: int = 0, every: int = 500
) -> Iterator[Replayed]:
    """One pass over a labelled table as a bandit; yields every `every` rows and at the end."""
    seat = _seat(recipe, dataset.candidates, run=f"{dataset.name}:{seed}", seed=seed)
    n, k = len(dataset), len(dataset.products)
    rewards = np.zeros(n)
    for i, at in enumerate(np.random.default_rng(seed).permutation(n)):
        context = dataset.context(int(at))
        row, pmf = seat.draw(context, number=i)
        rewards[i] = float(row == dataset.labels[at])
        seat.learn(context, row, reward=rewards[i], pmf=pmf)
        if (i + 1) % every == 0 or i + 1 == n:
            uniform = Interval(1.0 / k, 1.0 / k, 1.0 / k, i + 1)
            yield Replayed(
                dataset.name, recipe.name, i + 1, n, i + 1, wilson(rewards[: i + 1]), uniform, "the uniform policy"
            )


def _seat(recipe: Recipe | Engine, candidates: tuple[Candidate, ...], *, run: str, seed: int) -> Seat | EngineSeat:
    if isinstance(recipe, Engine):
        return EngineSeat(recipe, candidates, run=run, seed=seed)
    return Seat(make_learner(recipe, one_stage(STAGE)), candidates, run=run)


class Seat:
    """A learner at the table: draws one slot with logged probability, and learns from what it is told."""

    def __init__(self, learner: Learner, candidates: tuple[Candidate, ...], *, run: str) -> None:
        self._learner = learner
        self._candidates = candidates
        self._everything: Bools = np.ones(len(candidates), dtype=np.bool_)
        self._run = run

    def draw(self, context: Context, *, number: int, open_: Bools | None = None) -> tuple[int, Floats]:
        """The row drawn in round `number`, and the (n,) pmf it was drawn from."""
        policy = self._learner.live()
        scores = policy.scores(context, self._candidates)
        open_ = self._everything if open_ is None else open_
        pmf = checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name)
        row = draw(pmf, u=dice(f"{self._run}:{number}", slot=1))
        if not 0.0 < pmf[row] <= 1.0:
            raise InvalidPropensity(float(pmf[row]), where=policy.name)
        return row, pmf

    def learn(self, context: Context, row: int, *, reward: float, pmf: Floats) -> None:
        """Teach what the row earned that was drawn from `pmf`."""
        if self._candidates[row].product_id == NOTHING:  # the null choice teaches nothing, as in service
            return
        importance = importance_of(float(pmf[row]), n_open=int(np.count_nonzero(pmf)))
        self._learner.teach(context, self._candidates[row], stage=STAGE, label=reward, importance=importance)
