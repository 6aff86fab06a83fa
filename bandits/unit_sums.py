"""Sums by unit, the sample of every interval: they add, so a log may come in batches of any size.

Units are numbered by a 64-bit hash. Memory is one row a unit, whatever the number of rounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandits.forms import Form
from bandits.intervals import Interval
from recsys.errors import InvalidTable
from recsys.tails import normal_quantile
from recsys.vocabulary import Floats

UnitKeys: TypeAlias = NDArray[np.uint64]


def keys_of(units: Iterable[str]) -> UnitKeys:
    """(n,) a 64-bit number for each unit's name, the same in every process.

    >>> keys_of(["u-1", "u-2", "u-1"]).tolist() == keys_of(["u-1", "u-2", "u-1"]).tolist()
    True
    """
    seen: dict[str, int] = {}
    found = []
    for unit in units:
        if unit not in seen:
            seen[unit] = int.from_bytes(hashlib.blake2b(unit.encode(), digest_size=8).digest(), "little")
        found.append(seen[unit])
    return np.array(found, dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class UnitSums:
    """Rounds and summed terms of each unit: `keys` (u,) ascending, `counts` (u,), `sums` (u, k)."""

    keys: UnitKeys
    counts: Floats
    sums: Floats

    @classmethod
    def of(cls, terms: Floats, *, unit: UnitKeys) -> UnitSums:
        """Of (n, k) terms, one row a round; raises `InvalidTable` where units and rounds are not as many."""
        if unit.shape != (len(terms),):
            raise InvalidTable(f"{unit.size} units for {len(terms)} rounds", where="units")
        keys, rows = np.unique(unit, return_inverse=True)
        sums = np.stack([np.bincount(rows, weights=column, minlength=keys.size) for column in terms.T], axis=1)
        counts = np.asarray(np.bincount(rows, minlength=keys.size), dtype=np.float64)
        return cls(keys, counts, np.asarray(sums, dtype=np.float64))

    def __add__(self, other: UnitSums) -> UnitSums:
        keys = np.union1d(self.keys, other.keys)
        counts, sums = np.zeros(keys.size), np.zeros((keys.size, self.sums.shape[1]))
        for each in (self, other):
            rows = np.searchsorted(keys, each.keys)
            counts[rows] += each.counts
            sums[rows] += each.sums
        return UnitSums(keys, counts, sums)

    def columns(self, start: int, end: int) -> UnitSums:
        """The same units with some of the terms."""
        return UnitSums(self.keys, self.counts, self.sums[:, start:end])

    @property
    def n(self) -> int:
        """Rounds."""
        return int(self.counts.sum())

    def means(self) -> Floats:
        """(k,) means of the terms over all rounds."""
        return np.asarray(self.sums.sum(axis=0) / self.counts.sum())

    def interval(self, form: Form, *, level: float = 0.95) -> Interval:
        """The linearised normal interval, clustered by unit: what `intervals.normal` gives of the contributions."""
        means, units = self.means(), self.keys.size
        estimate = float(form.value(means))
        if units < 2 or not np.isfinite(estimate):  # a ratio without any weight says nothing
            return Interval(estimate, -np.inf, np.inf, units, level)
        deviations = (self.sums - self.counts[:, None] * means) @ form.gradient(means)
        error = float(np.sqrt((deviations**2).sum() * units / (units - 1))) / self.n
        reach = normal_quantile(0.5 + level / 2.0) * error
        return Interval(estimate, estimate - reach, estimate + reach, units, level)
