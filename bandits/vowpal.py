"""VowpalWabbit, the online learner; beside it only `engine.py`, for comparison, names the engine.

One regression per reward stage (P(tapped | seen), P(opened | tapped), …), on features that we cross
and hash ourselves, pushed as arrays into one reused example. Of VW we use the adaptive, invariant
gradient step (Duchi et al. 2011; Karampatziakis and Langford 2011) and nothing that hides state:
without `--normalized`, and with the range of predictions fixed, the weight table *is* the state, so
saving and resuming is exact, which VW's own model files are not. A snapshot is a copy of that table
and predicts with numpy: no engine, no lock and no mutable state in the request path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vowpal_wabbit_next import Example, SimpleLabel, Workspace

from bandits.chain import Chain, null_among
from bandits.chained import ChainedPolicy
from bandits.crossing import Crossing, Table
from bandits.earned import Earned
from bandits.exploration import Exploration
from bandits.forgetting import Calendar
from bandits.newcomers import Newcomers
from bandits.pupil import Pupil
from bandits.recipe import Recipe
from bandits.regression import MOST_IMPORTANT, Settings
from bandits.rehearsal import Kept, Rehearsal
from bandits.state import pack, unpack
from bandits.teaching import Taught
from recsys.errors import Corrupt, InvalidConfiguration
from recsys.rewards import Rewards
from recsys.shelves import ids_of
from recsys.vocabulary import Candidate, Context, Floats, ProductId, Vector

KIND = "vowpal"
_GROUP = "f"  # the one namespace of our examples
_SUMS = 1  # the column of VW's table that holds sums of squared gradients
_FIRM = 1.0  # the prior's share in them: the precision of a weight before any lesson


class VowpalPolicy(ChainedPolicy):
    """An immutable snapshot: weights, and how to turn them into scores and probabilities."""

    def __init__(
        self,
        name: str,
        *,
        weights: Sequence[Vector],
        sums: Sequence[Vector],
        settings: Settings,
        chain: Chain,
        exploration: Exploration,
        lessons: int,
        rates: Sequence[float] = (),
        met: Mapping[ProductId, float] | None = None,
        crossing: Crossing | None = None,
    ) -> None:
        super().__init__(name, chain=chain, exploration=exploration, lessons=lessons, rates=rates, met=met)
        self._weights = tuple(weights)  # one (2 ** bits,) per stage
        self._sums = tuple(sums)  # of squared gradients, one (2 ** bits,) per stage
        self._settings = settings
        self._crossing = crossing or settings.crossing

    def probabilities(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) probability of each stage given the one before; 0 for the null choice."""
        if not candidates:
            return np.zeros((len(self._weights), 0))
        result = self._told(self._crossing.table(context, candidates))
        result[:, null_among(ids_of(candidates))] = 0.0
        return result

    def pair_probabilities(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""
        result = self._told(self._crossing.pairs(names, values, candidates))
        result[:, null_among(ids_of(candidates))] = 0.0
        return result

    def spreads(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) standard deviation of each stage's prediction; 0 for the null choice.

        VW's adaptive sums of squared gradients are the diagonal of the empirical Fisher information, so
        their inverses are the variances of a posterior without correlations.
        """
        if not candidates:
            return np.zeros((len(self._sums), 0))
        return self._unsure(self._crossing.table(context, candidates), candidates)

    def judged(self, context: Context, candidates: Sequence[Candidate]) -> tuple[Floats, Floats]:
        """(stages, n) each: probabilities and standard deviations, from one table of features."""
        if not candidates:
            return self.probabilities(context, candidates), self.spreads(context, candidates)
        table = self._crossing.table(context, candidates)
        chances = self._told(table)
        chances[:, null_among(ids_of(candidates))] = 0.0
        return chances, self._unsure(table, candidates)

    def pair_spreads(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""
        return self._unsure(self._crossing.pairs(names, values, candidates), candidates)

    def _unsure(self, table: Table, candidates: Sequence[Candidate]) -> Floats:
        squares = table.values**2
        variances = np.stack([np.add.reduceat(squares / (_FIRM + s[table.indices]), table.starts) for s in self._sums])
        variances[:, null_among(ids_of(candidates))] = 0.0
        return np.asarray(np.sqrt(variances))

    def norm(self) -> float:
        """The largest Euclidean norm among the stages' weights."""
        return max(float(np.linalg.norm(weights.astype(np.float64))) for weights in self._weights)

    def _told(self, table: Table) -> Floats:
        sums = np.stack([np.add.reduceat(w[table.indices] * table.values, table.starts) for w in self._weights])
        return self._settings.probability(sums + self._settings.start)


class VowpalLearner(Pupil):
    """One online regression per stage of the reward."""

    kind = KIND

    def __init__(self, recipe: Recipe, *, chain: Chain, taught: int = 0) -> None:
        super().__init__(recipe, chain=chain, taught=taught)
        self.settings = Settings.of(recipe.options)
        self.crossing = self.settings.crossing
        self.workspaces = tuple(Workspace(self.settings.arguments) for _ in chain.stages)
        self._calendar = Calendar(self.settings.forgetting)
        self._rehearsal = Rehearsal(times=self.settings.replays, most=self.settings.replayed)
        self._earned = Earned(len(chain.stages), prior=self.settings.prior)
        self._newcomers = Newcomers()
        self._example = Example()

    def _learn(self, one: Taught) -> None:
        if (kept := self._calendar.share(one)) < 1.0:
            for workspace in self.workspaces:
                _weights(workspace)[:, _SUMS] *= np.float32(kept)
        table = self.crossing.table(one.context, [one.candidate])
        if self.settings.forgetting.by_lesson:
            _weights(self.workspaces[one.stage])[table.indices, _SUMS] *= np.float32(self.settings.keep)
        label, weight = self._regressed(one, table)
        lesson = Kept(table.indices.astype(np.uint64), table.values.astype(np.float32), one.stage, label, weight)
        for each in (lesson, *self._rehearsal.lessons(self._taught)):
            self._step(each)
        self._rehearsal.keep(lesson)
        self._earned.learn(one)
        self._newcomers.learn(one)
        self._taught += 1

    def _regressed(self, one: Taught, table: Table) -> tuple[float, float]:
        """Label and weight of a lesson under the recipe's kind of regression (bandits/regression.py)."""
        importance = min(one.importance, MOST_IMPORTANT)
        match self.settings.regression:
            case "mtr":
                return one.label, one.weight * importance
            case "dr":
                weights = _weights(self.workspaces[one.stage])[table.indices, 0]
                guess = float(np.clip(self.settings.start + weights @ table.values, 0.0, 1.0))
                return guess + importance * (one.label - guess), one.weight
        return one.label, one.weight

    def _step(self, lesson: Kept) -> None:
        group: Any = self._example[_GROUP]
        group.truncate_to(0)
        group.push_many_features(lesson.indices, lesson.values)
        for label, weight in self.settings.label(lesson.label):
            if lesson.weight:
                self._example.set_label(SimpleLabel(label, weight * lesson.weight, self.settings.start))
                self.workspaces[lesson.stage].learn_one(self._example)

    def snapshot(self, version: int) -> VowpalPolicy:
        """An immutable policy cut from the weights as they are."""
        tables = [_weights(workspace) for workspace in self.workspaces]
        copies = [[_frozen(table[:, column]) for table in tables] for column in (0, _SUMS)]
        return self._cut(f"{self.recipe.name}@{version}", copies[0], sums=copies[1])

    def live(self) -> VowpalPolicy:
        """A policy over the very weights, without a copy."""
        tables = [_weights(workspace) for workspace in self.workspaces]
        return self._cut(
            f"{self.recipe.name}@live", [table[:, 0] for table in tables], sums=[table[:, _SUMS] for table in tables]
        )

    def _cut(self, name: str, weights: Sequence[Vector], *, sums: Sequence[Vector]) -> VowpalPolicy:
        return VowpalPolicy(
            name,
            weights=weights,
            sums=sums,
            settings=self.settings,
            chain=self.chain,
            exploration=self.recipe.exploration,
            lessons=self._taught,
            rates=self._earned.rates,
            met=self._newcomers.plain,
            crossing=self.crossing,
        )

    def state(self) -> bytes:
        """Options, chain and every weight that is not zero, with its gradient sums."""
        header = {
            "kind": KIND,
            "settings": asdict(self.settings),
            "chain": self.chain.plain,
            "taught": self._taught,
            "earned": self._earned.plain,
            "met": self._newcomers.plain,
            **self._calendar.plain,
        }
        arrays: list[NDArray[Any]] = []
        for workspace in self.workspaces:
            table = _weights(workspace)
            rows = np.flatnonzero(table.any(axis=1))
            arrays += [rows.astype("<u4"), table[rows].astype("<f4")]
        return pack(header, [*arrays, *self._rehearsal.arrays()])

    @classmethod
    def from_state(cls, recipe: Recipe, state: bytes) -> VowpalLearner:
        """The learner that `state` was taken from; learning goes on exactly there."""
        header, arrays = _opened(recipe, state)
        learner = cls(recipe, chain=Chain.from_plain(header["chain"]), taught=header["taught"])
        learner._calendar.day = header.get("day")
        learner._earned = Earned.of(header, prior=learner.settings.prior)
        learner._newcomers = Newcomers(header.get("met"))
        for stage, workspace in enumerate(learner.workspaces):
            _weights(workspace)[arrays[2 * stage]] = arrays[2 * stage + 1]
        learner._rehearsal.restore(arrays[2 * len(learner.workspaces) :])
        return learner


def new(recipe: Recipe, rewards: Rewards) -> VowpalLearner:
    """A learner that knows nothing yet."""
    return VowpalLearner(recipe, chain=Chain.of(rewards, recipe.reward))


def load_policy(recipe: Recipe, state: bytes, *, version: int) -> VowpalPolicy:
    """The snapshot of a stored state, without starting the engine."""
    header, arrays = _opened(recipe, state)
    settings = Settings.of(recipe.options)
    weights: list[Vector] = []
    sums: list[Vector] = []
    n_weights = 2 * len(header["chain"]["stages"])
    for rows, values in zip(arrays[:n_weights:2], arrays[1:n_weights:2], strict=True):
        for column, tables in ((0, weights), (_SUMS, sums)):
            table = np.zeros(1 << settings.bits, dtype=np.float32)
            table[rows] = values[:, column]
            tables.append(_frozen(table))
    return VowpalPolicy(
        f"{recipe.name}@{version}",
        weights=weights,
        sums=sums,
        settings=settings,
        chain=Chain.from_plain(header["chain"]),
        exploration=recipe.exploration,
        lessons=header["taught"],
        rates=Earned.of(header, prior=settings.prior).rates,
        met=header.get("met"),
    )


def _weights(workspace: Workspace[Any]) -> NDArray[np.float32]:
    """(2 ** bits, k) view of the engine's table: the weight, then its gradient sums."""
    return workspace.weights()[:, 0, :]


def _frozen(weights: NDArray[np.float32]) -> Vector:
    copy = np.array(weights, dtype=np.float32)
    copy.setflags(write=False)
    return copy


def _opened(recipe: Recipe, state: bytes) -> tuple[Mapping[str, Any], list[NDArray[Any]]]:
    header, arrays = unpack(state)
    if header.get("kind") != KIND or len(arrays) - 2 * len(header["chain"]["stages"]) not in (0, 4):
        raise Corrupt(f"the state holds a {header.get('kind')} learner, not {KIND}")
    if asdict(Settings()) | header["settings"] != asdict(Settings.of(recipe.options)):  # older states name fewer
        raise InvalidConfiguration(f"recipe {recipe.name}: the state was learned with other options")
    return header, arrays
