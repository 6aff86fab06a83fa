"""Moments: n, sum and sum of squares; all that a mean, its variance and most tests need, and they add.

One tiny row for a variant, a metric and a day, whatever the traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sum and sum of squares of one number a unit.

    >>> (Moments.of(1.0) + Moments.of(3.0)).mean
    2.0
    >>> sum([Moments.of(1.0), Moments.of(3.0)], start=Moments()).variance
    2.0
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, value: float) -> Moments:
        """The moments of one unit."""
        return cls(1, value, value * value)

    @classmethod
    def of_array(cls, values: ArrayLike) -> Moments:
        """The moments of (n,) units."""
        x = np.asarray(values, dtype=np.float64).ravel()
        return cls(x.size, float(x.sum()), float(x @ x))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    def moved(self, before: float, *, to: float) -> Moments:
        """The moments after one unit already counted went from `before` to `to`.

        >>> Moments.of(1.0).moved(1.0, to=4.0)
        Moments(n=1, total=4.0, squares=16.0)
        """
        return Moments(self.n, self.total + to - before, self.squares + to * to - before * before)

    @property
    def mean(self) -> float:
        """Mean per unit; 0 where there is no unit."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Sample variance (divisor n - 1), never below 0; 0 where fewer than two units."""
        if self.n < 2:
            return 0.0
        return max(0.0, self.squares - self.total * self.total / self.n) / (self.n - 1)

    @property
    def evidence(self) -> float:
        """Effective number of units that carry the total: (Σx)² / Σx² (statistics.md 0, n_eff_conv).

        >>> Moments.of_array([0, 0, 5, 5]).evidence
        2.0
        """
        return self.total * self.total / self.squares if self.squares else 0.0
