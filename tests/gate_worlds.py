"""Simulated candidates before the gate: logged rounds with units, a champion, and a candidate of known worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandits.diagnostics import Diagnostics, diagnose
from bandits.gate import Measured
from bandits.unit_sums import UnitSums
from recsys.vocabulary import Floats

RATES = np.array([0.05, 0.10, 0.15, 0.30, 0.20])


@dataclass(frozen=True, slots=True)
class Log:
    """n rounds drawn evenly over five products for units of several rounds each."""

    shown: np.ndarray[tuple[int], np.dtype[np.int64]]
    reward: Floats
    unit: np.ndarray[tuple[int], np.dtype[np.uint64]]

    @classmethod
    def of(cls, rng: np.random.Generator, *, n: int, rates: Floats = RATES) -> Log:
        """Rounds in which a product is taken with its rate, more or less by unit."""
        unit = rng.integers(0, n // 5, n)
        bent = 0.6 + 0.8 * (np.arange(n // 5) % 2)  # units differ, so clusters matter
        shown = rng.integers(0, 5, n)
        reward = (rng.random(n) < rates[shown] * bent[unit]).astype(np.float64)
        return cls(shown, reward, unit.astype(np.uint64))

    def measured(self, candidate: Floats, champion: Floats) -> Measured:
        """The paired sums of two policies without context, by dr with the mean as its model."""
        model = np.full(5, RATES.mean())
        columns = [
            policy @ model + 5.0 * policy[self.shown] * (self.reward - model[self.shown])
            for policy in (candidate, champion)
        ]
        return Measured("value", UnitSums.of(np.stack(columns, axis=1), unit=self.unit))


CHAMPION = np.array([0.1, 0.2, 0.3, 0.2, 0.2])


def worth(policy: Floats) -> float:
    """In closed form."""
    return float(policy @ RATES)


def candidate_worth(share: float, *, towards: int = 0) -> Floats:
    """A candidate of exactly `share` of the champion's worth: the champion, part of it moved to one product."""
    pure = np.eye(5)[towards]
    moved = (worth(CHAMPION) * (1.0 - share)) / (worth(CHAMPION) - RATES[towards])
    found = (1.0 - moved) * CHAMPION + moved * pure
    assert (found >= 0.0).all()
    return found


def green() -> Diagnostics:
    """Diagnostics with nothing to complain of."""
    rng = np.random.default_rng(1)
    return diagnose(
        reward=(rng.random(4_000) < 0.3).astype(float), propensity=np.full(4_000, 0.5), target=np.full(4_000, 0.5)
    )
