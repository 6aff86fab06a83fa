"""Effects: the difference of two variants, with its interval. Functions of Moments, and of nothing else.

Which to use (statistics.md 0 and 2): `welch` for means and `two_proportions` for shares when a test
is read once, at its planned end; `at_look` when a test of planned size is read as it goes (recsys/looks.py);
`sequential` where nobody has planned an end: its interval holds at every look at once. Differences of means,
of ratios and adjusted by the time before are in recsys/differences.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from recsys.differences import Difference, of_means, squared_error
from recsys.errors import Misuse
from recsys.moments import Moments, Paired
from recsys.splits import sequential_srm, srm
from recsys.tails import normal_quantile, normal_two_sided, student_quantile, student_two_sided

__all__ = [
    "PLANNED", "Difference", "Effect", "Moments", "Paired", "at_look", "once", "sequential", "sequential_srm", "srm",
    "two_proportions", "watched", "welch",
]  # fmt: skip

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
    method: str  # welch | newcombe | normal | sequential | group_sequential


def welch(control: Moments, *, variant: Moments, alpha: float = 0.05) -> Effect:
    """Welch's unequal-variance t test of two means; the interval holds for one look.

    Raises `InvalidTable` with fewer than two units on a side.

    >>> e = welch(Moments.of_array([1, 2, 3]), variant=Moments.of_array([2, 3, 4]))
    >>> round(e.absolute, 3), round(e.p_value, 3)
    (1.0, 0.288)
    """
    parts = squared_error(control), squared_error(variant)
    error = math.sqrt(sum(parts))
    scale = parts[0] ** 2 / (control.n - 1) + parts[1] ** 2 / (variant.n - 1)
    df = sum(parts) ** 2 / scale if scale else float(control.n + variant.n - 2)
    difference = variant.mean - control.mean
    p_value = student_two_sided(difference / error, df=df) if error else float(difference == 0.0)
    width = student_quantile(1.0 - alpha / 2.0, df=df)
    arms = error * width, error * width
    read = of_means(control, variant=variant)
    return _effect(read, arms=arms, width=width, p_value=p_value, alpha=alpha, method="welch")


def two_proportions(control: Moments, *, variant: Moments, alpha: float = 0.05) -> Effect:
    """Pooled z test of two shares (a unit counts 0 or 1) with Newcombe's interval, for one look.

    Newcombe (1998), method 10: each share's Wilson interval, joined.

    >>> e = two_proportions(Moments(80, 48, 48), variant=Moments(70, 56, 56))
    >>> round(e.low, 4), round(e.high, 4)
    (0.0524, 0.3339)
    """
    squared_error(control), squared_error(variant)
    z = normal_quantile(1.0 - alpha / 2.0)
    (low_c, high_c), (low_v, high_v) = _wilson(control, z=z), _wilson(variant, z=z)
    down = math.hypot(variant.mean - low_v, high_c - control.mean)
    up = math.hypot(high_v - variant.mean, control.mean - low_c)
    pooled = (control + variant).mean
    error = math.sqrt(max(0.0, pooled * (1.0 - pooled)) * (1.0 / control.n + 1.0 / variant.n))
    p_value = normal_two_sided((variant.mean - control.mean) / error) if error else 1.0
    arms = down, up
    read = of_means(control, variant=variant)
    return _effect(read, arms=arms, width=z, p_value=p_value, alpha=alpha, method="newcombe")


def sequential(control: Moments, *, variant: Moments, planned: int = PLANNED, alpha: float = 0.05) -> Effect:
    """An asymptotic confidence sequence: its interval holds at every look, however often one looks.

    Half-width s·√(2(nρ²+1)/(n²ρ²)·log(√(nρ²+1)/α)), tightest at n = `planned` units of both variants
    (Waudby-Smith et al. 2021; statistics.md 1). The p-value is 1/e of the same mixture.

    It assumes that units arrive and their number a unit is then fixed, which is why a metric has a window and
    only units whose window has closed are read. Numbers that go on growing are watched at a nearly constant n;
    the A/A test in tests/test_effects.py measures both.
    """
    return watched(of_means(control, variant=variant), planned=planned, alpha=alpha)


def watched(difference: Difference, *, planned: int = PLANNED, alpha: float = 0.05) -> Effect:
    """`sequential` for any difference: of means, of ratios, or adjusted by the time before."""
    n = difference.n_control + difference.n_variant
    spread = n * _rho_squared(planned, alpha=alpha)
    width = math.sqrt(2.0 * (spread + 1.0) / spread * math.log(math.sqrt(spread + 1.0) / alpha))
    z = difference.absolute / difference.error if difference.error else 0.0
    p_value = min(1.0, math.sqrt(spread + 1.0) * math.exp(-0.5 * z * z * spread / (spread + 1.0)))
    return _read(difference, width=width, p_value=p_value, alpha=alpha, method="sequential")


def at_look(difference: Difference, *, bound: float, alpha: float = 0.05) -> Effect:
    """A difference at one look of a planned test, `bound` standard errors to each side (recsys/looks.py).

    It is proven where the interval leaves 0 out. The p-value is of one look alone, for ordering, not for proof.
    """
    z = difference.absolute / difference.error if difference.error else 0.0
    return _read(difference, width=bound, p_value=normal_two_sided(z), alpha=alpha, method="group_sequential")


def once(difference: Difference, *, alpha: float = 0.05) -> Effect:
    """A difference at its only look, by the normal law."""
    z = difference.absolute / difference.error if difference.error else 0.0
    width = normal_quantile(1.0 - alpha / 2.0)
    return _read(difference, width=width, p_value=normal_two_sided(z), alpha=alpha, method="normal")


def _read(difference: Difference, *, width: float, p_value: float, alpha: float, method: str) -> Effect:
    arm = width * difference.error
    return _effect(difference, arms=(arm, arm), width=width, p_value=p_value, alpha=alpha, method=method)


def _effect(
    difference: Difference, *, arms: tuple[float, float], width: float, p_value: float, alpha: float, method: str
) -> Effect:
    """The effect whose absolute interval reaches `arms` down and up, and `width` standard errors relative."""
    absolute, relative, reach = difference.absolute, difference.relative, width * difference.relative_error
    return Effect(
        absolute=absolute,
        low=absolute - arms[0],
        high=absolute + arms[1],
        relative=relative,
        relative_low=None if relative is None else relative - reach,
        relative_high=None if relative is None else relative + reach,
        p_value=p_value,
        n_control=difference.n_control,
        n_variant=difference.n_variant,
        alpha=alpha,
        method=method,
    )


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
