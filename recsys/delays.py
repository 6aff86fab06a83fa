"""How late outcomes come: a curve for each product family, learned from those that have come.

Of what was decided lately only the quick outcomes are known, so a plain average of delays is too short
(right truncation). Read backwards the bias goes away: among outcomes that came within s of decisions at
least s old, the share that came in the last step before s is an unbiased reverse hazard, and the curve is
the product of their complements (Lagakos, Barraj and De Gruttola 1988; the estimator of Lynden-Bell 1971
turned round). A family with few outcomes leans on all of them together.

A stage that is taught when a share F of its outcomes has come teaches each as 1/F: the expectation of the
label is then the chance of the outcome by its horizon, whatever F (inverse probability of censoring; for
conversions Chapelle 2014, Ktena et al. 2019). `MOST` bounds the weight, at the price of a bias towards 0
for what is known to less than a quarter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from recsys.vocabulary import Floats

MOST = 4.0
"""The most that one outcome may count for."""

_LEAN = 20.0  # outcomes' weight of all families together in each family's curve
_DAY = timedelta(days=1)


class Delays:
    """Reverse hazards of the delay from decision to outcome, up to a horizon; a function of what was noted, and when.

    >>> start, delays = datetime(2026, 1, 5), Delays(timedelta(days=30))
    >>> for hours in (1, 1, 1, 200):
    ...     delays.note("savings", start, delay=timedelta(hours=hours))
    >>> delays.share("savings", timedelta(days=1), now=start + timedelta(days=40))
    0.75
    """

    def __init__(self, horizon: timedelta) -> None:
        days = horizon / _DAY
        edges = [hours / 24.0 for hours in (1, 4, 12)] + [float(day) for day in range(1, 15)]
        edges += [float(day) for day in range(16, 10_000, 4) if day < days]
        self._edges = np.array([*(edge for edge in edges if edge < days), days])  # (b,) days; the last is the horizon
        self._came: dict[str, dict[int, Floats]] = defaultdict(dict)  # family → day decided → (b,) outcomes by delay
        self._kept: dict[tuple[str, int], Floats] = {}  # (family, today) → curve
        self._noted = 0

    def note(self, family: str, decided_at: datetime, *, delay: timedelta) -> None:
        """An outcome came; one beyond the horizon is none."""
        days = max(delay / _DAY, 0.0)
        if days > self._edges[-1]:
            return
        counts = self._came[family].setdefault(decided_at.toordinal(), np.zeros(self._edges.size))
        counts[int(np.searchsorted(self._edges, days, side="left"))] += 1.0
        self._noted += 1
        self._kept.clear()

    def share(self, family: str, age: timedelta, *, now: datetime) -> float:
        """The share of outcomes within the horizon that has come by `age`, at least 1 / MOST; 1 if none is known."""
        return max(float(self.shares(family, [age], now=now)[0]), 1.0 / MOST)

    def shares(self, family: str, ages: Sequence[timedelta], *, now: datetime) -> Floats:
        """(n,) the curve at these ages, without the bound."""
        key = (family, now.toordinal())
        if key not in self._kept:
            if len(self._kept) > 1_000:
                self._kept.clear()
            self._kept[key] = self._curve(family, today=now.toordinal())
        curve = np.concatenate([[0.0], self._kept[key]])
        at = [age / _DAY for age in ages]
        return np.asarray(np.interp(at, np.concatenate([[0.0], self._edges]), curve))

    def _curve(self, family: str, *, today: int) -> Floats:
        """(b,) the share that has come by each edge."""
        everyone = sum(
            (self._hazards(each, today=today) for each in sorted(self._came)), np.zeros((2, self._edges.size))
        )
        pooled = everyone[0] / np.maximum(everyone[1], 1.0)
        last, risk = self._hazards(family, today=today)
        hazards = (last + _LEAN * pooled) / (risk + _LEAN)
        survived = np.cumprod((1.0 - hazards)[::-1])[::-1]
        return np.append(survived[1:], 1.0)

    def _hazards(self, family: str, *, today: int) -> Floats:
        """(2, b) outcomes in each step, and outcomes up to its end, of decisions old enough to have shown them all."""
        found = np.zeros((2, self._edges.size))
        for day, counts in self._came.get(family, {}).items():
            old = self._edges <= today - day - 1
            found += old * np.stack([counts, counts.cumsum()])
        return found
