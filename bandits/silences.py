"""Is a product heard of less often than it is shown? Outcomes that get lost make it look worthless.

Whether a slot is seen hangs on its place, hardly on its product. So each product's sightings are held
against what its places bring on average; one that is seen less than half as often, more surely than
chance would have it, has lost its outcomes on the way (or its card is not displayed).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from bandits.calibration import adjusted_p
from bandits.diagnostics import CALIBRATION_ALPHA, Finding
from recsys.errors import InvalidTable
from recsys.tails import normal_two_sided
from recsys.vocabulary import Bools, Floats

QUIET = 0.5  # of the sightings that its places bring


class Silences:
    """Shown and seen slots by product and place: sums that add."""

    def __init__(self, *, products: int, places: int) -> None:
        self.shown = np.zeros((products, places))
        self.seen = np.zeros((products, places))

    def add(self, shown: Floats, seen: Bools) -> None:
        """Rounds × slots: the product column shown (anything else: none), and whether it was seen."""
        if shown.shape != seen.shape or shown.ndim != 2 or shown.shape[1] > self.shown.shape[1]:
            raise InvalidTable(f"shown is {shown.shape} and seen {seen.shape}", where="silences")
        columns = shown.astype(np.int64)
        real = (columns >= 0) & (columns < len(self.shown))
        places = np.broadcast_to(np.arange(shown.shape[1]), shown.shape)
        at = columns[real] * self.shown.shape[1] + places[real]
        for sums, weights in ((self.shown, np.ones(at.size)), (self.seen, seen[real].astype(np.float64))):
            sums += np.bincount(at, weights=weights, minlength=sums.size).reshape(sums.shape)

    def __add__(self, other: Silences) -> Silences:
        both = Silences(products=len(self.shown), places=self.shown.shape[1])
        both.shown, both.seen = self.shown + other.shown, self.seen + other.seen
        return both

    def findings(self, names: Sequence[str]) -> Iterator[Finding]:
        """A red one for each product that was seen too seldom; none of a log that tells no sightings at all."""
        rates = self.seen.sum(axis=0) / np.maximum(self.shown.sum(axis=0), 1.0)
        expected, variance = self.shown @ rates, self.shown @ (rates * (1.0 - rates))
        seen = self.seen.sum(axis=1)
        z = (seen - expected) / np.sqrt(np.maximum(variance, 1e-9))
        p = adjusted_p(np.array([normal_two_sided(each) if math.isfinite(each) else 1.0 for each in z.tolist()]))
        for row in np.flatnonzero((p < CALIBRATION_ALPHA) & (seen < QUIET * expected)).tolist():
            yield Finding(
                "red",
                "silence",
                f"{names[row]} was seen {seen[row]:,.0f} times where its places bring {expected[row]:,.0f}: "
                "its outcomes get lost, or its card is not shown",
            )
