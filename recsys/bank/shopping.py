"""Card payments: how many, on what, for how much, where and when.

How often a customer pays, and for what, hangs on who they are and on the calendar, never on what was
shown to them; only amounts give way when money is short. So two policies in two copies of a bank
see the same shopping.

The payments of a customer in a category are a Poisson process whose rate the calendar tilts. Rather
than tilt every customer's mix every day, payments are drawn at the rate of the day's most tilted
category, each takes a category from the customer's own mix, and is kept with the chance that its
category's tilt has of that highest one (thinning, Lewis and Shedler 1979): the same law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.bank.customers import SIGNALS, Customers
from recsys.bank.dice import Ints, Keys, cells, keys_of, normals, poisson, uniforms
from recsys.bank.merchants import CATEGORIES, MEALS, NAMES, PRICES, REPAID, SPREADS, merchants_at
from recsys.bank.rhythms import seconds_at, tilts
from recsys.bank.switches import Switches
from recsys.bank.today import Today
from recsys.bank.transactions import CARDS, INTO, Transactions, block, repayment
from recsys.bank.truth import TRAITS
from recsys.vocabulary import Floats

HABIT = 0.3  # standard deviation of the log of a share that no trait explains
LOYAL, REGULARS = 0.6, 3  # of payments go to one of so many merchants that the customer always goes to
GROUP_MEALS = 0.12  # of restaurant bills are paid by one for two to five
_WIDTH = 1 << (len(NAMES) - 1).bit_length()
_STEPS = [_WIDTH >> step for step in range(1, _WIDTH.bit_length())]
_COMMUTE, _COMMUTERS = NAMES.index("transport"), 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Tastes:
    """What every customer spends on; by customer row."""

    cumulative: NDArray[np.float32]  # (n · WIDTH,) running shares of each row's categories, padded with infinity
    price: Floats  # (n,) mean price of a payment, when a category of price 1 costs 1


def make_tastes(customers: Customers, *, theta: Floats, seed: int) -> Tastes:
    """Each customer's mix: usual shares, leaned by traits (n, TRAITS) and by habits of their own."""
    pull = HABIT * normals(seed, purpose="money/habits", day=0, keys=cells(customers.numbers, columns=len(NAMES)))
    for trait, name in enumerate(TRAITS):
        leans = np.array([category.leans.get(name, 0.0) for category in CATEGORIES])
        pull += theta[:, trait, None] * leans
    shares = np.array([category.share for category in CATEGORIES]) * np.exp(pull)
    shares[:, _COMMUTE] *= np.where(customers.signals[:, SIGNALS.index("commuter")], _COMMUTERS, 1.0)
    reached = np.cumsum(shares, axis=1)
    price = np.cumsum(shares * PRICES, axis=1)[:, -1] / reached[:, -1]
    padded = np.full((len(shares), _WIDTH), np.inf, dtype=np.float32)
    padded[:, : len(NAMES) - 1] = reached[:, :-1] / reached[:, -1:]
    return Tastes(padded.ravel(), price)


def mix_of(tastes: Tastes) -> Floats:
    """(n, CATEGORIES) shares of payments, rows of sum one."""
    reached = tastes.cumulative.reshape(-1, _WIDTH)[:, : len(NAMES)].astype(np.float64)
    reached[:, -1] = 1.0
    return np.diff(reached, axis=1, prepend=0.0)


def shopped(
    tastes: Tastes,
    *,
    numbers: Ints,
    rates: Floats,
    price_pence: Floats,
    switches: Switches,
    today: Today,
) -> list[Transactions]:
    """Everybody's card payments of today, and what friends give back of shared meals.

    `numbers`, `rates` (payments expected on a day of no tilt) and `price_pence` (of a category of price 1)
    are (n,) by row.
    """
    tilt = tilts(today.ordinal, switches=switches)
    top = float(tilt.max())
    luck = today.uniforms("payments", keys=keys_of(numbers))
    counts = np.minimum(poisson(luck, rate=rates * top), CARDS)
    rows = np.repeat(np.arange(len(numbers)), counts)
    sequences = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = keys_of(numbers[rows] * CARDS + sequences)
    categories = _picked(tastes, rows, luck=today.uniforms("categories", keys=keys))
    kept = np.flatnonzero(today.uniforms("kept", keys=keys) * top < tilt[categories])
    rows, sequences, keys, categories = rows[kept], sequences[kept], keys[kept], categories[kept]
    pence = today.normals("prices", keys=keys)
    pence *= SPREADS[categories]
    pence += _LOG_PRICES[categories]
    np.exp(pence, out=pence)
    pence *= price_pence[rows]
    bought = block(
        rows,
        sequences=sequences,
        seconds=seconds_at(today.uniforms("seconds", keys=keys), categories=categories),
        pence=np.maximum(pence, 50.0).astype(np.int64),
        category=categories,
        merchant=_visited(numbers[rows], categories=categories, keys=keys, today=today),
    )
    return [bought, _shared(bought, keys=keys, today=today)]


_LOG_PRICES: Floats = np.log(PRICES) - SPREADS**2 / 2


def _picked(tastes: Tastes, rows: Ints, *, luck: Floats) -> Ints:
    """(t,) a category from each row's mix: how many running shares `luck` passes, by halving."""
    wanted = luck.astype(np.float32)
    base = rows * _WIDTH
    place = base - 1
    for step in _STEPS:
        place += step * (tastes.cumulative[place + step] <= wanted)
    place -= base - 1
    return place


def _visited(numbers: Ints, *, categories: Ints, keys: Keys, today: Today) -> Ints:
    """(t,) merchants: mostly one of the customer's regular ones in the category, else any, by Zipf's law."""
    whim = today.uniforms("merchants", keys=keys)
    regular = (whim * (REGULARS / LOYAL)).astype(np.int64)
    loyal = regular < REGULARS
    habits = keys_of((numbers * len(NAMES) + categories) * REGULARS + np.minimum(regular, REGULARS - 1))
    luck = np.where(
        loyal, uniforms(today.seed, purpose="money/regulars", day=0, keys=habits), (whim - LOYAL) / (1.0 - LOYAL)
    )
    return merchants_at(luck, categories=categories)


def _shared(bought: Transactions, *, keys: Keys, today: Today) -> Transactions:
    """Some restaurant bills are paid by one for all: multiply them in place; return what friends give back that day."""
    meals = np.flatnonzero(bought.category == MEALS)
    luck = today.uniforms("group meals", keys=keys[meals])
    meals, luck = meals[luck < GROUP_MEALS], luck[luck < GROUP_MEALS] / GROUP_MEALS
    friends = 1 + (4 * luck).astype(np.int64)
    each = bought.pence[meals]
    bought.pence[meals] *= 1 + friends
    payers = np.repeat(meals, friends)
    friend = np.arange(len(payers)) - np.repeat(np.cumsum(friends) - friends, friends)
    return block(
        bought.rows[payers],
        sequences=repayment(bought.sequences[payers], friend=friend),
        seconds=np.minimum(bought.seconds[payers] + 300 + 900 * friend, 86_399),
        pence=np.repeat(each, friends),
        category=REPAID,
        direction=INTO,
    )
