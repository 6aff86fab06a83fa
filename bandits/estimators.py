"""Off-policy estimators as contributions: the estimate is their mean, the interval comes after.

All arguments are (n,) arrays by keyword: `reward`, the logged `propensity` in (0, 1] of the product
shown, `target` = the target policy's probability of it in [0, 1], and from a reward model `q_logged`
= q(x, shown) and `q_target` = Σ target(a) q(x, a). Wrong input raises `InvalidTable` with its rows.

Ratios are linearised (`bandits.forms`): the contributions of `snips` and `sndr` have the value as mean
and its influence function as spread, so that the plain interval of a mean is right (Owen 2013, ch. 9;
taking the normaliser as a constant makes intervals up to 1.9 times too wide).

IPS: Horvitz and Thompson 1952. Clipped IPS: Ionides 2008. SNIPS: Swaminathan and Joachims 2015. DR:
Dudík, Langford and Li 2011. SNDR: Thomas and Brunskill 2016. Switch-DR: Wang, Agarwal and Dudík 2017.
DRos: Su, Dimakopoulou, Krishnamurthy and Dudík 2020. MIPS: Saito and Joachims 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandits.forms import MEAN, PLUS_RATIO, RATIO, Form
from bandits.tabled import checked, checked_columns, refuse
from recsys.errors import InvalidTable, Misuse
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """An estimator's terms (n, k) and the form that makes an estimate of their means."""

    form: Form
    terms: Floats
    name: str

    @property
    def contributions(self) -> Floats:
        """(n,) whose mean is the estimate."""
        return self.form.contributions(self.terms, where=self.name)


def ips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) importance weight × reward: unbiased where the logger supports the target.

    >>> ips(reward=[1.0, 0.0], propensity=[0.5, 0.5], target=[1.0, 0.0])
    array([2., 0.])
    """
    table = checked("ips", reward=reward, propensity=propensity, target=target)
    return np.asarray(table["target"] / table["propensity"] * table["reward"])


def clipped_ips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, clip: float) -> Floats:
    """(n,) the same with weights cut at `clip`: less variance, biased towards 0.

    >>> clipped_ips(reward=[1.0, 0.0], propensity=[0.1, 0.5], target=[1.0, 0.0], clip=4.0)
    array([4., 0.])
    """
    table = checked("clipped_ips", reward=reward, propensity=propensity, target=target)
    weight = np.minimum(table["target"] / table["propensity"], _bound("clipped_ips", clip=clip))
    return np.asarray(weight * table["reward"])


def snips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) linearised contributions of Σ weight × reward / Σ weight; adding c to rewards adds c.

    >>> float(snips(reward=[1.0, 0.0], propensity=[0.5, 0.5], target=[0.75, 0.25]).mean())
    0.75
    """
    return snips_terms(reward=reward, propensity=propensity, target=target).contributions


