"""Who wrote a log: how many rounds each policy drew, and whether its draws are those its probabilities say.

For each slot the expected propensity of the product drawn is Σ p², with variance Σ p³ − (Σ p²)²; added
over the rounds of one policy that gives a z, which a wrong propensity, or draws that were changed
afterwards, push away from 0 (statistics.md 1, propensity calibration by version).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bandits.calibration import adjusted_p
from bandits.diagnostics import CALIBRATION_ALPHA, Finding
from bandits.logged_slates import Slates
from recsys.tails import normal_two_sided


@dataclass(frozen=True, slots=True)
class LoggedBy:
    """One policy of the log."""

    policy: str
    rounds: int
    z: float  # of its propensities against its own pmfs
    p_value: float  # adjusted for how many policies were looked at


class Loggers:
    """Sums by policy: one row a snapshot, whatever the number of rounds."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}  # rounds, drawn − expected, variance

    def add(self, slates: Slates) -> None:
        """Take in some rounds."""
        batch = slates.logged
        real = batch.shown >= 0.0
        squares = (batch.logged_pmf**2).sum(axis=2)
        off = np.where(real, batch.propensity - squares, 0.0).sum(axis=1)
        spread = np.where(real, (batch.logged_pmf**3).sum(axis=2) - squares**2, 0.0).sum(axis=1)
        for each, difference, variance in zip(slates.rounds, off.tolist(), spread.tolist(), strict=True):
            row = self._sums.setdefault(each.decision.policy, [0.0, 0.0, 0.0])
            row[0] += 1.0
            row[1] += difference
            row[2] += variance

    def told(self) -> tuple[LoggedBy, ...]:
        """Every policy, the one with most rounds first."""
        if not self._sums:
            return ()
        names = sorted(self._sums, key=lambda name: (-self._sums[name][0], name))
        z = [_z(*self._sums[name][1:]) for name in names]
        p = adjusted_p(np.array([normal_two_sided(each) for each in z]))
        return tuple(
            LoggedBy(name, int(self._sums[name][0]), each, float(value))
            for name, each, value in zip(names, z, p, strict=True)
        )

    def findings(self) -> Iterator[Finding]:
        """Policies whose draws are not those their probabilities say."""
        for each in self.told():
            if each.p_value < CALIBRATION_ALPHA:
                said = "more" if each.z > 0.0 else "less"
                sentence = f"{each.policy} drew {said} likely products than its probabilities say (z = {each.z:.1f})"
                yield Finding("red", "calibration", sentence)


def _z(off: float, variance: float) -> float:
    if variance > 1e-9:
        return off / math.sqrt(variance)
    return 0.0 if abs(off) < 1e-6 else math.copysign(40.0, off)
