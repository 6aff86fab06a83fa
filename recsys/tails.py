"""Tail probabilities of the normal, Student and chi-square laws, in plain Python.

scipy is a tool of the tests, which hold these functions to it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def normal_two_sided(z: float) -> float:
    """P(|Z| ≥ |z|) for a standard normal Z.

    >>> round(normal_two_sided(1.959964), 6)
    0.05
    """
    return math.erfc(abs(z) / math.sqrt(2.0))


def normal_quantile(p: float) -> float:
    """The z with P(Z ≤ z) = p, for p in (0, 1)."""
    return _NORMAL.inv_cdf(p)


def chi_square_tail(x: float, *, df: int) -> float:
    """P(X ≥ x) for a chi-square X with `df` ≥ 1 degrees of freedom; a finite sum, exact for every df.

    >>> round(chi_square_tail(3.841459, df=1), 6)
    0.05
    """
    if x <= 0.0:
        return 1.0
    half = x / 2.0
    odd = df % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    for k in range(df // 2):
        power = k + odd / 2.0
        tail += math.exp(power * math.log(half) - half - math.lgamma(power + 1.0))
    return min(1.0, tail)


def student_two_sided(t: float, *, df: float) -> float:
    """P(|T| ≥ |t|) for Student's T with `df` > 0 degrees of freedom, not necessarily whole.

    >>> round(student_two_sided(2.228139, df=10), 6)
    0.05
    """
    return _incomplete_beta(df / (df + t * t), a=df / 2.0, b=0.5)


def student_quantile(p: float, *, df: float) -> float:
    """The t with P(T ≤ t) = p, for p in (0.5, 1), by bisection of the tail."""
    low, high = 0.0, 2.0
    while student_two_sided(high, df=df) > 2.0 * (1.0 - p):
        low, high = high, high * 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if student_two_sided(middle, df=df) > 2.0 * (1.0 - p) else (low, middle)
    return (low + high) / 2.0


def _incomplete_beta(x: float, *, a: float, b: float) -> float:
    """Regularised incomplete beta I_x(a, b), by the side whose continued fraction converges fast."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(1.0 - x, a=b, b=a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    return front * _beta_fraction(x, a=a, b=b)


def _beta_fraction(x: float, *, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b) by Lentz's method (Numerical Recipes 6.4)."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1.0 / (1.0 + even * d), 1.0 + even / c
        fraction *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1.0 / (1.0 + odd * d), 1.0 + odd / c
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return fraction
