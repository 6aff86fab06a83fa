"""The gate: may a recipe be tried in place of the champion? Pure rules over sums by unit.

A log is split by time. Recipes learn from the first part, may be looked at on the second as often as
one likes, and are certified on the third, where every look spends some of the error that all looks
together may make. A candidate passes where the lower bound of what it earns, less what it must at
least earn (the champion's value less the margin), lies above 0 on the same rows.

A guardrail is held the same way where the data can say: where a change as large as its margin would
have been seen. Where it cannot, only harm that is shown refuses, and the smallest change that would
have been seen is stated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from bandits.diagnostics import Diagnostics
from bandits.forms import MEAN
from bandits.unit_sums import UnitSums
from recsys.errors import Misuse
from recsys.tails import normal_quantile


@dataclass(frozen=True, slots=True)
class Terms:
    """What the gate asks. Margins are shares of what the champion brings."""

    margin: float = 0.02  # of value that a candidate may fall short of
    guardrail_margin: float = 0.10  # of harm, or of a group's exposure and value
    alpha: float = 0.05  # one-sided, for all looks at one certify split together
    power: float = 0.80  # with which a change as large as its margin must be seen, for the data to say

    def __post_init__(self) -> None:
        if not (0.0 <= self.margin < 1.0 and 0.0 <= self.guardrail_margin < 1.0):
            raise Misuse("the gate: margins are shares of what the champion brings, in [0, 1)")
        if not (0.0 < self.alpha < 0.5 and 0.5 <= self.power < 1.0):
            raise Misuse("the gate: alpha lies in (0, 0.5) and power in [0.5, 1)")

    def alpha_of(self, look: int) -> float:
        """What the look of this number (from 1) may spend: 6α/(π²k²), which never adds up to more than α.

        >>> round(Terms().alpha_of(1), 4), round(sum(Terms().alpha_of(k) for k in range(1, 10_000)), 4)
        (0.0304, 0.05)
        """
        if look < 1:
            raise Misuse(f"looks are numbered from 1, got {look}")
        return self.alpha * 6.0 / (math.pi * look) ** 2


@dataclass(frozen=True, slots=True)
class Splits:
    """Learn before `train_until`, look freely before `select_until`, certify before `end`."""

    start: datetime
    train_until: datetime
    select_until: datetime
    end: datetime

    @classmethod
    def of(cls, start: datetime, end: datetime, *, train: float = 0.5, select: float = 0.2) -> Splits:
        """Shares of the time; the rest certifies. Raises `Misuse` where a part would be empty."""
        if not (train > 0.0 and select > 0.0 and train + select < 1.0) or not start < end:
            raise Misuse("the gate: train, select and certify must each have a part of the time")
        length = end - start
        return cls(start, start + length * train, start + length * (train + select), end)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One number of candidate and champion on the same rounds: `sums` has their two columns."""

    name: str
    sums: UnitSums
    better: str = "higher"  # higher | lower


@dataclass(frozen=True, slots=True)
class Compared:
    """A number held against its margin."""

    name: str
    candidate: float
    champion: float
    clearance: float  # lower bound of how far it stays inside its margin: passes above 0
    margin: float
    state: str  # green | red | unknown
    smallest: float  # the smallest change, as a share of the champion's, that would have been seen
    units: int

    @property
    def sentence(self) -> str:
        """In plain words."""
        change = f"{self.candidate:.4g} against the champion's {self.champion:.4g}"
        match self.state:
            case "green":
                return f"{self.name}: {change}; not worse by {self.margin:.0%} or more"
            case "red":
                return f"{self.name}: {change}; not shown to stay within {self.margin:.0%} of it"
        seen = f"a change of {self.smallest:.0%}" if self.smallest < 10.0 else "nothing but a manifold change"
        return f"{self.name}: {change}; the data cannot say ({seen} would have been seen)"


def compared(measured: Measured, *, margin: float, alpha: float, power: float) -> Compared:
    """Hold one number against its margin, at one-sided error `alpha`."""
    sign = 1.0 if measured.better == "higher" else -1.0
    one, other = measured.sums.means().tolist()
    room = margin * abs(other)
    kept = other - sign * room  # the worst that is accepted
    ratio = kept / other if other else 0.0
    clearance = _bound(measured.sums, weights=(sign, -sign * ratio), alpha=alpha)
    harmless = _bound(measured.sums, weights=(-sign, sign), alpha=alpha) <= 0.0
    smallest = _error(measured.sums, weights=(1.0, -1.0)) * (normal_quantile(1.0 - alpha) + normal_quantile(power))
    share = smallest / abs(other) if other else math.inf
    can_say = share <= margin
    if clearance > 0.0 or (not share and one == other):
        state = "green"
    else:
        state = "red" if can_say or not harmless else "unknown"
    return Compared(measured.name, one, other, clearance, margin, state, share, measured.sums.keys.size)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the gate says of one candidate, with its reasons."""

    value: Compared
    guardrails: tuple[Compared, ...]
    look: int
    alpha: float  # spent by this look
    reasons: tuple[str, ...]  # why it may not pass; none where it may

    @property
    def passed(self) -> bool:
        """Whether the recipe may become a challenger."""
        return not self.reasons


def ruled(
    value: Measured,
    *,
    guardrails: Sequence[Measured],
    diagnostics: Sequence[Diagnostics],
    look: int,
    terms: Terms,
    reasons: Sequence[str] = (),
) -> Ruling:
    """Judge a candidate at one look at a certify split; `diagnostics` are those of candidate and champion.

    `reasons` are what already stands against it (the log's own findings, an inventory entry).
    """
    alpha = terms.alpha_of(look)
    found = list(reasons)
    for each in diagnostics:
        found += [finding.sentence for finding in each.findings if finding.colour == "red"]
        if each.promotion_allowed is False and not any(f.colour == "red" for f in each.findings):
            found.append(f"{each.effective_conversions:,.0f} effective conversions are not enough to promote on")
    own = compared(value, margin=terms.margin, alpha=alpha, power=terms.power)
    if own.clearance <= 0.0:
        found.append(f"{own.name}: {own.candidate:.4g} against the champion's {own.champion:.4g}; that it is not worse "
                     f"by {own.margin:.0%} is not shown at look {look} (a change of {own.smallest:.0%} would have been "
                     f"seen)")  # fmt: skip
    held = tuple(
        compared(each, margin=terms.guardrail_margin, alpha=terms.alpha, power=terms.power) for each in guardrails
    )
    found += [each.sentence for each in held if each.state == "red"]
    return Ruling(own, held, look, alpha, tuple(dict.fromkeys(found)))


def _bound(sums: UnitSums, *, weights: tuple[float, float], alpha: float) -> float:
    """One-sided lower bound of a weighted sum of the two means."""
    return _of(sums, weights).interval(MEAN, level=1.0 - 2.0 * alpha).low


def _error(sums: UnitSums, *, weights: tuple[float, float]) -> float:
    found = _of(sums, weights).interval(MEAN, level=0.95)
    return (found.high - found.low) / (2.0 * normal_quantile(0.975))


def _of(sums: UnitSums, weights: tuple[float, float]) -> UnitSums:
    return UnitSums(sums.keys, sums.counts, (sums.sums @ np.array(weights))[:, None])
