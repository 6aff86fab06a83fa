"""From contributions to an interval around their mean.

The sample is what was assigned: pass `unit` (customer or household per contribution) where one unit
made several decisions, for a cluster-robust interval; ignoring it makes intervals about 1.3 times too
narrow on a bank's logs (statistics.md 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.forms import Form
from bandits.tabled import refuse
from recsys.errors import InvalidTable
from recsys.tails import normal_quantile
from recsys.vocabulary import Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds; from one unit alone the bounds are infinite."""

    estimate: float
    low: float
    high: float
    n: int  # units
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"


def normal(contributions: Floats, *, level: float = 0.95, unit: ArrayLike | None = None) -> Interval:
    """The normal interval of a mean, clustered by `unit` where given; raises `InvalidTable`.

    >>> str(normal(np.array([0.0, 1.0, 0.0, 1.0])))
    '0.5000 [-0.0658, 1.0658]'
    """
    contributions = np.asarray(contributions, dtype=np.float64)
    if contributions.ndim != 1 or not contributions.size:
        raise InvalidTable("expected a row of at least one contribution", where="normal interval")
    _check(contributions, level=level, where="normal interval")
    mean = float(contributions.mean())
    sums = _sums(contributions - mean, unit)
    n = sums.size
    if n < 2:
        return Interval(mean, -math.inf, math.inf, n, level)
    error = math.sqrt(float((sums**2).sum()) * n / (n - 1)) / contributions.size
    reach = normal_quantile(0.5 + level / 2.0) * error
    return Interval(mean, mean - reach, mean + reach, n, level)


def wilson(outcomes: Floats, *, level: float = 0.95) -> Interval:
    """Wilson's (1927) interval of a rate of 0/1 outcomes: stays in [0, 1] and holds with few of them.

    >>> str(wilson(np.array([0.0, 0.0, 0.0, 1.0])))
    '0.2500 [0.0456, 0.6994]'
    """
    _check(outcomes, level=level, where="Wilson interval")
    if not outcomes.size or not np.isin(outcomes, (0.0, 1.0)).all():
        raise InvalidTable("expected at least one outcome, each 0 or 1", where="Wilson interval")
    n, rate = outcomes.size, float(outcomes.mean())
    z = normal_quantile(0.5 + level / 2.0)
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return Interval(rate, middle - reach, middle + reach, n, level)


def logit(contributions: Floats, *, level: float = 0.95, unit: ArrayLike | None = None) -> Interval:
    """`normal` on the log-odds scale, for the `snips` of rewards in [0, 1]: stays inside, and leans the right way.

    Raises `InvalidTable` when the estimate is not strictly between 0 and 1.

    >>> str(logit(np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])))
    '0.1250 [0.0150, 0.5730]'
    """
    return on_log_odds(normal(contributions, level=level, unit=unit))


def on_log_odds(plain: Interval) -> Interval:
    """A normal interval bent to the log-odds scale by the delta method; raises `InvalidTable` outside (0, 1)."""
    rate = plain.estimate
    if not 0.0 < rate < 1.0:
        raise InvalidTable(f"an estimate of {rate:.4g} has no log-odds; use normal", where="logit interval")
    reach = (plain.high - rate) / (rate * (1.0 - rate))
    middle = math.log(rate / (1.0 - rate))
    low, high = (1.0 / (1.0 + math.exp(-min(max(middle + side * reach, -700.0), 700.0))) for side in (-1.0, 1.0))
    return Interval(rate, low, high, plain.n, plain.level)


def bootstrap(
    terms: Floats,
    *,
    form: Form,
    level: float = 0.95,
    unit: ArrayLike | None = None,
    replications: int = 1_000,
    seed: int = 0,
) -> Interval:
    """The percentile interval over resampled units, the whole ratio recomputed in each (Efron 1979).

    `terms` (n, k) and `form` are those of an estimator (`snips_terms`, `sndr_terms`), or contributions
    as one column with `forms.MEAN`.
    """
    if terms.ndim != 2 or not terms.size:
        raise InvalidTable("no terms: an interval needs at least one round", where="bootstrap")
    _check(terms, level=level, where="bootstrap")
    if replications < 2:
        raise InvalidTable(f"a bootstrap needs at least two replications, got {replications}", where="bootstrap")
    counted = np.hstack([terms, np.ones((len(terms), 1))])
    sums = counted if unit is None else np.stack([_sums(column, unit) for column in counted.T], axis=1)
    n, rng = len(sums), np.random.default_rng(seed)
    estimates = np.empty(replications)
    for i in range(replications):
        drawn = np.bincount(rng.integers(0, n, n), minlength=n) @ sums
        estimates[i] = form.value(drawn[:-1] / drawn[-1])
    low, high = np.quantile(estimates, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Interval(float(form.value(terms.mean(axis=0))), float(low), float(high), n, level)


def empirical_bernstein(
    contributions: Floats, *, low: float, high: float, level: float = 0.95, unit: ArrayLike | None = None
) -> Interval:
    """An interval that holds for any n (Maurer and Pontil 2009), wide where weights are.

    `low` and `high` bound every contribution *a priori*: from the largest weight the policies allow
    (products / floor), never from the sample. Raises `InvalidTable` when one lies outside.
    """
    _check(contributions, level=level, where="empirical Bernstein")
    if contributions.size < 2 or contributions.min() < low or contributions.max() > high:
        raise InvalidTable(f"expected at least two contributions inside [{low}, {high}]", where="empirical Bernstein")
    sums = _sums(contributions, unit)
    largest = 1 if unit is None else int(np.unique(np.asarray(unit), return_counts=True)[1].max())
    n, share = sums.size, sums.size / contributions.size  # a unit's sum × share has the estimate as mean
    scaled = sums * share
    width = (high - low) * largest * share
    logs = math.log(4.0 / (1.0 - level))
    reach = math.sqrt(2.0 * float(scaled.var(ddof=1)) * logs / n) + 7.0 * width * logs / (3.0 * (n - 1))
    mean = float(contributions.mean())
    return Interval(mean, max(mean - reach, low), min(mean + reach, high), n, level)


def _check(contributions: Floats, *, level: float, where: str) -> None:
    if not 0.0 < level < 1.0:
        raise InvalidTable(f"a level lies in (0, 1), got {level}", where=where)
    refuse(~np.isfinite(contributions), "contributions must be finite", where=where)


def _sums(deviations: Floats, unit: ArrayLike | None) -> Floats:
    """(units,) the deviations of each unit, added."""
    if unit is None:
        return deviations
    units = np.asarray(unit)
    if units.shape != deviations.shape:
        raise InvalidTable(f"{units.size} units for {deviations.size} contributions", where="interval")
    _, rows = np.unique(units, return_inverse=True)
    return np.asarray(np.bincount(rows, weights=deviations), dtype=np.float64)
