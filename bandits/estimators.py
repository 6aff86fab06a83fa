"""Off-policy estimators as contributions: the estimate is their mean, the interval comes after.

All arguments are (n,) arrays by keyword: `reward`, the logged `propensity` in (0, 1] of the product
shown, `target` = the target policy's probability of it in [0, 1], and from a reward model `q_logged`
= q(x, shown) and `q_target` = Σ target(a) q(x, a). Wrong input raises `InvalidTable` with its rows.

Ratios are linearised: the contributions of `snips` have its value as mean and its influence function
as spread, so that the plain interval of a mean is right (Owen 2013, ch. 9; taking the normaliser as a
constant makes intervals up to 1.9 times too wide). IPS: Horvitz and Thompson 1952; SNIPS: Swaminathan
and Joachims 2015; DR: Dudík, Langford and Li 2011.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats


def ips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) importance weight × reward: unbiased where the logger supports the target.

    >>> ips(reward=[1.0, 0.0], propensity=[0.5, 0.5], target=[1.0, 0.0])
    array([2., 0.])
    """
    table = _checked("ips", reward=reward, propensity=propensity, target=target)
    return np.asarray(table["target"] / table["propensity"] * table["reward"])


def snips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) linearised contributions of Σ weight × reward / Σ weight; adding c to rewards adds c.

    >>> float(snips(reward=[1.0, 0.0], propensity=[0.5, 0.5], target=[0.75, 0.25]).mean())
    0.75
    """
    table = _checked("snips", reward=reward, propensity=propensity, target=target)
    weights = table["target"] / table["propensity"]
    if not weights.sum() > 0.0:
        raise InvalidTable("the target policy never draws what was logged: no weight is above 0", where="snips")
    value = float((weights * table["reward"]).sum() / weights.sum())
    return np.asarray(value + weights * (table["reward"] - value) / weights.mean())


def dm(*, q_target: ArrayLike) -> Floats:
    """(n,) what the reward model expects of the target policy: as good, or as wrong, as the model."""
    return _checked("dm", q_target=q_target)["q_target"]


def dr(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Floats:
    """(n,) the model's expectation, corrected by its weighted residual: unbiased for any model.

    The model must not have seen these rewards (cross-fit it, split by customer).
    """
    table = _checked("dr", reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target)
    weights = table["target"] / table["propensity"]
    return table["q_target"] + weights * (table["reward"] - table["q_logged"])


def _checked(where: str, **columns: ArrayLike) -> Mapping[str, Floats]:
    """The columns as float64 arrays of one length; raises `InvalidTable`."""
    table = {name: _column(name, column, where=where) for name, column in columns.items()}
    lengths = {name: column.size for name, column in table.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InvalidTable(f"columns of different lengths: {counted}", where=where)
    if not next(iter(lengths.values())):
        raise InvalidTable("no rounds: an estimate needs at least one", where=where)
    for name, column in table.items():
        _refuse(~np.isfinite(column), f"{name} must be finite", where=where)
    if "propensity" in table:
        p, t = table["propensity"], table["target"]
        _refuse((p <= 0.0) | (p > 1.0), "propensity must be in (0, 1]", where=where)
        _refuse((t < 0.0) | (t > 1.0 + 1e-9), "target must be in [0, 1]", where=where)
    return table


def _column(name: str, column: ArrayLike, *, where: str) -> Floats:
    try:
        array = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTable(f"{name} must be numbers", where=where) from None
    if array.ndim != 1:
        raise InvalidTable(f"{name} must be one-dimensional, got shape {array.shape}", where=where)
    return array


def _refuse(bad: Bools, why: str, *, where: str) -> None:
    if bad.any():
        raise InvalidTable(why, where=where, rows=(np.flatnonzero(bad) + 1).tolist())