def snips_terms(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Terms:
    """The terms of `snips`: (n, 2) weight × reward, weight."""
    table = checked("snips", reward=reward, propensity=propensity, target=target)
    weight = table["target"] / table["propensity"]
    return Terms(RATIO, np.stack([weight * table["reward"], weight]).T, "snips")


def dm(*, q_target: ArrayLike) -> Floats:
    """(n,) what the reward model expects of the target policy: as good, or as wrong, as the model."""
    return checked("dm", q_target=q_target)["q_target"]


def dr(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Floats:
    """(n,) the model's expectation, corrected by its weighted residual: unbiased for any model.

    The model must not have seen these rewards (cross-fit it, split by customer).
    """
    table = checked("dr", reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target)
    weight = table["target"] / table["propensity"]
    return np.asarray(table["q_target"] + weight * (table["reward"] - table["q_logged"]))


def sndr(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Floats:
    """(n,) linearised contributions of `dr` with its correction divided by the mean weight."""
    return sndr_terms(
        reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target
    ).contributions


def sndr_terms(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Terms:
    """The terms of `sndr`: (n, 3) the model's expectation, weight × residual, weight."""
    table = checked("sndr", reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target)
    weight = table["target"] / table["propensity"]
    residual = weight * (table["reward"] - table["q_logged"])
    return Terms(PLUS_RATIO, np.stack([table["q_target"], residual, weight]).T, "sndr")


def switch_dr(
    *,
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    q_logged: ArrayLike,
    q_target: ArrayLike,
    threshold: float,
) -> Floats:
    """(n,) `dr` that trusts the model alone where the weight exceeds `threshold`: 0 is dm, infinite is dr."""
    table = checked(
        "switch_dr", reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target
    )
    weight = table["target"] / table["propensity"]
    kept = weight <= _bound("switch_dr", threshold=threshold)
    return np.asarray(table["q_target"] + np.where(kept, weight, 0.0) * (table["reward"] - table["q_logged"]))


def dros(
    *,
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    q_logged: ArrayLike,
    q_target: ArrayLike,
    shrinkage: float,
) -> Floats:
    """(n,) `dr` with weights shrunk to λw/(w² + λ), λ = `shrinkage`: 0 is dm, infinite is dr.

    λ must be large against 1: at w = 1 the weight is λ/(1 + λ), so λ = 1 halves it even where target
    and logger agree.
    """
    table = checked("dros", reward=reward, propensity=propensity, target=target, q_logged=q_logged, q_target=q_target)
    weight, limit = table["target"] / table["propensity"], _bound("dros", shrinkage=shrinkage)
    shrunk = weight if np.isinf(limit) else limit * weight / np.maximum(weight**2 + limit, np.finfo(float).tiny)
    return np.asarray(table["q_target"] + shrunk * (table["reward"] - table["q_logged"]))


def mips(
    *, reward: ArrayLike, logged: Floats, target: Floats, embedding: Floats, shown: ArrayLike, eligible: Bools
) -> Floats:
    """(n,) IPS over what a product is instead of which it is: Σ target p(e|a) / Σ logged p(e|a) × reward.

    `logged`, `target` (n, A) are full pmfs, masked to `eligible` (n, A) and renormalised here;
    `embedding` (A, E) is p(e|a), known or counted (`counted_embedding`); `shown` (n,) is the embedding
    column that was shown. Unbiased where the reward depends on the product through e alone.
    With E = A and the identity it is IPS; with one column it is the mean reward.
    """
    table = checked("mips", reward=reward)
    refuse(~(embedding >= 0.0), "embedding holds chances, from 0", where="mips")
    columns = checked_columns("shown", shown, below=embedding.shape[1], where="mips")
    if columns.shape != table["reward"].shape:
        raise InvalidTable(f"{columns.size} shown for {table['reward'].size} rewards", where="mips")
    for name, pmf in (("logged", logged), ("target", target), ("eligible", eligible)):
        if pmf.shape != (columns.size, embedding.shape[0]):
            raise InvalidTable(
                f"{name} must be rounds × products, {columns.size} × {embedding.shape[0]}, got {pmf.shape}",
                where="mips",
            )
        refuse(~((pmf >= 0.0) & np.isfinite(pmf)), f"{name} must be finite and from 0", where="mips")
    likelihood = embedding[:, columns].T * eligible  # (n, A) p(e shown | a)
    by_logger = (_masked(logged, eligible, name="logged") * likelihood).sum(axis=1)
    by_target = (_masked(target, eligible, name="target") * likelihood).sum(axis=1)
    refuse(by_logger <= 0.0, "the logger could not have shown this embedding", where="mips")
    return np.asarray(by_target / by_logger * table["reward"])


def counted_embedding(*, products: ArrayLike, columns: ArrayLike, shape: tuple[int, int]) -> Floats:
    """(A, E) p(e|a) counted from what was shown; a product never shown keeps even chances.

    `shape` is (products, embedding columns).
    """
    counts = np.zeros(shape)
    rows = checked_columns("products", products, below=shape[0], where="counted embedding")
    np.add.at(counts, (rows, checked_columns("columns", columns, below=shape[1], where="counted embedding")), 1.0)
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.where(totals > 0.0, counts / np.maximum(totals, 1.0), 1.0 / shape[1]))


def _masked(pmf: Floats, eligible: Bools, *, name: str) -> Floats:
    kept = np.where(eligible, pmf, 0.0)
    totals = kept.sum(axis=1, keepdims=True)
    refuse(totals[:, 0] <= 0.0, f"{name} has no mass on an eligible product", where="mips")
    return np.asarray(kept / totals)


def _bound(where: str, **named: float) -> float:
    [(name, value)] = named.items()
    if not value >= 0.0:
        raise Misuse(f"{where}: {name} must be at least 0, got {value}")
    return value


__all__ = [
    "MEAN",
    "Terms",
    "clipped_ips",
    "counted_embedding",
    "dm",
    "dr",
    "dros",
    "ips",
    "mips",
    "sndr",
    "sndr_terms",
    "snips",
    "snips_terms",
    "switch_dr",
]
