"""The calendar of a UK bank customer: paydays, the ISA season, January.

Days are proleptic ordinals (`date.toordinal`), which numpy can carry.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np

from recsys.bank.dice import Ints

PAYDAYS = ("last_working", "1", "15", "20", "25", "26", "friday")
"""When a customer may be paid (domain 3.4); a day of the month that is no working day pays before it."""

ISA_ALLOWANCE_PENCE = 2_000_000


@lru_cache(maxsize=64)
def bank_holidays(year: int) -> frozenset[int]:
    """The bank holidays of England and Wales, as ordinals; proclaimed ones apart.

    >>> [date.fromordinal(day).strftime("%d %b") for day in sorted(bank_holidays(2026))]
    ['01 Jan', '03 Apr', '06 Apr', '04 May', '25 May', '31 Aug', '25 Dec', '28 Dec']
    """
    easter = _easter(year).toordinal()
    first_of_may, last_of_may, last_of_august = (
        date(year, month, day).toordinal() for month, day in ((5, 1), (5, 31), (8, 31))
    )
    found = {easter - 2, easter + 1, first_of_may + (1 - first_of_may) % 7}  # an ordinal that is 1 modulo 7 is a Monday
    found |= {last - (last - 1) % 7 for last in (last_of_may, last_of_august)}
    for month, day in ((1, 1), (12, 25), (12, 26)):
        falls = date(year, month, day).toordinal()
        while _weekend(falls) or falls in found:
            falls += 1  # the next working day stands in
        found.add(falls)
    return frozenset(found)


def works(day: int) -> bool:
    """Whether banks and employers move money on `day`."""
    return not _weekend(day) and day not in bank_holidays(date.fromordinal(day).year)


@lru_cache(maxsize=4096)
def pays(kind: str, day: int) -> bool:
    """Whether this kind of payday falls on `day`.

    >>> pays("25", date(2026, 1, 23).toordinal()), pays("25", date(2026, 1, 25).toordinal())  # a Sunday
    (True, False)
    """
    if not works(day):
        return False
    covered = [day]  # and the days off that follow
    while not works(covered[-1] + 1):
        covered.append(covered[-1] + 1)
    dates = [date.fromordinal(each) for each in covered]
    if kind == "friday":
        return any(each.weekday() == 4 for each in dates)
    if kind == "last_working":
        return any(date.fromordinal(each + 1).day == 1 for each in covered)
    return any(each.day == int(kind) for each in dates)


@lru_cache(maxsize=1024)
def paydays_around(day: int) -> tuple[Ints, Ints]:
    """For each kind of payday: the latest day up to `day`, and the first day after it, (kinds,) each."""
    last = [next(day - back for back in range(40) if pays(kind, day - back)) for kind in PAYDAYS]
    following = [next(day + ahead for ahead in range(1, 40) if pays(kind, day + ahead)) for kind in PAYDAYS]
    return np.array(last), np.array(following)


def isa_season(day: int) -> float:
    """exp(-((d - 5 April) / 14 days)²), against the nearest 5 April (domain 3.6).

    >>> isa_season(date(2026, 4, 5).toordinal()), round(isa_season(date(2026, 3, 22).toordinal()), 3)
    (1.0, 0.368)
    """
    year = date.fromordinal(day).year
    nearest = min(abs(day - date(near, 4, 5).toordinal()) for near in (year - 1, year, year + 1))
    return math.exp(-((nearest / 14) ** 2))


def starts_tax_year(day: int) -> bool:
    """Whether ISA allowances begin anew on `day` (6 April)."""
    today = date.fromordinal(day)
    return (today.month, today.day) == (4, 6)


def spending_mood(day: int) -> float:
    """How much more or less people spend than on an average day of the week and year."""
    today = date.fromordinal(day)
    weekend = (0.92, 0.92, 0.95, 1.0, 1.15, 1.2, 0.86)[today.weekday()]
    return weekend * (1.25 if today.month == 12 else 1.0)


def days_of(start: datetime, *, number: int) -> tuple[datetime, int]:
    """Midnight of day `number`, counted from 0 at `start`, and its ordinal."""
    midnight = start + timedelta(days=number)
    return midnight, midnight.toordinal()


def _weekend(day: int) -> bool:
    return date.fromordinal(day).weekday() >= 5


def _easter(year: int) -> date:
    """Easter Sunday, by the rule of Meeus, Jones and Butcher."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    moon = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    late = (golden + 11 * moon + 22 * weekday) // 451
    month, day = divmod(moon + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)
