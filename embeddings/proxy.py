"""The proxy test: how well a protected trait can be guessed from vectors (FAIR-2).

A linear probe is fitted on four fifths of the customers and asked about the last, in turn. The area under the
curve is 0.5 where the vector says nothing of the trait, 1.0 where it gives it away. It is reported, never
optimised: a bank decides what it accepts, and sees it change from bundle to bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats, Vector

FEWEST = 20  # customers with and without a value, below which nothing is said of it
_FOLDS = 5
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One value of a trait against all others."""

    trait: str
    value: str
    auc: float
    standard_error: float  # Hanley and McNeil 1982
    n: int


def probed(vectors: Vector, *, trait: str, values: Sequence[str], seed: int = 0) -> tuple[Probe, ...]:
    """Probe (n, D) vectors, one a customer, for each of the (n,) `values` of a trait; rare values are left out.

    Raises:
        InvalidTable: as many values as vectors are needed.
    """
    if len(values) != len(vectors):
        raise InvalidTable(f"{len(values)} values for {len(vectors)} vectors", where="proxy")
    told = np.asarray(values, dtype=np.str_)
    folds = np.random.default_rng(seed).permutation(len(told)) % _FOLDS
    found = []
    for value in sorted(set(told.tolist())):
        has: Bools = told == value
        if min(has.sum(), (~has).sum()) < FEWEST:
            continue
        area = auc(_guessed(vectors, has=has, folds=folds), has=has)
        found.append(Probe(trait, value, area, _error(area, n_has=int(has.sum()), n_not=int((~has).sum())), len(told)))
    return tuple(found)


def auc(scores: Floats, *, has: Bools) -> float:
    """Chance that one who has the value scores above one who has not, ties by half (Mann and Whitney 1947).

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), has=np.array([False, False, True, True]))
    0.75
    """
    n_has, n_not = int(has.sum()), int((~has).sum())
    return float((rankdata(scores)[has].sum() - n_has * (n_has + 1) / 2) / (n_has * n_not))


def _guessed(vectors: Vector, *, has: Bools, folds: NDArray[np.int64]) -> Floats:
    """(n,) scores of a ridge probe, each from a fit that did not see its row."""
    x = np.column_stack([vectors.astype(np.float64), np.ones(len(vectors))])  # (n, D + 1)
    y = np.where(has, 1.0, -1.0)
    scores = np.empty(len(x))
    for fold in range(_FOLDS):
        out = folds == fold
        seen = x[~out]
        gram = seen.T @ seen + _RIDGE * np.eye(x.shape[1])
        scores[out] = x[out] @ np.linalg.solve(gram, seen.T @ y[~out])
    return scores


def _error(area: float, *, n_has: int, n_not: int) -> float:
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (n_has - 1) * (q1 - area**2) + (n_not - 1) * (q2 - area**2)
    return float(np.sqrt(max(spread, 0.0) / (n_has * n_not)))
