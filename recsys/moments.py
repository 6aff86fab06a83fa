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


@dataclass(frozen=True, slots=True)
class Paired:
    """Sums of two numbers a unit, y and x, that add like `Moments`: what a ratio or CUPED needs.

    x is the denominator of a ratio, or what the unit did before its exposure.

    >>> Paired.of(2.0, 1.0) + Paired.of(4.0, 3.0)
    Paired(n=2, y=6.0, yy=20.0, x=4.0, xx=10.0, xy=14.0)
    """

    n: int = 0
    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    @classmethod
    def of(cls, y: float, x: float = 0.0) -> Paired:
        """The sums of one unit."""
        return cls(1, y, y * y, x, x * x, x * y)

    @classmethod
    def of_arrays(cls, y: ArrayLike, x: ArrayLike) -> Paired:
        """The sums of (n,) units."""
        a, b = np.asarray(y, dtype=np.float64).ravel(), np.asarray(x, dtype=np.float64).ravel()
        return cls(a.size, float(a.sum()), float(a @ a), float(b.sum()), float(b @ b), float(a @ b))

    def __add__(self, other: Paired) -> Paired:
        return Paired(
            self.n + other.n, self.y + other.y, self.yy + other.yy, self.x + other.x, self.xx + other.xx,
            self.xy + other.xy,
        )  # fmt: skip

    def __sub__(self, other: Paired) -> Paired:
        return Paired(
            self.n - other.n, self.y - other.y, self.yy - other.yy, self.x - other.x, self.xx - other.xx,
            self.xy - other.xy,
        )  # fmt: skip

    @property
    def alone(self) -> Moments:
        """The moments of y."""
        return Moments(self.n, self.y, self.yy)

    @property
    def beside(self) -> Moments:
        """The moments of x."""
        return Moments(self.n, self.x, self.xx)

    @property
    def covariance(self) -> float:
        """Sample covariance of y and x; 0 where fewer than two units."""
        return (self.xy - self.x * self.y / self.n) / (self.n - 1) if self.n > 1 else 0.0
