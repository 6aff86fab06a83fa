"""What diagnostics are made of, as sums that add: equally right in one batch and in a thousand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.calibration import draws
from bandits.tabled import checked, checked_pmfs
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What diagnostics need, as sums that add. Build with `Tally.of`, add batches, ask `diagnostics.told`.

    Weights are also counted in 1,600 classes of equal ratio (1.5 % wide), from which the shares of the
    heaviest are read: equally fine in one batch and in a thousand.
    """

    # (11,) slots, Σw, Σ|wr|, Σ(wr)², slots with pmfs, target mass without support, rounds, Σ(a round's mean w)²,
    # rewards other than 0 and 1, propensities that are not their distribution's, and the distributions' number
    sums: Floats
    # (5,) greatest of: weight, distance of target from logger, reward of a round, that reward negated, share by which a
    # propensity is not its distribution's
    greatest: Floats
    classes: Floats  # (2, CLASSES) rounds and weight by class of weight
    drawn: Floats  # (A,)
    expected: Floats  # (A,)
    variance: Floats  # (A,)
    has_support: bool

    @classmethod
    def of(
        cls,
        *,
        reward: ArrayLike,
        propensity: ArrayLike,
        target: ArrayLike,
        logged_pmf: Floats | None = None,
        target_pmf: Floats | None = None,
        shown: ArrayLike | None = None,
        drew: ArrayLike | None = None,
        slots: int = 1,
    ) -> Tally:
        """Of (n,) slots; the pmfs are (m, A), `shown` (m,) the column that was drawn, `drew` (m,) the propensity
        that was logged beside them. Raises `InvalidTable`.

        `slots` of them, one after another, make a round: their weights hang together, those of rounds do not.
        """
        table = checked("diagnostics", reward=reward, propensity=propensity, target=target)
        for name, pmf in (("logged_pmf", logged_pmf), ("target_pmf", target_pmf)):
            if pmf is not None:
                checked_pmfs(name, pmf, where="diagnostics")
        drawn, expected, variance = draws(logged_pmf, shown)
        weight = table["target"] / table["propensity"]
        earned = np.abs(weight * table["reward"])
        supported = logged_pmf is not None and target_pmf is not None
        lost = _unsupported(logged_pmf, target_pmf) if logged_pmf is not None and target_pmf is not None else 0.0
        off_policy = np.abs(table["target"] - table["propensity"]).max()
        of_round = weight.reshape(-1, slots).mean(axis=1)
        rewards = table["reward"].reshape(-1, slots).sum(axis=1)
        other = np.count_nonzero((rewards != 0.0) & (rewards != 1.0))
        apart = _apart(logged_pmf, shown, drew)
        sums = [weight.size, weight.sum(), earned.sum(), (earned**2).sum()]
        sums += [0 if logged_pmf is None else len(logged_pmf), lost, of_round.size, (of_round**2).sum(), other]
        sums += [np.count_nonzero(apart > _SAME), apart.size]
        greatest = [weight.max(), off_policy, rewards.max(), -rewards.min(), apart.max(initial=0.0)]
        return cls(
            np.array(sums, dtype=np.float64), np.array(greatest), _classes(weight), drawn, expected, variance, supported
        )

    def __add__(self, other: Tally) -> Tally:
        if self.drawn.size != other.drawn.size:
            sizes = f"{self.drawn.size} and {other.drawn.size}"
            raise InvalidTable(f"batches over {sizes} product columns do not add", where="diagnostics")
        return Tally(
            self.sums + other.sums,
            np.maximum(self.greatest, other.greatest),
            self.classes + other.classes,
            self.drawn + other.drawn,
            self.expected + other.expected,
            self.variance + other.variance,
            self.has_support and other.has_support,
        )


_SAME = 1e-6  # two propensities are the same within this share: a log may keep them in single precision


def _apart(logged: Floats | None, shown: ArrayLike | None, drew: ArrayLike | None) -> Floats:
    """(m,) by which share each logged propensity is not what its distribution says; none where it is not known."""
    if logged is None or shown is None or drew is None:
        return np.zeros(0)
    given, columns = np.asarray(drew, dtype=np.float64), np.asarray(shown, dtype=np.int64)
    if not given.shape == columns.shape == logged.shape[:1]:
        raise InvalidTable("expected the propensity and the drawn column of each distribution", where="diagnostics")
    said = logged[np.arange(columns.size), columns]
    return np.asarray(np.abs(said / given - 1.0))


def _unsupported(logged: Floats, target: Floats) -> float:
    """Summed over rounds: target mass where the logger had none."""
    if logged.shape != target.shape:
        raise InvalidTable(f"pmfs of different shapes: {logged.shape} and {target.shape}", where="diagnostics")
    closed: Bools = logged <= 0.0
    return float(target[closed].sum())


_CLASSES, _LOWEST, _RATIO = 1_600, -12.0, 0.015  # e^-12 up to e^12, in steps of 1.5 %


def _classes(weight: Floats) -> Floats:
    """(2, classes) rounds and weight in each class of weight."""
    with np.errstate(divide="ignore"):
        rows = np.clip((np.log(weight) - _LOWEST) / _RATIO, 0, _CLASSES - 1).astype(np.int64)
    counts = np.bincount(rows, minlength=_CLASSES).astype(np.float64)
    return np.stack([counts, np.bincount(rows, weights=weight, minlength=_CLASSES)])


def heaviest(classes: Floats, *, share: float) -> tuple[float, float]:
    """(the weight above which a share of rounds lies, the weight they carry together)."""
    counts, weight = classes[:, ::-1]
    wanted = max(share * counts.sum(), 1.0)
    row = int(np.searchsorted(counts.cumsum(), wanted))
    above = counts[:row].sum()
    carried = weight[:row].sum() + (weight[row] * (wanted - above) / counts[row] if counts[row] else 0.0)
    edge = math.exp(_LOWEST + _RATIO * (classes.shape[1] - row))
    return edge, float(carried)
