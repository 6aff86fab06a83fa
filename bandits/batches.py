"""Rounds as columns, for estimators: one slot each (`Batch`), or whole slates (`SlateBatch`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from bandits.tally import Tally
from bandits.unit_sums import UnitKeys
from recsys.errors import Misuse
from recsys.vocabulary import Floats


class _Modelled(ABC):
    """Columns that a reward model may stand beside."""

    __slots__ = ()
    q_logged: Floats | None
    q_target: Floats | None

    @property
    @abstractmethod
    def weighing(self) -> dict[str, Floats]:
        """What importance weighing needs."""

    @property
    def modelled(self) -> dict[str, Floats]:
        """The same with the reward model's columns; raises `Misuse` without."""
        if self.q_logged is None or self.q_target is None:
            raise Misuse("this estimator needs a reward model: give q_logged and q_target")
        return self.weighing | {"q_logged": self.q_logged, "q_target": self.q_target}


@dataclass(frozen=True, slots=True, eq=False)
class Batch(_Modelled):
    """Some rounds as columns: (n,) each, the pmfs (n, A). What an estimator needs and is None is refused."""

    unit: UnitKeys
    reward: Floats
    propensity: Floats
    target: Floats
    q_logged: Floats | None = None
    q_target: Floats | None = None
    logged_pmf: Floats | None = None
    target_pmf: Floats | None = None
    shown: Floats | None = None

    @property
    def weighing(self) -> dict[str, Floats]:
        """What importance weighing needs."""
        return {"reward": self.reward, "propensity": self.propensity, "target": self.target}

    def tally(self) -> Tally:
        """What diagnostics need of these rounds."""
        return Tally.of(
            reward=self.reward,
            propensity=self.propensity,
            target=self.target,
            logged_pmf=self.logged_pmf,
            target_pmf=self.target_pmf,
            shown=self.shown,
            drew=self.propensity,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBatch(_Modelled):
    """n rounds of L slots, each weighed by itself: chances are those of the product at its place, whatever
    stands above. Right where a slot's reward depends on its own product and place alone.

    Below a slate's end, chances are those of its having ended by then. `q_logged` is a model of the slot's
    own reward, `q_target` its expectation under the target.
    """

    unit: UnitKeys  # (n,)
    reward: Floats  # (n, L)
    propensity_at: Floats  # (n, L)
    target_at: Floats  # (n, L)
    target_pmf_at: Floats  # (n, L, A)
    within: SlateBatch  # the slates they stand in
    q_logged: Floats | None = None
    q_target: Floats | None = None

    @property
    def weighing(self) -> dict[str, Floats]:
        """What importance weighing needs."""
        return {"reward": self.reward, "propensity_at": self.propensity_at, "target_at": self.target_at}

    def tally(self) -> Tally:
        """What diagnostics need: every slot with its own weight."""
        real = self.within.shown >= 0.0
        return Tally.of(
            reward=self.reward.ravel(),
            propensity=self.propensity_at.ravel(),
            target=self.target_at.ravel(),
            slots=self.reward.shape[1],
            logged_pmf=self.within.logged_pmf[real],
            target_pmf=self.within.target_pmf[real],
            shown=self.within.shown[real],
            drew=self.within.propensity[real],
        )


@dataclass(frozen=True, slots=True, eq=False)
class SlateBatch(_Modelled):
    """n rounds of at most L slots over A columns; filled up beyond a slate's end with certainties.

    `q_logged` and `q_target` (n, L) are a model's reward still to come, as `cascade_dr` wants them.
    """

    unit: UnitKeys  # (n,)
    reward: Floats  # (n, L)
    propensity: Floats  # (n, L) given the slots above
    target: Floats  # (n, L) given the same slots above
    logged_pmf: Floats  # (n, L, A)
    target_pmf: Floats  # (n, L, A)
    shown: Floats  # (n, L) column, -1 beyond the slate's end
    q_logged: Floats | None = None
    q_target: Floats | None = None
    placed: PlacedBatch | None = None  # the same slots weighed each by itself, where that can be told

    @property
    def weighing(self) -> dict[str, Floats]:
        """What importance weighing needs."""
        return {"reward": self.reward, "propensity": self.propensity, "target": self.target}

    def first_slots(self) -> Batch:
        """The first slot of every round, by itself."""
        columns = ("reward", "propensity", "target", "logged_pmf", "target_pmf", "shown", "q_logged", "q_target")
        given = {name: column[:, 0] for name in columns if (column := getattr(self, name)) is not None}
        return Batch(unit=self.unit, **given)

    def tally(self) -> Tally:
        """What diagnostics need: every slot with its weight and those above it, as `rips` weighs it."""
        real = self.shown >= 0.0
        return Tally.of(
            reward=self.reward.ravel(),
            propensity=self.propensity.cumprod(axis=1).ravel(),
            target=self.target.cumprod(axis=1).ravel(),
            slots=self.reward.shape[1],
            logged_pmf=self.logged_pmf[real],
            target_pmf=self.target_pmf[real],
            shown=self.shown[real],
            drew=self.propensity[real],
        )


Judged = TypeVar("Judged", Batch, SlateBatch, PlacedBatch)


@dataclass(frozen=True, slots=True, eq=False)
class Pair(Generic[Judged]):
    """The same rounds under two targets: what one would have earned more than the other, round by round."""

    one: Judged
    other: Judged

    @property
    def unit(self) -> UnitKeys:
        """(n,) whose rounds they are."""
        return self.one.unit

    def tally(self) -> Tally:
        """What diagnostics need: those of the first."""
        return self.one.tally()


def batches_of(batch: Batch, *, size: int) -> list[Batch]:
    """The same rounds in batches of at most `size`."""
    columns = {name: column for name in Batch.__slots__ if (column := getattr(batch, name)) is not None}
    starts = range(0, batch.reward.size, size)
    return [Batch(**{name: column[start : start + size] for name, column in columns.items()}) for start in starts]
