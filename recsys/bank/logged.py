"""A log of one policy as arrays, and what any policy is worth in the states it met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.slates import EXACT_SLOTS, ArrayPolicy, drawn, prepared, propensities_of, slot_chances
from recsys.vocabulary import Bools, Floats, ProductId


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Decisions on one surface, d of them in the order made, K slots, P products (P: the null choice)."""

    surface: str
    policy: str
    products: tuple[ProductId, ...]
    days: Ints  # (d,)
    rows: Ints  # (d,) customers, the unit that is independent
    seconds: Ints  # (d,) after midnight
    visible: Floats  # (d, F) what a policy may see
    eligible: Bools  # (d, P)
    values: Floats  # (d, P) expected points that each card brings about if it is seen
    attributed: Floats  # (d, P) expected logged reward of each card if it is seen
    taps: Floats  # (d, P) chance of a tap on each card if it is seen
    examination: Floats  # (d, K) chance that each place is seen
    columns: Ints  # (d, K) drawn, P for nothing, -1 for no slot
    propensities: Floats  # (d, K) given the slots above; 1 where no slot was drawn
    pmfs: Floats  # (d, K, P + 1)
    seen: Bools  # (d, K)
    tapped: Bools
    dismissed: Bools
    opened: Bools
    rewards: Floats  # (d, K) points

    def __len__(self) -> int:
        """How many decisions there are."""
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What a policy earns in given states: (d, K) expected points of each decision's slots.

    The first `exact` slots are exact; `errors` (K,) are the standard errors of the mean over decisions
    that simulation leaves in the others.
    """

    by_slot: Floats
    exact: int
    errors: Floats

    @property
    def mean(self) -> float:
        """Expected points of a decision."""
        return float(self.by_slot.sum(axis=1).mean())


def target_of(policy: ArrayPolicy, *, log: Log) -> Floats:
    """(d, K) the probability that `policy` draws each logged slot, given the slots above it."""
    scores, open_ = prepared(policy, log.visible, eligible=log.eligible, surface=log.surface)
    return propensities_of(scores, open_=open_, rule=policy.rule, columns=log.columns)[0]


def true_value(policy: ArrayPolicy, *, log: Log, caused: str = "attributed", draws: int = 64, seed: int = 0) -> Worth:
    """What `policy` earns in the states of `log`, expected over its pmfs and over all outcomes.

    `caused` is "attributed", the reward as it is logged, or "values", what the cards bring about. The
    first three slots are exact, by enumeration of what may stand above. Below, the pmf of each slot is
    exact given the slots above, and those are drawn `draws` times.
    """
    worth: Floats = log.values if caused == "values" else log.attributed
    places = log.columns.shape[1]
    scores, open_ = prepared(policy, log.visible, eligible=log.eligible, surface=log.surface)
    exact = min(places, EXACT_SLOTS)
    chances = slot_chances(scores, open_=open_, rule=policy.rule, places=exact)
    by_slot, errors = np.zeros((len(log), places)), np.zeros(places)
    by_slot[:, :exact] = np.einsum("dkp,dp->dk", chances, worth)
    if places > exact:
        rng = np.random.default_rng(seed)
        tried = np.zeros((draws, places))
        for each in range(draws):
            slates = drawn(scores, open_=open_, rule=policy.rule, luck=rng.random((len(log), places)))
            found = np.einsum("dkp,dp->dk", slates.pmfs[:, exact:, :-1], worth)
            by_slot[:, exact:] += found / draws
            tried[each, exact:] = (found * log.examination[:, exact:]).mean(axis=0)
        errors = tried.std(axis=0, ddof=1) / np.sqrt(draws)
    return Worth(by_slot * log.examination, exact, errors)
