"""Estimators as a smooth function of means of terms: one shape for all of them.

A round brings k terms (its weighted reward, its weight, …); the estimate is a function of their means.
So whatever is needed follows from sums that add: the estimate, its linearised contributions (the delta
method: f(m) + ∇f(m)·(terms − m), whose mean is the estimate and whose spread is its error), a bootstrap
that recomputes ratios, and the same numbers from a log that is read in batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.errors import InvalidTable
from recsys.vocabulary import Floats


@dataclass(frozen=True, slots=True)
class Form:
    """How an estimate follows from the means of its terms."""

    terms: tuple[str, ...]  # what each of the k terms is
    value: Callable[[Floats], Floats]  # (..., k) means → (...) estimates
    gradient: Callable[[Floats], Floats]  # (k,) means → (k,)

    def contributions(self, terms: Floats, *, where: str = "contributions") -> Floats:
        """(n,) linearised contributions of (n, k) terms; raises `InvalidTable` where the estimate is undefined."""
        means = np.array([column.mean() for column in terms.T])
        value = float(self.value(means))
        if not np.isfinite(value):
            raise InvalidTable("the target policy never draws what was logged: no weight is above 0", where=where)
        found = np.full(len(terms), value)
        for column, mean, slope in zip(terms.T, means, self.gradient(means), strict=True):
            found += slope * (column - mean)
        return found


MEAN = Form(("contribution",), lambda m: np.asarray(m[..., 0]), lambda m: np.ones(1))
"""The mean of one term: ips, clipped_ips, dm, dr, switch_dr, dros, mips and the slate estimators."""


def _ratio(m: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(m[..., 0] / m[..., 1])


RATIO = Form(
    ("weight × reward", "weight"),
    _ratio,
    lambda m: np.array([1.0 / m[1], -m[0] / m[1] ** 2]),
)
"""A ratio of two means: snips."""


def _plus_ratio(m: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(m[..., 0] + m[..., 1] / m[..., 2])


PLUS_RATIO = Form(
    ("expected by the model", "weight × residual", "weight"),
    _plus_ratio,
    lambda m: np.array([1.0, 1.0 / m[2], -m[1] / m[2] ** 2]),
)
"""A mean plus a ratio of two: sndr."""
