"""What diagnostics are made of, as sums that add: equally right in one batch and in a thousand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.calibration import draws
from bandits.tabled import checked
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What diagnostics need, as sums that add. Build with `Tally.of`, add batches, ask `diagnostics.told`.

    Weights are also counted in 1,600 classes of equal ratio (1.5 % wide), from which the shares of the
    heaviest are read: equally fine in one batch and in a thousand.
    """

    # (9,) slots, Σw, Σ|wr|, Σ(wr)², slots with pmfs, target mass without support, rounds, Σ(a round's mean w)², and
    # the largest difference from on-policy
    sums: Floats
    largest: float
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
        slots: int = 1,
    ) -> Tally:
        """Of (n,) slots; the pmfs are (m, A), `shown` (m,) the column that was drawn. Raises `InvalidTable`.

        `slots` of them, one after another, make a round: their weights hang together, those of rounds do not.
        """
        table = checked("diagnostics", reward=reward, propensity=propensity, target=target)
        weight = table["target"] / table["propensity"]
        earned = np.abs(weight * table["reward"])
        supported = logged_pmf is not None and target_pmf is not None
        lost = _unsupported(logged_pmf, target_pmf) if logged_pmf is not None and target_pmf is not None else 0.0
        off_policy = float(np.abs(table["target"] - table["propensity"]).max())
        of_round = weight.reshape(-1, slots).mean(axis=1)
        sums = [weight.size, weight.sum(), earned.sum(), (earned**2).sum()]
        sums += [0 if logged_pmf is None else len(logged_pmf), lost, of_round.size, (of_round**2).sum(), off_policy]
        drawn, expected, variance = draws(logged_pmf, shown)
        return cls(
            np.array(sums, dtype=np.float64),
            float(weight.max()),
            _classes(weight),
            drawn,
            expected,
            variance,
            supported,
        )

    def __add__(self, other: Tally) -> Tally:
        sums = self.sums + other.sums
        sums[-1] = max(self.sums[-1], other.sums[-1])
        return Tally(
            sums,
            max(self.largest, other.largest),
            self.classes + other.classes,
            self.drawn + other.drawn,
            self.expected + other.expected,
            self.variance + other.variance,
            self.has_support and other.has_support,
        )


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
