"""Differences of two variants, each with its standard error: of means, of ratios, and with CUPED.

How sure a difference makes us depends on how often one looks, and is decided in recsys/effects.py.
Relative lifts are by the delta method everywhere: a control's mean is itself an estimate (statistics.md 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import InvalidTable, Misuse
from recsys.moments import Moments, Paired


@dataclass(frozen=True, slots=True)
class Difference:
    """Variant minus control with its standard error; relative to the control's mean, None where that is ≤ 0."""

    absolute: float
    error: float
    relative: float | None
    relative_error: float
    n_control: int
    n_variant: int


def of_means(control: Moments, *, variant: Moments) -> Difference:
    """The difference of two means. Raises `InvalidTable` with fewer than two units on a side.

    >>> d = of_means(Moments.of_array([1, 2, 3]), variant=Moments.of_array([2, 3, 4]))
    >>> round(d.absolute, 3), round(d.error, 3), d.relative
    (1.0, 0.816, 0.5)
    """
    v_c, v_t = squared_error(control), squared_error(variant)
    return _difference(
        variant.mean - control.mean, math.sqrt(v_c + v_t), base=control.mean, v_c=v_c, v_t=v_t, n=(control.n, variant.n)
    )


def of_ratios(control: Paired, *, variant: Paired) -> Difference:
    """The difference of two ratios of sums, Σy / Σx, where the unit is what was assigned (delta method).

    Var = (s_y² - 2·R·s_xy + R²·s_x²) / (mean x)² / n. Sessions as units would be wrong: they are not independent.
    Raises `InvalidTable` with fewer than two units on a side, or nothing to divide by.
    """
    ratios, errors = [], []
    for side in (control, variant):
        _check_two(side.n)
        if side.x <= 0.0:
            raise InvalidTable("a ratio needs something to divide by on both sides", where="effects")
        ratio, mean = side.y / side.x, side.x / side.n
        spread = side.alone.variance - 2.0 * ratio * side.covariance + ratio**2 * side.beside.variance
        ratios.append(ratio)
        errors.append(max(0.0, spread) / mean**2 / side.n)
    return _difference(
        ratios[1] - ratios[0], math.sqrt(sum(errors)), base=ratios[0], v_c=errors[0], v_t=errors[1],
        n=(control.n, variant.n),
    )  # fmt: skip


def adjusted(control: Paired, *, variant: Paired) -> Difference:
    """The difference of means less what the time before explains (CUPED; Deng et al. 2013).

    θ = cov(Y, X) / var(X), pooled within the arms; the difference is ΔY - θ·ΔX. The relative lift has the
    full delta over all four means: g_T = (1/m, -θ/m), g_C = (-1/m - D/m², θ/m), m the control's mean of Y.
    A constant X leaves the difference as it is. Raises `InvalidTable` with fewer than two units on a side.
    """
    _check_two(min(control.n, variant.n))
    theta = theta_of((control, variant))
    m = control.y / control.n
    absolute = variant.y / variant.n - m - theta * (variant.x / variant.n - control.x / control.n)
    v_c, v_t = (_combined(side, 1.0, -theta) / side.n for side in (control, variant))
    error = math.sqrt(v_c + v_t)
    n = control.n, variant.n
    if m <= 0.0:
        return Difference(absolute, error, None, 0.0, *n)
    relative_error = math.sqrt(
        _combined(variant, 1.0 / m, -theta / m) / variant.n
        + _combined(control, -1.0 / m - absolute / m**2, theta / m) / control.n
    )
    return Difference(absolute, error, absolute / m, relative_error, *n)


def theta_of(sides: Sequence[Paired]) -> float:
    """CUPED's slope, pooled within the sides; 0 where the time before does not vary."""
    varies = math.fsum(side.beside.variance * (side.n - 1) for side in sides if side.n > 1)
    together = math.fsum(side.covariance * (side.n - 1) for side in sides if side.n > 1)
    return together / varies if varies > 0.0 else 0.0


def by_day(days: Sequence[tuple[Moments, Moments]]) -> Difference:
    """Days' differences (control, variant), weighted by their units: honest where shares drifted between days.

    A pooled comparison mixes days of unlike shares and may even have the wrong sign (Simpson). Days without two
    units on both sides are left out. Raises `InvalidTable` where no day can be compared.
    """
    kept = [(c, v) for c, v in days if min(c.n, v.n) >= 2]
    if not kept:
        raise InvalidTable("no day has two units on both sides", where="effects")
    whole = sum(c.n + v.n for c, v in kept)
    weights = [(c.n + v.n) / whole for c, v in kept]
    base = math.fsum(w * c.mean for w, (c, _) in zip(weights, kept, strict=True))
    absolute = math.fsum(w * (v.mean - c.mean) for w, (c, v) in zip(weights, kept, strict=True))
    v_c = math.fsum(w * w * squared_error(c) for w, (c, _) in zip(weights, kept, strict=True))
    v_t = math.fsum(w * w * squared_error(v) for w, (_, v) in zip(weights, kept, strict=True))
    n = sum(c.n for c, _ in kept), sum(v.n for _, v in kept)
    return _difference(absolute, math.sqrt(v_c + v_t), base=base, v_c=v_c, v_t=v_t, n=n)


def interaction(differences: Sequence[Difference]) -> tuple[float, int]:
    """(Wald statistic, degrees of freedom) of "the difference is the same in every segment" (heteroskedastic).

    Segments without an error are left out. Raises `Misuse` below two.
    """
    known = [d for d in differences if d.error > 0.0]
    if len(known) < 2:
        raise Misuse("interaction: needs two segments with a difference and its error")
    weights = [1.0 / d.error**2 for d in known]
    mean = math.fsum(w * d.absolute for w, d in zip(weights, known, strict=True)) / math.fsum(weights)
    distance = math.fsum(w * (d.absolute - mean) ** 2 for w, d in zip(weights, known, strict=True))
    return distance, len(known) - 1


def squared_error(moments: Moments) -> float:
    """Squared standard error of a mean; raises `InvalidTable` with fewer than two units."""
    _check_two(moments.n)
    return moments.variance / moments.n


def _check_two(n: int) -> None:
    if n < 2:
        raise InvalidTable(f"an effect needs at least two units a variant, got {n}", where="effects")


def _combined(side: Paired, a: float, b: float) -> float:
    """Variance of a·y + b·x."""
    variance = a * a * side.alone.variance + 2.0 * a * b * side.covariance + b * b * side.beside.variance
    return max(0.0, variance)


def _difference(
    absolute: float, error: float, *, base: float, v_c: float, v_t: float, n: tuple[int, int]
) -> Difference:
    if base <= 0.0:
        return Difference(absolute, error, None, 0.0, *n)
    ratio = absolute / base + 1.0
    return Difference(absolute, error, absolute / base, math.sqrt(v_t + ratio * ratio * v_c) / base, *n)
