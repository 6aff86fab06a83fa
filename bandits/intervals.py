"""From contributions to an interval around their mean.

The sample is what was assigned: pass `unit` (customer or household per contribution) where one unit
made several decisions, for a cluster-robust interval; ignoring it makes intervals about 1.3 times too
narrow on a bank's logs (statistics.md 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from recsys.errors import InvalidTable
from recsys.tails import normal_quantile
from recsys.vocabulary import Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds; from one unit alone the bounds are infinite."""

    estimate: float
    low: float
    high: float
    n: int  # units
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"


def normal(contributions: Floats, *, level: float = 0.95, unit: ArrayLike | None = None) -> Interval:
    """The normal interval of a mean, clustered by `unit` where given; raises `InvalidTable`.

    >>> str(normal(np.array([0.0, 1.0, 0.0, 1.0])))
    '0.5000 [-0.0658, 1.0658]'
    """
    if contributions.ndim != 1 or not contributions.size:
        raise InvalidTable("no contributions: an interval needs at least one", where="normal interval")
    if not 0.0 < level < 1.0:
        raise InvalidTable(f"a level lies in (0, 1), got {level}", where="normal interval")
    mean = float(contributions.mean())
    sums = _sums(contributions - mean, unit)
    n = sums.size
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n, level)
    error = math.sqrt(float((sums**2).sum()) * n / (n - 1)) / contributions.size
    reach = normal_quantile(0.5 + level / 2.0) * error
    return Interval(mean, mean - reach, mean + reach, n, level)


def wilson(outcomes: Floats, *, level: float = 0.95) -> Interval:
    """Wilson's (1927) interval of a rate of 0/1 outcomes: stays in [0, 1] and holds with few of them.

    >>> str(wilson(np.array([0.0, 0.0, 0.0, 1.0])))
    '0.2500 [0.0456, 0.6994]'
    """
    if not outcomes.size or not np.isin(outcomes, (0.0, 1.0)).all():
        raise InvalidTable("expected at least one outcome, each 0 or 1", where="Wilson interval")
    n, rate = outcomes.size, float(outcomes.mean())
    z = normal_quantile(0.5 + level / 2.0)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(rate, middle - reach, middle + reach, n, level)


def _sums(deviations: Floats, unit: ArrayLike | None) -> Floats:
    """(units,) the deviations of each unit, added."""
    if unit is None:
        return deviations
    units = np.asarray(unit)
    if units.shape != deviations.shape:
        raise InvalidTable(f"{units.size} units for {deviations.size} contributions", where="normal interval")
    _, rows = np.unique(units, return_inverse=True)
    return np.asarray(np.bincount(rows, weights=deviations), dtype=np.float64)
