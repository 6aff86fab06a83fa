"""What a log can say about a target policy, told before any number (statistics.md 1, Diagnostics).

Everything is computed from logged propensities and, where given, the full logged and target pmfs. Red
findings refuse an interval or a promotion; amber ones are shown beside it. The rules: fewer than 50
effective conversions give no interval, fewer than 200 no promotion; more than 5 % of the target's mass
on what the logger could not draw gives no value, more than 1 % a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from bandits.calibration import Miscalibrated, calibrated
from bandits.tally import Tally, heaviest
from recsys.vocabulary import Floats

LEAST_FOR_INTERVAL, LEAST_FOR_PROMOTION = 50.0, 200.0  # effective conversions
UNSUPPORTED_WARNS, UNSUPPORTED_BLOCKS = 0.01, 0.05  # of the target's mass
TOP_SHARE_WARNS = 0.5  # of all weight on the heaviest hundredth of the rounds
WEIGHT_Z_WARNS = 3.0
CALIBRATION_ALPHA = 0.01
REPLAY_WARNS = 0.01  # by which share a propensity may miss its own distribution before it is red
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, in a sentence. Red refuses, amber warns."""

    colour: str  # red | amber
    about: str
    sentence: str


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
    lowest: float = -math.inf  # reward of a round
    highest: float = math.inf
    binary: bool = False  # whether every round earned 0 or 1
    replayed_wrong: int = 0  # propensities that are not what the distribution beside them says
    replayed_off: float = 0.0  # the largest share by which one is not
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


def told(tally: Tally, *, products: Sequence[str] = (), excluded: int = 0) -> Diagnostics:
    """The diagnostics of everything added up; `products` name the columns."""
    slots, total, earned, earned_squares, drawn, lost, n, squares, other, wrong, _ = tally.sums.tolist()
    largest, off_policy, highest, negated, off_share = tally.greatest.tolist()
    mean = total / slots
    deviation = math.sqrt(max(squares / n - mean * mean, 0.0) * n / max(n - 1.0, 1.0))
    off = calibrated(tally.drawn, tally.expected, tally.variance, names=products)
    found = Diagnostics(
        n=int(n),
        mean_weight=mean,
        mean_weight_z=(mean - 1.0) / (deviation / math.sqrt(n)) if deviation > _ROUNDING else 0.0,
        largest_weight=largest,
        weight_p999=min(heaviest(tally.classes, share=0.001)[0], largest),
        top_share=heaviest(tally.classes, share=0.01)[1] / max(total, np.finfo(float).tiny),
        effective_rounds=(n * mean) ** 2 / squares if squares > 0.0 else 0.0,
        effective_conversions=earned**2 / earned_squares if earned_squares > 0.0 else 0.0,
        unsupported=lost / max(drawn, 1.0) if tally.has_support else None,
        lowest=-negated,
        highest=highest,
        binary=other == 0.0,
        replayed_wrong=int(wrong),
        replayed_off=off_share,
        excluded=excluded,
        miscalibrated=tuple(each for each in off if each.p_value < CALIBRATION_ALPHA),
    )
    return _with_findings(found, on_policy=off_policy <= _ROUNDING)


def diagnose(
    *,
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    logged_pmf: Floats | None = None,
    target_pmf: Floats | None = None,
    shown: ArrayLike | None = None,
    products: Sequence[str] = (),
    excluded: int = 0,
) -> Diagnostics:
    """Diagnose (n,) rounds at once; full pmfs make support and calibration exact. Raises `InvalidTable`."""
    tally = Tally.of(
        reward=reward,
        propensity=propensity,
        target=target,
        logged_pmf=logged_pmf,
        target_pmf=target_pmf,
        shown=shown,
        drew=None if logged_pmf is None or shown is None else propensity,
    )
    return told(tally, products=products, excluded=excluded)


def beyond(d: Diagnostics, *, estimates: Mapping[str, float]) -> Diagnostics:
    """The same, with a red finding for `estimates` (by estimator) of what no round ever earned."""
    slack = _ROUNDING * max(abs(d.lowest), abs(d.highest), 1.0)
    off = {name: each for name, each in estimates.items() if not d.lowest - slack <= each <= d.highest + slack}
    if not off:
        return d
    said = ", ".join(f"{name} ({each:.4g})" for name, each in off.items())
    sentence = f"out of range: {said}, where every round earned between {d.lowest:.4g} and {d.highest:.4g}"
    return replace(d, findings=(*d.findings, Finding("red", "range", sentence)))


def _with_findings(d: Diagnostics, *, on_policy: bool) -> Diagnostics:
    found: list[Finding] = []
    if d.unsupported is not None and d.unsupported > UNSUPPORTED_WARNS:
        colour = "red" if d.unsupported > UNSUPPORTED_BLOCKS else "amber"
        sentence = (
            f"{d.unsupported:.1%} of what the policy would show could not have been drawn when the log was written"
        )
        found.append(Finding(colour, "support", sentence))
    if abs(d.mean_weight_z) > WEIGHT_Z_WARNS:
        known = d.effective_rounds >= LEAST_FOR_INTERVAL  # the heaviest weights of a small log are yet to come
        why = "a propensity or the support is wrong" if known else "too few rounds carry weight to say why"
        sentence = f"weights average {d.mean_weight:.3f} and not 1: {why}"
        found.append(Finding("red" if known else "amber", "mean weight", sentence))
    if d.replayed_wrong:
        colour = "red" if d.replayed_off > REPLAY_WARNS else "amber"
        sentence = (
            f"{d.replayed_wrong:,} propensities are not what the logged distributions say (by up to "
            f"{d.replayed_off:.2%}): the policy that ran, judged by its own log, is not worth what it earned"
        )
        found.append(Finding(colour, "replay", sentence))
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
    return replace(d, findings=tuple(found))
