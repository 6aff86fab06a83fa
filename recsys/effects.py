"""Effects: the difference of two variants, with its interval. Functions of Moments, and of nothing else.

Which to use (statistics.md 0 and 2): `welch` for means and `two_proportions` for shares when a test
is read once, at its planned end; `sequential` when people look every day, which is what a page is
for: its interval holds at every look at once. The relative lift is by the delta method everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import InvalidTable, Misuse
from recsys.moments import Moments
from recsys.tails import chi_square_tail, normal_quantile, normal_two_sided, student_quantile, student_two_sided

__all__ = ["PLANNED", "Effect", "Moments", "sequential", "srm", "two_proportions", "welch"]

PLANNED = 5_000
"""Units of both variants at which a sequential interval is tightest, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Variant minus control, per unit; `relative…` divide by the control's mean (None where that is ≤ 0).

    `p_value` tests "no difference"; under `sequential` it may be read at any time.
    """

    absolute: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p_value: float
    n_control: int
    n_variant: int
    alpha: float
    method: str  # welch | newcombe | sequential


def welch(control: Moments, *, variant: Moments, alpha: float = 0.05) -> Effect:
    """Welch's unequal-variance t test of two means; the interval holds for one look.

    Raises `InvalidTable` with fewer than two units on a side.

    >>> e = welch(Moments.of_array([1, 2, 3]), variant=Moments.of_array([2, 3, 4]))
    >>> round(e.absolute, 3), round(e.p_value, 3)
    (1.0, 0.288)
    """
    parts = _squared_error(control), _squared_error(variant)
    error = math.sqrt(sum(parts))
    scale = parts[0] ** 2 / (control.n - 1) + parts[1] ** 2 / (variant.n - 1)
    df = sum(parts) ** 2 / scale if scale else float(control.n + variant.n - 2)
    difference = variant.mean - control.mean
    p_value = student_two_sided(difference / error, df=df) if error else float(difference == 0.0)
    width = student_quantile(1.0 - alpha / 2.0, df=df)
    arms = error * width, error * width
    return _effect(control, variant=variant, arms=arms, width=width, p_value=p_value, alpha=alpha, method="welch")


def two_proportions(control: Moments, *, variant: Moments, alpha: float = 0.05) -> Effect:
    """Pooled z test of two shares (a unit counts 0 or 1) with Newcombe's interval, for one look.

    Newcombe (1998), method 10: each share's Wilson interval, joined.

    >>> e = two_proportions(Moments(80, 48, 48), variant=Moments(70, 56, 56))
    >>> round(e.low, 4), round(e.high, 4)
    (0.0524, 0.3339)
    """
    _squared_error(control), _squared_error(variant)
    z = normal_quantile(1.0 - alpha / 2.0)
    (low_c, high_c), (low_v, high_v) = _wilson(control, z=z), _wilson(variant, z=z)
    down = math.hypot(variant.mean - low_v, high_c - control.mean)
    up = math.hypot(high_v - variant.mean, control.mean - low_c)
    pooled = (control + variant).mean
    error = math.sqrt(max(0.0, pooled * (1.0 - pooled)) * (1.0 / control.n + 1.0 / variant.n))
    p_value = normal_two_sided((variant.mean - control.mean) / error) if error else 1.0
    arms = down, up
    return _effect(control, variant=variant, arms=arms, width=z, p_value=p_value, alpha=alpha, method="newcombe")


def sequential(control: Moments, *, variant: Moments, planned: int = PLANNED, alpha: float = 0.05) -> Effect:
    """An asymptotic confidence sequence: its interval holds at every look, however often one looks.

    Half-width s·√(2(nρ²+1)/(n²ρ²)·log(√(nρ²+1)/α)), tightest at n = `planned` units of both variants
    (Waudby-Smith et al. 2021; statistics.md 1). The p-value is 1/e of the same mixture.

    It assumes that units arrive and their number a unit is then fixed. Numbers that go on growing
    (open-ended totals) are watched at a nearly constant n; the A/A test in tests/test_effects.py
    measures both.
    """
    error = math.sqrt(_squared_error(control) + _squared_error(variant))
    n = control.n + variant.n
    spread = n * _rho_squared(planned, alpha=alpha)
    width = math.sqrt(2.0 * (spread + 1.0) / spread * math.log(math.sqrt(spread + 1.0) / alpha))
    difference = variant.mean - control.mean
    z = difference / error if error else 0.0
    p_value = min(1.0, math.sqrt(spread + 1.0) * math.exp(-0.5 * z * z * spread / (spread + 1.0)))
    arms = error * width, error * width
    return _effect(control, variant=variant, arms=arms, width=width, p_value=p_value, alpha=alpha, method="sequential")


def srm(counts: Sequence[int], *, shares: Sequence[float]) -> float:
    """p-value of "units were split as planned" (sample ratio mismatch, chi-square; alarm below 0.001).

    Raises `Misuse` when a share is not positive or the lengths differ.

    >>> srm([500, 500], shares=[0.5, 0.5])
    1.0
    >>> srm([1000, 1200], shares=[0.5, 0.5]) < 0.001
    True
    """
    if len(counts) != len(shares) or len(counts) < 2:
        raise Misuse(f"srm: expected one share for each of at least two counts, got {len(counts)} and {len(shares)}")
    if min(shares) <= 0.0 or min(counts) < 0:
        raise Misuse("srm: every share must be above 0 and every count at least 0")
    n, whole = sum(counts), math.fsum(shares)
    if not n:
        return 1.0
    expected = [n * share / whole for share in shares]
    distance = math.fsum((seen - e) ** 2 / e for seen, e in zip(counts, expected, strict=True))
    return chi_square_tail(distance, df=len(counts) - 1)


def _squared_error(moments: Moments) -> float:
    """Squared standard error of a mean."""
    if moments.n < 2:
        raise InvalidTable(f"an effect needs at least two units a variant, got {moments.n}", where="effects")
    return moments.variance / moments.n


def _effect(
    control: Moments,
    *,
    variant: Moments,
    arms: tuple[float, float],
    width: float,
    p_value: float,
    alpha: float,
    method: str,
) -> Effect:
    """The effect whose absolute interval reaches `arms` down and up, and `width` standard errors relative."""
    absolute = variant.mean - control.mean
    relative, error = _relative_lift(control, variant=variant)
    return Effect(
        absolute=absolute,
        low=absolute - arms[0],
        high=absolute + arms[1],
        relative=relative,
        relative_low=None if relative is None else relative - width * error,
        relative_high=None if relative is None else relative + width * error,
        p_value=p_value,
        n_control=control.n,
        n_variant=variant.n,
        alpha=alpha,
        method=method,
    )


def _relative_lift(control: Moments, *, variant: Moments) -> tuple[float | None, float]:
    """Relative lift and its standard error by the delta method; None where the control's mean is not positive."""
    if control.mean <= 0.0:
        return None, 0.0
    ratio = variant.mean / control.mean
    error = math.sqrt(_squared_error(variant) + ratio * ratio * _squared_error(control)) / control.mean
    return ratio - 1.0, error


def _wilson(moments: Moments, *, z: float) -> tuple[float, float]:
    """Wilson's score interval of one share."""
    n, share = moments.n, moments.mean
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(max(0.0, share * (1.0 - share)) / n + z * z / (4 * n * n))
    whole = 1.0 + z * z / n
    return (centre - spread) / whole, (centre + spread) / whole


def _rho_squared(planned: int, *, alpha: float) -> float:
    """ρ² that makes the sequence tightest at `planned` units."""
    if planned < 1 or not 0.0 < alpha < 1.0:
        raise Misuse(f"effects: planned must be at least 1 and alpha in (0, 1), got {planned} and {alpha:g}")
    return (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / planned
