"""What the app shows those who come, under a policy of the house or another, and what comes of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

from recsys.bank.dice import uniforms
from recsys.bank.frames import Frames
from recsys.bank.slates import ArrayPolicy, alike, drawn, epsilon_greedy, prepared
from recsys.bank.visits import SURFACES, Arrivals
from recsys.bank.world import Bank
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.vocabulary import Bools, Floats

POLICIES = ("nothing", "uniform", "popular")
_PLACES = 16  # room for the places of a surface in a key


class App:
    """What the app shows each arrival under one policy, and what comes of it."""

    def __init__(self, bank: Bank, *, frames: Frames, policy: ArrayPolicy) -> None:
        self._bank, self._frames, self._policy = bank, frames, policy

    def shown(self, arrivals: Arrivals, *, number: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """DECISIONS and OUTCOMES of today's arrivals, in their order."""
        bank, visits = self._bank, len(arrivals)
        places = np.array([len(bank.examination(surface)) for surface in SURFACES])
        products = len(bank.truths.ids)
        luck = luck_of(arrivals, first=bank.scope.first, places=int(places.max()), seed=bank.seed, number=number)
        columns = np.full(luck.shape, -1, dtype=np.int64)
        propensities, candidates = np.ones(luck.shape), np.zeros((visits, products + 1), dtype=np.bool_)
        suited = bank.suited(arrivals.rows)
        for index, surface in enumerate(SURFACES):
            here = np.flatnonzero(arrivals.surfaces == index)
            eligible = suited[here] & on_surface(bank.truths.ids, surface=surface)
            unseen = np.empty((len(here), 0))
            scores, open_ = prepared(self._policy, unseen, eligible=eligible, surface=surface)
            filled = places[index]
            slates = drawn(scores, open_=open_, rule=self._policy.rule, luck=luck[here, :filled])
            columns[here, :filled], propensities[here, :filled] = slates.columns, slates.propensities
            candidates[here] = open_
        outcomes = bank.respond_at(arrivals, np.where(columns == products, -1, columns))
        decisions = self._frames.decisions(
            arrivals,
            columns=columns,
            propensities=propensities,
            candidates=candidates,
            places=places[arrivals.surfaces],
            policy=self._policy.name,
            number=number,
        )
        return decisions, self._frames.outcomes(outcomes)


def luck_of(arrivals: Arrivals, *, first: int, places: int, seed: int, number: int) -> Floats:
    """(v, places) the dice that draw each arrival's slots; they hang on customer, surface, place and day."""
    visit = (arrivals.rows + first) * len(SURFACES) + arrivals.surfaces
    keys = visit[:, None] * _PLACES + np.arange(places)
    return uniforms(seed, purpose="shown", day=number, keys=keys.astype(np.uint64).ravel()).reshape(keys.shape)


@cache
def on_surface(products: tuple[str, ...], *, surface: str) -> Bools:
    """(P,) which products may appear on a surface; those the catalogue does not name may appear anywhere."""
    catalogue = load(BANK_CATALOGUE)
    named = [product not in catalogue or surface in catalogue.product(product).surfaces for product in products]
    return np.array(named)


def policy_of(name: str, *, bank: Bank) -> ArrayPolicy:
    """The policy of this name, one of POLICIES but nothing."""
    organic = bank.truths.organic

    def zeros(visible: Floats, *, eligible: Bools, surface: str) -> Floats:
        return np.zeros((len(eligible), eligible.shape[1] + 1))

    def by_popularity(visible: Floats, *, eligible: Bools, surface: str) -> Floats:
        return np.tile(organic, (len(eligible), 1))

    if name == "uniform":
        return ArrayPolicy("uniform@1", zeros, alike())
    return ArrayPolicy("popular@1", by_popularity, epsilon_greedy(epsilon=0.0))
