"""Who opens the app today, how often and where they look.

Log-ins of a customer and day are Poisson with a rate of the customer's own, more on payday and the
day after (domain 3.4) and a little more on working days. Every session shows the home screen; some go
on to the savings tab or a search, and some bring up a word about a payment just made. A push is no
session: it is the bank that knocks, at a daytime hour, where the customer lets it.

The app keeps a slate for the day, so a customer arrives on a surface once: in the first session of
the day that touches it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from recsys.bank.customers import SIGNALS, Customers
from recsys.bank.dice import Ints, keys_of, poisson, uniforms
from recsys.bank.standing import ACTIVE, CHANNELS, DORMANT, Standing
from recsys.bank.visits import SURFACES, Arrivals, Sessions
from recsys.vocabulary import Floats

HOME, SAVINGS, SEARCH, PUSH, INLINE = (SURFACES.index(name) for name in ("home", "savings", "search", "push", "inline"))

PAYDAY_RUSH = 1.5  # log-ins on payday and the day after (domain 3.4)
DORMANT_LOGINS = 0.02  # of their former log-ins
SAVINGS_TAB = (0.025, 0.065)  # share of sessions that go to the savings tab: others, savers
SEARCHES = 0.05  # share of sessions with a search
INLINE_PER_PAYMENT = 0.05  # share of sessions with a word about a payment, for each card payment a day
PUSHES = 0.1  # a day and customer who allows them
PUSH_HOURS = (9, 20)

_WEEKDAYS = (1.05, 1.03, 1.02, 1.02, 1.08, 0.93, 0.87)  # log-ins, Monday to Sunday; the mean is one
_HOURS = np.array([1, 1, 1, 1, 1, 2, 5, 9, 9, 7, 6, 6, 8, 8, 6, 6, 6, 7, 8, 8, 8, 7, 5, 3], dtype=np.float64)
_BY_HOUR = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
_HOUR_STARTS = np.arange(25) * 3_600.0
_INTO = {HOME: (0, 0), SAVINGS: (20, 600), SEARCH: (5, 120), INLINE: (2, 10)}  # seconds into a session: least, spread
_DAY = 86_400
_MOST = 64  # sessions of a customer and day: room for them in a key


def login_rates(
    customers: Customers,
    *,
    standing: Standing,
    since_payday: Ints,
    loyalty: Floats,
    today: int,
    payday: bool = True,
    weekday: bool = True,
) -> Floats:
    """(n,) expected log-ins today.

    `since_payday` (n,) is in days; `loyalty` (n,) multiplies the usual rate; `today` is an ordinal;
    `payday` and `weekday` switch the two rhythms.
    """
    rate = customers.logins * loyalty * (_WEEKDAYS[(today - 1) % 7] if weekday else 1.0)
    if payday:
        rate = np.where(since_payday <= 1, PAYDAY_RUSH * rate, rate)
    in_use = np.where(standing.status == ACTIVE, 1.0, np.where(standing.status == DORMANT, DORMANT_LOGINS, 0.0))
    return rate * in_use


def sessions_of(customers: Customers, *, rates: Floats, seed: int, number: int) -> Sessions:
    """The log-ins of day `number`, given how many are expected of each customer (n,)."""
    luck = uniforms(seed, purpose="log-ins", day=number, keys=keys_of(customers.numbers))
    counts = np.minimum(poisson(luck, rate=rates), _MOST)
    rows = np.repeat(np.arange(len(customers)), counts)
    earlier = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    dice = partial(uniforms, seed, day=number, keys=keys_of(customers.numbers[rows] * _MOST + earlier))
    seconds = np.interp(dice(purpose="log-in times"), _BY_HOUR, _HOUR_STARTS).astype(np.int64)
    saver = customers.signals[rows, SIGNALS.index("saver")]
    surfaces = np.zeros((len(rows), len(SURFACES)), dtype=np.bool_)
    surfaces[:, HOME] = True
    surfaces[:, SAVINGS] = dice(purpose="savings tab") < np.where(saver, SAVINGS_TAB[1], SAVINGS_TAB[0])
    surfaces[:, SEARCH] = dice(purpose="searches") < SEARCHES
    surfaces[:, INLINE] = dice(purpose="inline") < INLINE_PER_PAYMENT / 30.4 * customers.payments[rows]
    order = np.argsort(rows * _DAY + seconds, kind="stable")  # rows ascend already
    return Sessions(rows, seconds[order], surfaces[order])


def arrivals_of(sessions: Sessions, *, customers: Customers, standing: Standing, seed: int, number: int) -> Arrivals:
    """Everybody's first moment on each surface on day `number`, pushes included."""
    dice = partial(uniforms, seed, day=number)
    numbers = customers.numbers
    knocked = (standing.status == ACTIVE) & standing.allows[:, CHANNELS.index("push")]
    knocked &= dice(purpose="pushes", keys=keys_of(numbers)) < PUSHES
    pushed = np.flatnonzero(knocked)
    first, last = (3_600 * hour for hour in PUSH_HOURS)
    at = first + (last - first) * dice(purpose="push times", keys=keys_of(numbers[pushed]))
    found = [(pushed, np.full(len(pushed), PUSH), at.astype(np.int64))]
    for surface, (least, spread) in _INTO.items():
        touching = np.flatnonzero(sessions.surfaces[:, surface])
        rows = sessions.rows[touching]
        firsts = np.flatnonzero(np.diff(rows, prepend=-1))
        rows, seconds = rows[firsts], sessions.seconds[touching[firsts]]
        if spread:
            luck = dice(purpose=f"seconds into {SURFACES[surface]}", keys=keys_of(numbers[rows]))
            seconds = np.minimum(seconds + least + (spread * luck).astype(np.int64), _DAY - 1)
        found.append((rows, np.full(len(rows), surface), seconds))
    rows, surfaces, seconds = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort((seconds * len(customers) + rows) * len(SURFACES) + surfaces)
    return Arrivals(rows[order], surfaces[order], seconds[order])
