"""Looks at a test of planned length: how far the difference must be from 0 at each (group sequential).

The error is spent by a power of the share of units that have been read, α(t) = α·t^ρ with ρ = 2
(Kim and DeMets 1987; statistics.md 2), so that a test may end early and still errs in α of cases over
all its looks. Bounds are found by the recursion of Armitage, McPherson and Rowe (1969), with
Gauss-Legendre nodes between the bounds of each look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from recsys.errors import Misuse
from recsys.vocabulary import Floats

LEAST_STEP = 0.02
"""A look is one where at least this share of the planned units is new; others would cost precision only."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)
_FAR = 8.0
_ERFC = np.vectorize(math.erfc, otypes=[np.float64])


def spent(fraction: float, *, alpha: float = 0.05, rho: float = 2.0) -> float:
    """Error that may be spent when `fraction` of the planned units has been read.

    >>> spent(0.5), spent(1.0)
    (0.0125, 0.05)
    """
    return float(alpha * min(1.0, max(0.0, fraction)) ** rho)


def bounds(fractions: Sequence[float], *, alpha: float = 0.05, rho: float = 2.0, sides: int = 2) -> tuple[float, ...]:
    """The standardised distance from 0 that proves a difference, at each look.

    `fractions` are shares of the planned units, growing, in (0, 1]. With `sides` 1 only a distance above counts.
    Raises `Misuse` for others.

    >>> [round(z, 3) for z in bounds([0.25, 0.5, 0.75, 1.0])]
    [2.955, 2.559, 2.301, 2.092]
    >>> [round(z, 3) for z in bounds([0.25, 0.5, 0.75, 1.0], sides=1)]
    [2.734, 2.302, 2.01, 1.769]
    """
    if any(not 0.0 < t <= 1.0 for t in fractions) or any(a >= b for a, b in pairwise(fractions)):
        raise Misuse("looks: fractions must grow, and lie above 0 and at most at 1")
    if not 0.0 < alpha < 1.0 or rho <= 0.0 or sides not in (1, 2):
        raise Misuse(f"looks: alpha must lie in (0, 1), rho above 0, sides be 1 or 2; got {alpha}, {rho}, {sides}")
    return _bounds(tuple(fractions), alpha, rho, sides)


def power(fractions: Sequence[float], *, crossing: Sequence[float], drift: float) -> float:
    """The chance to cross at some look, where the difference is `drift` of the last look's standard errors.

    >>> zs = bounds([0.25, 0.5, 0.75, 1.0])
    >>> round(power([0.25, 0.5, 0.75, 1.0], crossing=zs, drift=0.0), 3)
    0.05
    """
    places, mass, before, crossed = np.zeros(1), np.ones(1), 0.0, 0.0
    for t, z in zip(fractions, crossing, strict=True):
        step, scale = math.sqrt(t - before), math.sqrt(t)
        moved = places + drift * (t - before)
        crossed += _leaving(moved, mass, edge=z * scale, step=step, sides=2)
        nodes = z * scale * _NODES
        kernel = np.exp(-0.5 * ((nodes[:, None] - moved) / step) ** 2) / (step * math.sqrt(2.0 * math.pi))
        places, mass, before = nodes, (kernel @ mass) * _WEIGHTS * z * scale, t
    return min(1.0, crossed)


def taken(fractions: Sequence[float]) -> list[int]:
    """Which of these growing fractions are looks: the first, those that bring something new, up to the first that is 1.

    >>> taken([0.0, 0.3, 0.305, 0.7, 1.0, 1.2])
    [1, 3, 4]
    """
    found: list[int] = []
    last = 0.0
    for row, fraction in enumerate(fractions):
        new = fraction - last >= LEAST_STEP or fraction >= 1.0 or not found
        if last < 1.0 and fraction > last and new:
            found.append(row)
            last = min(1.0, fraction)
    return found


@lru_cache(maxsize=4096)
def _bounds(fractions: tuple[float, ...], alpha: float, rho: float, sides: int) -> tuple[float, ...]:
    found: list[float] = []
    places, density = np.zeros(1), np.ones(1)  # of the sum that has not left, and its mass there
    before, used = 0.0, 0.0
    for t in fractions:
        step, scale = math.sqrt(t - before), math.sqrt(t)
        target = spent(t, alpha=alpha, rho=rho) - used
        low, high = 0.0, _FAR
        for _ in range(45):
            middle = (low + high) / 2.0
            left = _leaving(places, density, edge=middle * scale, step=step, sides=sides)
            low, high = (middle, high) if left > target else (low, middle)
        z = (low + high) / 2.0
        found.append(z)
        used = spent(t, alpha=alpha, rho=rho)
        upper, lower = z * scale, -z * scale if sides == 2 else -_FAR * scale
        nodes = (upper - lower) / 2.0 * _NODES + (upper + lower) / 2.0
        kernel = np.exp(-0.5 * ((nodes[:, None] - places) / step) ** 2) / (step * math.sqrt(2.0 * math.pi))
        places, density = nodes, (kernel @ density) * _WEIGHTS * (upper - lower) / 2.0
        before = t
    return tuple(found)


def _leaving(places: Floats, mass: Floats, *, edge: float, step: float, sides: int) -> float:
    """Probability to be beyond the edge after one step."""
    above = 0.5 * _ERFC((edge - places) / (step * math.sqrt(2.0)))
    if sides == 2:
        above = above + 0.5 * _ERFC((edge + places) / (step * math.sqrt(2.0)))
    return float(mass @ above)
