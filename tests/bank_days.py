"""Days of a small bank on which everybody searches: many slots, so that rare things happen."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.occasions import SURFACES
from recsys.bank.switches import Switches
from recsys.bank.truth import TRUTHS
from recsys.bank.visits import Arrivals
from recsys.bank.world import Bank

START = datetime(2026, 1, 5, tzinfo=UTC)
IDS = tuple(TRUTHS)
SEARCH = SURFACES.index("search")


def bank_of(
    customers: int, *, world: str = "plain", seed: int = 1, switches: Switches | None = None, ids: tuple[str, ...] = IDS
) -> Bank:
    """A bank in which, by default, nothing but customers changes."""
    switches = Switches.none() if switches is None else switches
    return Bank.create(customers=customers, seed=seed, start=START, catalogue=ids, world=world, switches=switches)


def everybody_searches(n: int) -> Arrivals:
    """One search each, a second apart."""
    return Arrivals(np.arange(n), np.full(n, SEARCH), 32_400 + np.arange(n))


def any_ten(n: int, *, day: int, products: int = len(IDS)) -> Ints:
    """(n, 10) ten different products for each."""
    return np.random.default_rng(day).random((n, products)).argsort(axis=1)[:, :10]
