"""Were products drawn as often as their logged probabilities say? Sums that add, and a z for each product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.tabled import checked_columns
from recsys.errors import InvalidTable
from recsys.tails import normal_two_sided
from recsys.vocabulary import Floats

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Miscalibrated:
    """A product (or version, or hour) drawn more or less often than its logged probabilities say."""

    name: str
    drawn: int
    expected: float
    z: float
    p_value: float  # adjusted for how many were looked at (Benjamini and Hochberg 1995)


def calibration(pmf: Floats, *, shown: ArrayLike, names: Sequence[str] = ()) -> tuple[Miscalibrated, ...]:
    """How often each product was drawn against what its logged probabilities (n, A) expect, A rows."""
    return calibrated(*draws(pmf, shown), names=names)


def draws(pmf: Floats | None, shown: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """(A,) each: how often each column was drawn, what the pmf expects, and the variance of that."""
    if pmf is None or shown is None:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    if pmf.ndim != 2 or np.shape(shown) != (len(pmf),):
        raise InvalidTable("expected a pmf of rounds × products and each round's drawn column", where="calibration")
    columns = checked_columns("shown", shown, below=pmf.shape[1], where="calibration")
    drawn = np.bincount(columns, minlength=pmf.shape[1]).astype(np.float64)
    expected = np.ones(len(pmf)) @ pmf
    return drawn, expected, np.maximum(expected - np.einsum("ij,ij->j", pmf, pmf), 0.0)


def calibrated(drawn: Floats, expected: Floats, variance: Floats, *, names: Sequence[str]) -> tuple[Miscalibrated, ...]:
    """From the (A,) sums of `draws`: a row for each product."""
    z = np.where(variance > _ROUNDING, (drawn - expected) / np.sqrt(np.maximum(variance, _ROUNDING)), 0.0)
    impossible = (variance <= _ROUNDING) & (np.abs(drawn - expected) > 0.5)
    p = np.array([0.0 if no else normal_two_sided(float(each)) for each, no in zip(z, impossible, strict=True)])
    labels = names or [str(column) for column in range(drawn.size)]
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
