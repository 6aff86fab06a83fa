"""How long it takes from a tap to an opening (domain 3.8): minutes for a toggle, weeks for a pension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Keys, normals, uniforms
from recsys.vocabulary import Floats

LONGEST_DAYS = 180


@dataclass(frozen=True, slots=True)
class Delay:
    """Time from tap to opening: an hour, a day, else a day and a lognormal tail."""

    within_hour: float
    within_day: float
    median_days: float
    spread: float

    def shares(self, seconds: Floats) -> Floats:
        """The share that has opened after so many seconds, in closed form."""
        hours = np.asarray(seconds) / 3_600.0
        soon = self.within_hour * np.clip(hours, 0.0, 1.0) + self.within_day * np.clip((hours - 1.0) / 23.0, 0.0, 1.0)
        days = np.maximum(hours / 24.0 - 1.0, 1e-12)
        tail: Floats = (1.0 - self.within_hour - self.within_day) * _normal(
            np.log(days / self.median_days) / self.spread
        )
        return soon + np.where(hours > 24.0, tail, 0.0)


TOGGLE = Delay(0.92, 0.05, 2.0, 0.8)
INSTANT = Delay(0.75, 0.15, 3.0, 1.0)
SLOW = Delay(0.35, 0.15, 5.6, 1.15)
LONG = Delay(0.20, 0.15, 7.0, 1.1)
PENSION = Delay(0.05, 0.10, 14.0, 0.9)


def waits(delays: Sequence[Delay], *, keys: Keys, seed: int, number: int) -> Floats:
    """Seconds from tap to opening for each key (k,) and its delay, drawn on day `number`."""
    columns = [(each.within_hour, each.within_day, each.median_days, each.spread) for each in delays]
    hour, day, median, spread = np.array(columns, dtype=np.float64).reshape(-1, 4).T
    which, when = (uniforms(seed, purpose=name, day=number, keys=keys) for name in ("delay", "moment"))
    tail = 86_400.0 * (1.0 + median * np.exp(spread * normals(seed, purpose="tail", day=number, keys=keys)))
    soon = np.where(which < hour, 3_600.0 * when, 3_600.0 + 82_800.0 * when)
    return np.where(which < hour + day, soon, np.minimum(tail, 86_400.0 * LONGEST_DAYS))


def _normal(z: Floats) -> Floats:
    """The standard normal distribution function to 1e-7 (Abramowitz and Stegun 26.2.17): numpy has none."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    terms = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) * terms
    below: Floats = np.where(z > 0.0, 1.0 - upper, upper)
    return below
