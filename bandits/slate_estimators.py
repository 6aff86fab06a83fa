"""Off-policy estimators of whole slates, as contributions: (n, L) arrays of rounds × slots.

`reward` per slot, `propensity` and `target` conditional on the slots above (what a decision logs), and
where an estimator says so the marginal chances of the product at its place. A slot beyond the end of
a slate has reward 0 and both chances 1; the null choice that ended one is a slot like any other.

From few assumptions (and much variance) to many: SIPS needs nothing; RIPS and Cascade-DR that a slot's
reward does not depend on the slots below it; IIPS that it depends on its own product and place alone.
Swaminathan et al. 2017 (SIPS as slate IPS), Li et al. 2018 (IIPS), McInerney et al. 2020 (RIPS),
Kiyohara et al. 2022 (Cascade-DR). With one slot all four are the estimators of `bandits.estimators`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bandits.tabled import checked
from recsys.vocabulary import Floats


def sips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) joint weight of the slate × its summed reward: unbiased, with the widest interval.

    >>> sips(reward=[[1.0, 1.0]], propensity=[[0.5, 0.5]], target=[[1.0, 0.5]])
    array([4.])
    """
    table = checked("sips", dimensions=2, reward=reward, propensity=propensity, target=target)
    weight = (table["target"] / table["propensity"]).prod(axis=1)
    return np.asarray(weight * table["reward"].sum(axis=1))


def iips(*, reward: ArrayLike, propensity_at: ArrayLike, target_at: ArrayLike) -> Floats:
    """(n,) each slot weighed by itself; chances are the marginal ones of the product *at its place*.

    >>> iips(reward=[[1.0, 1.0]], propensity_at=[[0.5, 0.5]], target_at=[[1.0, 0.5]])
    array([3.])
    """
    table = checked("iips", dimensions=2, reward=reward, propensity_at=propensity_at, target_at=target_at)
    return np.asarray((table["target_at"] / table["propensity_at"] * table["reward"]).sum(axis=1))


def slot_dr(
    *, reward: ArrayLike, propensity_at: ArrayLike, target_at: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Floats:
    """(n,) `iips` with a model of each slot's own reward: the narrowest, on the assumption of iips.

    >>> slot_dr(reward=[[1.0]], propensity_at=[[0.5]], target_at=[[1.0]], q_logged=[[0.5]], q_target=[[0.25]])
    array([1.25])
    """
    table = checked(
        "slot_dr",
        dimensions=2,
        reward=reward,
        propensity_at=propensity_at,
        target_at=target_at,
        q_logged=q_logged,
        q_target=q_target,
    )
    weight = table["target_at"] / table["propensity_at"]
    return np.asarray((table["q_target"] + weight * (table["reward"] - table["q_logged"])).sum(axis=1))


def rips(*, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike) -> Floats:
    """(n,) each slot weighed by itself and the slots above it.

    >>> rips(reward=[[1.0, 1.0]], propensity=[[0.5, 0.5]], target=[[1.0, 0.5]])
    array([4.])
    """
    table = checked("rips", dimensions=2, reward=reward, propensity=propensity, target=target)
    weights = (table["target"] / table["propensity"]).cumprod(axis=1)
    return np.asarray((weights * table["reward"]).sum(axis=1))


def cascade_dr(
    *, reward: ArrayLike, propensity: ArrayLike, target: ArrayLike, q_logged: ArrayLike, q_target: ArrayLike
) -> Floats:
    """(n,) `rips` with a model of the reward still to come: Σ w₁…ₗ (rₗ − Qₗ) + w₁…ₗ₋₁ E[Qₗ].

    `q_logged` (n, L) is Qₗ of the slate's first l products: the reward expected of slot l and the slots
    below it under the target; `q_target` (n, L) its expectation over the target's choice of slot l.
    """
    table = checked(
        "cascade_dr",
        dimensions=2,
        reward=reward,
        propensity=propensity,
        target=target,
        q_logged=q_logged,
        q_target=q_target,
    )
    weights = (table["target"] / table["propensity"]).cumprod(axis=1)
    above = np.hstack([np.ones((len(weights), 1)), weights[:, :-1]])
    corrected = weights * (table["reward"] - table["q_logged"]) + above * table["q_target"]
    return np.asarray(corrected.sum(axis=1))
