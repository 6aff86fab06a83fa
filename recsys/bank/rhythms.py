"""When money is spent: weekday, month and hour, each category in its own rhythm (domain 3.5, 3.7)."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.merchants import CATEGORIES
from recsys.bank.seasons import PAYDAYS
from recsys.bank.switches import Switches
from recsys.vocabulary import Floats

_WEEKDAYS = {  # Monday to Sunday, means of one
    "daily": (0.92, 0.92, 0.95, 1.00, 1.15, 1.20, 0.86),
    "work": (1.25, 1.30, 1.30, 1.25, 1.15, 0.45, 0.30),
    "night": (0.60, 0.65, 0.75, 0.95, 1.50, 1.65, 0.90),
    "weekend": (0.75, 0.75, 0.80, 0.90, 1.10, 1.55, 1.15),
    "online": (1.02, 1.00, 1.00, 1.00, 1.00, 0.98, 1.00),
}
_HOURS = {  # weights of the hours from midnight on
    "daily": (0, 0, 0, 0, 0, 0, 1, 4, 6, 6, 6, 7, 9, 8, 6, 6, 7, 9, 9, 7, 5, 3, 1, 0),
    "work": (0, 0, 0, 0, 0, 1, 4, 9, 9, 5, 5, 5, 6, 5, 4, 5, 7, 9, 5, 2, 1, 1, 1, 0),
    "night": (2, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 3, 7, 7, 3, 2, 3, 5, 8, 10, 10, 8, 6, 4),
    "weekend": (0, 0, 0, 0, 0, 0, 0, 1, 2, 5, 9, 10, 10, 9, 9, 9, 8, 6, 3, 2, 1, 0, 0, 0),
    "online": (3, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 6, 5, 5, 5, 6, 6, 7, 8, 8, 7, 5),
}
_SEASONS = {  # (December, July and August, Black Friday) by season of a category; "" is all others
    "": (1.18, 1.00, 1.0),
    "gifts": (1.45, 0.97, 2.2),
    "eating": (1.25, 1.12, 1.0),
    "travel": (0.80, 2.20, 1.5),
    "commute": (1.00, 0.82, 1.0),
}
_RHYTHMS = tuple(_WEEKDAYS)
_CELLS = 128
_WEEKLY = PAYDAYS.index("friday")
_USUAL = {kind: 7 if kind == _WEEKLY else 30 for kind in range(len(PAYDAYS))}  # days from payday to payday

_BY_WEEKDAY: Floats = np.array([_WEEKDAYS[each.rhythm] for each in CATEGORIES]).T
_BY_SEASON: Floats = np.array([_SEASONS[each.season] for each in CATEGORIES]).T
_RHYTHM_OF: Ints = np.array([_RHYTHMS.index(each.rhythm) for each in CATEGORIES])


def black_friday(day: int) -> bool:
    """Whether `day` (ordinal) lies in the four days from Black Friday to Cyber Monday.

    >>> [black_friday(date(2026, 11, each).toordinal()) for each in (26, 27, 30)]
    [False, True, True]
    """
    return any(
        (friday := date.fromordinal(day - back)).weekday() == 4 and friday.month == 11 and 23 <= friday.day <= 29
        for back in range(4)
    )


@lru_cache(maxsize=4096)
def tilts(day: int, *, switches: Switches) -> Floats:
    """(CATEGORIES,) how many more payments than usual fall on `day` in each category; not to be changed."""
    today = date.fromordinal(day)
    tilt = np.ones(len(CATEGORIES))
    if switches.weekday:
        tilt *= _BY_WEEKDAY[today.weekday()]
    if switches.december and today.month == 12:
        tilt *= _BY_SEASON[0]
    if switches.holidays and today.month in (7, 8):
        tilt *= _BY_SEASON[1]
    if switches.black_friday and black_friday(day):
        tilt *= _BY_SEASON[2]
    tilt.setflags(write=False)
    return tilt


def payday_rush(since: Ints, *, switches: Switches) -> Floats:
    """(kinds,) 1 + .9 exp(-days / 2.5) for each kind of payday, over its mean from payday to payday.

    `since` (kinds,) days since the last payday of each kind.
    """
    if not switches.payday:
        return np.ones(len(since))
    return (1.0 + 0.9 * np.exp(-since / 2.5)) / _MEAN_RUSH


_MEAN_RUSH: Floats = np.array(
    [(1.0 + 0.9 * np.exp(-np.arange(_USUAL[kind]) / 2.5)).mean() for kind in range(len(PAYDAYS))]
)


def _clock() -> Floats:
    """(RHYTHMS, CELLS + 1) seconds after midnight at which each share of a day's payments has been made."""
    rows = []
    for weights in (np.array(_HOURS[rhythm], dtype=np.float64) for rhythm in _RHYTHMS):
        touches = np.append(weights > 0, False) | np.append(False, weights > 0)  # (25,) hours that bound an open one
        reached = np.append(0.0, np.cumsum(weights) / weights.sum())[touches]
        rows.append(np.interp(np.linspace(0.0, 1.0, _CELLS + 1), reached, 3_600.0 * np.flatnonzero(touches)))
    return np.array(rows)


_CLOCK: Floats = _clock()
_START: Floats = _CLOCK[:, :-1].ravel()
_LENGTH: Floats = np.diff(_CLOCK, axis=1).ravel()


def seconds_at(luck: Floats, *, categories: Ints) -> Ints:
    """(t,) seconds after midnight at which a payment of each category falls, from numbers in (0, 1)."""
    place = luck * _CELLS
    cell = place.astype(np.int64)
    place -= cell
    cell += _RHYTHM_OF[categories] * _CELLS
    place *= _LENGTH[cell]
    place += _START[cell]
    return place.astype(np.int64)
