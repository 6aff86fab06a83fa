"""What a log can say about a target policy, told before any number (statistics.md 1, Diagnostics).

Everything is computed from logged propensities and, where given, the full logged and target pmfs. Red
findings refuse an interval or a promotion; amber ones are shown beside it. The rules: fewer than 50
effective conversions give no interval, fewer than 200 no promotion; more than 5 % of the target's mass
on what the logger could not draw gives no value, more than 1 % a warning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from bandits.tabled import checked
from recsys.errors import InvalidTable
from recsys.tails import normal_two_sided
from recsys.vocabulary import Bools, Floats

LEAST_FOR_INTERVAL, LEAST_FOR_PROMOTION = 50.0, 200.0  # effective conversions
UNSUPPORTED_WARNS, UNSUPPORTED_BLOCKS = 0.01, 0.05  # of the target's mass
TOP_SHARE_WARNS = 0.5  # of all weight on the heaviest hundredth of the rounds
WEIGHT_Z_WARNS = 3.0
CALIBRATION_ALPHA = 0.01
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, in a sentence. Red refuses, amber warns."""

    colour: str  # red | amber
    about: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Miscalibrated:
    """A product (or version, or hour) drawn more or less often than its logged probabilities say."""

    name: str
    drawn: int
    expected: float
    z: float
    p_value: float  # adjusted for how many were looked at (Benjamini and Hochberg 1995)


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """The state of a log for one target policy."""

    n: int
    mean_weight: float
    mean_weight_z: float
    largest_weight: float
    weight_p999: float
    top_share: float  # of all weight, on the heaviest 1 % of rounds
    effective_rounds: float  # (Σw)² / Σw²
    effective_conversions: float  # (Σw|r|)² / Σ(wr)²
    unsupported: float | None  # target mass the logger could not draw; None without the full pmfs
    excluded: int = 0  # rounds left out: not ripe yet, or told twice
    findings: tuple[Finding, ...] = ()
    miscalibrated: tuple[Miscalibrated, ...] = field(default=())

    @property
    def interval_allowed(self) -> bool:
        """Whether there is evidence enough for an interval at all."""
        return self.effective_conversions >= LEAST_FOR_INTERVAL and self._supported

    @property
    def promotion_allowed(self) -> bool:
        """Whether there is evidence enough to promote on: no red finding, and 200 effective conversions."""
        return self.effective_conversions >= LEAST_FOR_PROMOTION and all(f.colour != "red" for f in self.findings)

    @property
    def _supported(self) -> bool:
        return self.unsupported is None or self.unsupported <= UNSUPPORTED_BLOCKS


