"""Confidence sequences: intervals that hold at every look at once, also under a logger that learns.

Rows stand in the order in which their rewards became known. `empirical_bernstein` is the empirical-Bernstein
sequence for bounded rewards (Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022): it needs no
bound on the weights. `asymptotic` is the sequence for dashboards (Waudby-Smith et al. 2021), right once
there are enough conversions. Both are martingale arguments, so one customer's later decisions may
depend on the earlier ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.tabled import checked, refuse
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

_CAP = 0.5  # of the bets
_PRIOR_VARIANCE, _PRIOR_MEAN = 0.25, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """(n,) bounds after each row; the truth lies between all of them at once with the stated chance."""

    estimate: Floats
    low: Floats
    high: Floats
    level: float


def empirical_bernstein(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, level: float = 0.95
) -> Sequence:
    """Bounds of a policy's value for rewards in [0, 1]: low from w·r, high from the mirror 1 − w·(1 − r).

    Low never falls and high never rises. Raises `InvalidTable` for rewards outside [0, 1].
    """
    table = checked("confidence sequence", reward=reward, propensity=propensity, target=target)
    rewards = table["reward"]
    refuse((rewards < 0.0) | (rewards > 1.0), "reward must be in [0, 1]", where="confidence sequence")
    weight = table["target"] / table["propensity"]
    alpha = _error_of(level) / 2.0
    low = lower_bound(weight * rewards, alpha=alpha)
    high = 1.0 - lower_bound(weight * (1.0 - rewards), alpha=alpha)
    rows = np.arange(1, weight.size + 1)
    return Sequence(np.cumsum(weight * rewards) / rows, np.minimum(low, 1.0), np.maximum(high, 0.0), level)


def uplift_lower_bound(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, alpha: float = 0.05) -> Floats:
    """(n,) running one-sided lower bound of target minus logging value, for rewards in [0, 1].

    Of 1 + (w − 1)·r ≥ 0, less 1: the paired comparison of the promotion gate.
    """
    table = checked("confidence sequence", reward=reward, propensity=propensity, target=target)
    rewards = table["reward"]
    refuse((rewards < 0.0) | (rewards > 1.0), "reward must be in [0, 1]", where="confidence sequence")
    weight = table["target"] / table["propensity"]
    return lower_bound(1.0 + (weight - 1.0) * rewards, alpha=alpha) - 1.0


def lower_bound(x: Floats, *, alpha: float) -> Floats:
    """(n,) running lower bound of the conditional mean of x ≥ 0, however large x may be.

    Bets λᵢ and the guess of the mean use rows before i alone (predictable plug-in). The guess stays at or
    below 1, so that x − guess ≥ −1, which the inequality of Fan, Grama and Liu (2015) asks for.
    """
    if x.ndim != 1 or not x.size or not np.isfinite(x).all() or x.min() < 0.0:
        raise InvalidTable("expected at least one finite number, none below 0", where="confidence sequence")
    if not 0.0 < alpha < 1.0:
        raise InvalidTable(f"alpha lies in (0, 1), got {alpha}", where="confidence sequence")
    rows = np.arange(1, x.size + 1)
    sums = np.cumsum(x)
    before = np.concatenate([[0.0], sums[:-1]])
    guess = np.minimum((_PRIOR_MEAN + before) / rows, 1.0)  # of the mean, from the rows before
    squares = (x - np.minimum((_PRIOR_MEAN + sums) / (rows + 1), 1.0)) ** 2
    spread = (_PRIOR_VARIANCE + np.concatenate([[0.0], np.cumsum(squares)[:-1]])) / rows
    with np.errstate(divide="ignore"):
        bets = np.sqrt(2.0 * math.log(1.0 / alpha) / (spread * rows * np.log1p(rows)))
    bets = np.minimum(bets, _CAP)
    cost = -np.log1p(-bets) - bets
    wealth = np.cumsum(bets * x) - math.log(1.0 / alpha) - np.cumsum((x - guess) ** 2 * cost)
    return np.asarray(np.maximum.accumulate(np.maximum(wealth / np.cumsum(bets), 0.0)))


def asymptotic(contributions: Floats, *, planned: int, level: float = 0.95) -> Sequence:
    """Bounds around the running mean, tightest after `planned` rows; may widen again as all asymptotics may.

    Half-width s·√(2(tρ²+1)/(t²ρ²)·log(√(tρ²+1)/α)). Do not read it below 50 effective conversions.
    s² counts the largest contribution so far once more: where conversions are few and weights heavy, a mean
    that is too low comes with a spread that is too small. As the rows grow the addition vanishes.
    """
    if contributions.ndim != 1 or contributions.size < 2:
        raise InvalidTable("expected at least two contributions", where="confidence sequence")
    refuse(~np.isfinite(contributions), "contributions must be finite", where="confidence sequence")
    if planned < 1:
        raise InvalidTable(f"planned is a number of rows from 1, got {planned}", where="confidence sequence")
    alpha = _error_of(level)
    rows = np.arange(1, contributions.size + 1)
    means = np.cumsum(contributions) / rows
    squares = contributions**2
    spread = np.maximum(np.cumsum(squares) / rows - means**2, 0.0)
    variance = spread + np.maximum.accumulate(squares) / rows
    rho = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / planned
    mixed = rows * rho + 1.0
    reach = np.sqrt(variance * 2.0 * mixed / (rows**2 * rho) * np.log(np.sqrt(mixed) / alpha))
    reach[spread == 0.0] = math.inf
    return Sequence(means, means - reach, means + reach, level)


def _error_of(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise InvalidTable(f"a level lies in (0, 1), got {level}", where="confidence sequence")
    return 1.0 - level
