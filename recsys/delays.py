"""How late outcomes come: a curve for each product, learned from those that have come.

Of what was decided lately only the quick outcomes are known, so a plain average of delays is too short
(right truncation). Read backwards the bias goes away: among outcomes that came within s of decisions at
least s old, the share that came in the last step before s is an unbiased reverse hazard, and the curve is
the product of their complements (Lagakos, Barraj and De Gruttola 1988; the estimator of Lynden-Bell 1971
turned round). A product of which little is known leans on its family, and a family on all of them together:
a pot is opened in a minute and an ISA after weeks, and both may be savings.

A stage that is taught when a share F of its outcomes has come teaches each as 1/F: the expectation of the
label is then the chance of the outcome by its horizon, whatever F (inverse probability of censoring; for
conversions Chapelle 2014, Ktena et al. 2019). `MOST` bounds the weight, at the price of a bias towards 0
for what is known to less than a quarter.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from recsys.vocabulary import Floats

MOST = 4.0
"""The most that one outcome may count for."""

_LEAN = 20.0  # outcomes' weight of the family in each product's curve, and of everything in each family's
_DAY = timedelta(days=1)


class Delays:
    """Reverse hazards of the delay from decision to outcome, up to a horizon; a function of what was noted, and when.

    `now` never goes back from one question to the next.

    >>> start, delays = datetime(2026, 1, 5), Delays(timedelta(days=30))
    >>> for hours in (1, 1, 1, 200):
    ...     delays.note("pot", start, family="savings", delay=timedelta(hours=hours))
    >>> delays.share("pot", timedelta(days=1), family="savings", now=start + timedelta(days=40))
    0.75
    """

    def __init__(self, horizon: timedelta) -> None:
        days = horizon / _DAY
        edges = [hours / 24.0 for hours in (1, 4, 12)] + [float(day) for day in range(1, 15)]
        edges += [float(day) for day in range(16, 10_000, 4) if day < days]
        self._edges = np.array([*(edge for edge in edges if edge < days), days])  # (b,) days; the last is the horizon
        self._everything = _Tally(self._edges)
        self._families: dict[str, _Tally] = {}
        self._products: dict[str, _Tally] = {}
        self._kept: dict[tuple[str, str], Floats] = {}  # (product, family) → curve as of the day asked for last
        self._today = 0

    def note(self, product: str, decided_at: datetime, *, family: str, delay: timedelta) -> None:
        """An outcome came; one beyond the horizon is none."""
        days = max(delay / _DAY, 0.0)
        if days > self._edges[-1]:
            return
        step = int(np.searchsorted(self._edges, days, side="left"))
        for tally in (
            self._everything,
            self._families.setdefault(family, _Tally(self._edges)),
            self._products.setdefault(product, _Tally(self._edges)),
        ):
            tally.note(decided_at.toordinal(), step=step)
        self._kept.clear()

    def share(self, product: str, age: timedelta, *, family: str, now: datetime) -> float:
        """The share of outcomes within the horizon that has come by `age`, at least 1 / MOST; 1 if none is known."""
        if self._today != now.toordinal():
            self._kept.clear()
            self._today = now.toordinal()
        if (kept := self._kept.get((product, family))) is None:
            kept = self._kept[product, family] = self._curve(product, family=family, today=self._today)
        edges, curve = np.concatenate([[0.0], self._edges]), np.concatenate([[0.0], kept])
        return max(float(np.interp(age / _DAY, edges, curve)), 1.0 / MOST)

    def _curve(self, product: str, *, family: str, today: int) -> Floats:
        """(b,) the share that has come by each edge."""
        last, risk = self._everything.hazards(today)
        hazards = last / np.maximum(risk, 1.0)
        for tally in (self._families.get(family), self._products.get(product)):
            if tally is not None:
                last, risk = tally.hazards(today)
                hazards = (last + _LEAN * hazards) / (risk + _LEAN)
        survived = np.cumprod((1.0 - hazards)[::-1])[::-1]
        return np.append(survived[1:], 1.0)


class _Tally:
    """Outcomes by the day decided and by delay; days that have shown all of theirs are one sum."""

    def __init__(self, edges: Floats) -> None:
        self._edges = edges
        self._young: dict[int, Floats] = {}  # day decided → (b,) outcomes by delay
        self._whole = np.zeros(edges.size)  # (b,) of every day older than the horizon
        self._whole_to = 0  # the first day that is not part of it

    def note(self, day: int, *, step: int) -> None:
        """One more that came in this step of its delay."""
        counts = self._whole if day < self._whole_to else self._young.setdefault(day, np.zeros(self._edges.size))
        counts[step] += 1.0

    def hazards(self, today: int) -> Floats:
        """(2, b) outcomes in each step, and outcomes up to its end, of decisions old enough to have shown them all."""
        self._whole_to = max(self._whole_to, today - int(np.ceil(self._edges[-1])))
        for day in [day for day in self._young if day < self._whole_to]:
            self._whole += self._young.pop(day)
        found = np.stack([self._whole, self._whole.cumsum()])
        if self._young:
            counts = np.stack(list(self._young.values()))  # (d, b)
            old = self._edges <= today - 1 - np.array(list(self._young))[:, None]
            found += np.stack([(old * counts).sum(axis=0), (old * counts.cumsum(axis=1)).sum(axis=0)])
        return found