def diagnose(
    *,
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    logged_pmf: Floats | None = None,
    target_pmf: Floats | None = None,
    products: Sequence[str] = (),
    shown: ArrayLike | None = None,
    excluded: int = 0,
) -> Diagnostics:
    """Diagnose (n,) rounds; `logged_pmf` and `target_pmf` (n, A) over `products` make support and calibration exact.

    `shown` (n,) is the column that was drawn. Raises `InvalidTable`.
    """
    table = checked("diagnostics", reward=reward, propensity=propensity, target=target)
    weight = table["target"] / table["propensity"]
    earned = weight * table["reward"]
    n = weight.size
    deviation = float(weight.std(ddof=1)) if n > 1 else 0.0
    z = (float(weight.mean()) - 1.0) / (deviation / math.sqrt(n)) if deviation > _ROUNDING else 0.0
    heaviest = np.sort(weight)[::-1][: max(1, n // 100)]
    unsupported = None if logged_pmf is None or target_pmf is None else _unsupported(logged_pmf, target_pmf)
    off = () if logged_pmf is None or shown is None else calibration(logged_pmf, shown=shown, names=products)
    told = Diagnostics(
        n=n,
        mean_weight=float(weight.mean()),
        mean_weight_z=z,
        largest_weight=float(weight.max()),
        weight_p999=float(np.quantile(weight, 0.999)),
        top_share=float(heaviest.sum() / max(weight.sum(), np.finfo(float).tiny)),
        effective_rounds=_effective(weight),
        effective_conversions=_effective(np.abs(earned)),
        unsupported=unsupported,
        excluded=excluded,
        miscalibrated=tuple(each for each in off if each.p_value < CALIBRATION_ALPHA),
    )
    on_policy = bool(np.allclose(table["target"], table["propensity"], rtol=0.0, atol=_ROUNDING))
    return _with_findings(told, on_policy=on_policy)


def calibration(pmf: Floats, *, shown: ArrayLike, names: Sequence[str] = ()) -> tuple[Miscalibrated, ...]:
    """How often each product was drawn against what its logged probabilities (n, A) expect, A rows."""
    columns = np.asarray(shown, dtype=np.int64)
    if pmf.ndim != 2 or columns.shape != (len(pmf),) or (columns.size and columns.max() >= pmf.shape[1]):
        raise InvalidTable(
            "expected a pmf of rounds × products and the drawn column of each round", where="calibration"
        )
    drawn = np.bincount(columns, minlength=pmf.shape[1])
    expected, variance = pmf.sum(axis=0), (pmf * (1.0 - pmf)).sum(axis=0)
    z = np.where(variance > _ROUNDING, (drawn - expected) / np.sqrt(np.maximum(variance, _ROUNDING)), 0.0)
    impossible = (variance <= _ROUNDING) & (np.abs(drawn - expected) > 0.5)
    p = np.array([0.0 if no else normal_two_sided(float(each)) for each, no in zip(z, impossible, strict=True)])
    labels = names or [str(column) for column in range(pmf.shape[1])]
    return tuple(
        Miscalibrated(label, int(count), float(mean), float(each), float(adjusted))
        for label, count, mean, each, adjusted in zip(labels, drawn, expected, z, adjusted_p(p), strict=True)
    )


def adjusted_p(p: Floats) -> Floats:
    """(m,) p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995).

    >>> adjusted_p(np.array([0.01, 0.02, 0.9])).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    order = np.argsort(p)[::-1]
    ranks = np.arange(p.size, 0, -1)
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * p.size / ranks), 1.0)
    return adjusted


def _effective(weight: Floats) -> float:
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _unsupported(logged: Floats, target: Floats) -> float:
    if logged.shape != target.shape:
        raise InvalidTable(f"pmfs of different shapes: {logged.shape} and {target.shape}", where="diagnostics")
    closed: Bools = logged <= 0.0
    return float(np.where(closed, target, 0.0).sum(axis=1).mean())


def _with_findings(d: Diagnostics, *, on_policy: bool) -> Diagnostics:
    found: list[Finding] = []
    if d.unsupported is not None and d.unsupported > UNSUPPORTED_WARNS:
        colour = "red" if d.unsupported > UNSUPPORTED_BLOCKS else "amber"
        sentence = (
            f"{d.unsupported:.1%} of what the policy would show could not have been drawn when the log was written"
        )
        found.append(Finding(colour, "support", sentence))
    if abs(d.mean_weight_z) > WEIGHT_Z_WARNS:
        sentence = f"weights average {d.mean_weight:.3f} and not 1: a propensity or the support is wrong"
        found.append(Finding("red", "mean weight", sentence))
    if d.miscalibrated:
        worst = max(d.miscalibrated, key=lambda each: abs(each.z))
        sentence = f"{worst.name} was drawn {worst.drawn:,} times where its propensities expect {worst.expected:,.0f}"
        found.append(Finding("red", "calibration", sentence))
    if d.effective_conversions < LEAST_FOR_PROMOTION:
        colour = "red" if d.effective_conversions < LEAST_FOR_INTERVAL else "amber"
        sentence = (
            f"{d.effective_conversions:,.0f} effective conversions: "
            + ("not enough evidence for an interval" if colour == "red" else "not enough to promote on")
            + f" ({LEAST_FOR_INTERVAL:.0f} and {LEAST_FOR_PROMOTION:.0f} are needed)"
        )
        found.append(Finding(colour, "evidence", sentence))
    if d.top_share > TOP_SHARE_WARNS and not on_policy:
        found.append(Finding("amber", "weights", f"one round in a hundred carries {d.top_share:.0%} of all weight"))
    if d.excluded:
        found.append(Finding("amber", "left out", f"{d.excluded:,} rounds were left out: not ripe yet, or told twice"))
    values = {name: getattr(d, name) for name in Diagnostics.__slots__}
    return Diagnostics(**(values | {"findings": tuple(found)}))
