"""Who the customers are, as far as a bank can see and as far as it does not change.

A customer has a number in the bank, from 0; a bank holds a slice of numbers, and arrays are by row
in that slice. Everything hangs on the number, so a slice is the same in any bank.

With growth, customers of higher numbers come later: by the curve of `members`, which knows nothing
but how many there were on the first day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np

from recsys.bank.dice import Ints, choices, keys_of, normals, uniforms
from recsys.bank.hidden import Hidden
from recsys.bank.personas import FAMILY, OLDER, PERSONAS, SOLE, TEEN, USUAL, Mix, by_persona, make_households
from recsys.bank.truth import TRAITS
from recsys.vocabulary import Bools, CustomerId, Floats

SIGNALS = ("family", "sole_trader", "parent_of_teen", "saver", "commuter")
EMPLOYMENTS = ("employed", "self_employed", "student", "retired")
APP_PLATFORMS = ("ios", "android")

LOGINS, LOGIN_SPREAD = 0.62, 0.55  # a day, median and sigma: 275 a year with paydays (UK Finance; domain 3.4 has .60)
GROWTH = 1.05  # a month
_MONTH = 30.4
_ORDINAL_OF_1970 = 719_163
_PAYDAY_SHARES = np.array([0.55, 0.066, 0.066, 0.066, 0.066, 0.066, 0.12])  # by PAYDAYS


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """What the bank knows and what does not change; every array by customer row."""

    numbers: Ints  # (n,) ascending and without gaps
    ids: tuple[CustomerId, ...]
    born_on: Ints  # (n,) ordinals
    of_age_on: Ints  # (n,) the eighteenth birthday
    joined_on: Ints  # (n,) after the bank's first day for those who come by growth
    income_pence: Ints  # (n,) a month, net
    spend_pence: Ints  # (n,) a month
    payments: Floats  # (n,) card payments a month
    payday: Ints  # (n,) index in PAYDAYS
    logins: Floats  # (n,) a day, before paydays and weekdays
    signals: Bools  # (n, SIGNALS)
    employment: Ints  # (n,) index in EMPLOYMENTS
    platform: Ints  # (n,) index in APP_PLATFORMS
    household: Ints  # (n,) the couple's number, -1 for none
    persona: Ints  # (n,) index in PERSONAS

    def __len__(self) -> int:
        """How many customers there are."""
        return len(self.ids)


def members(founders: int, *, day: int) -> int:
    """How many customers there are on a day of a growing bank, `founders` on day 0.

    >>> members(5_000, day=0), members(5_000, day=30), members(5_000, day=365)
    (5000, 5246, 8982)
    """
    return int(founders * GROWTH ** (day / _MONTH))


def joining_days(numbers: Ints, *, founders: int) -> Ints:
    """(n,) the first day on which `members` counts each number; 0 for founders.

    >>> joining_days(np.array([0, 4_999, 5_000, 5_245, 5_246]), founders=5_000).tolist()
    [0, 0, 1, 30, 31]
    """
    latest = int(numbers.max(initial=0))
    days = int(max(0.0, _MONTH * np.log((latest + 2) / founders) / np.log(GROWTH))) + 2
    sizes = np.array([members(founders, day=day) for day in range(days + 1)])
    first: Ints = np.searchsorted(sizes, numbers, side="right")
    return first


def make_customers(
    persona: Ints, *, numbers: Ints, founders: int, hidden: Hidden, seed: int, start: datetime, mix: Mix = USUAL
) -> Customers:
    """What the bank knows of each customer; `persona` and `numbers` are (n,), `start` the first midnight."""
    keys = keys_of(numbers)
    dice, bell = partial(uniforms, seed, day=0, keys=keys), partial(normals, seed, day=0, keys=keys)
    joining = joining_days(numbers, founders=founders)
    met_on = start.toordinal() + joining  # when age and money are as the persona has them
    low, high = np.array([each.ages for each in PERSONAS])[persona].T
    days_old = low * 365.25 + 10.0 + dice(purpose="age") * ((high + 1 - low) * 365.25 - 20.0)
    born = met_on - days_old.astype(np.int64)
    tenure = -500.0 * np.log(dice(purpose="tenure") * dice(purpose="more tenure"))
    tenure = np.clip(tenure, 1.0, np.maximum(days_old - 16 * 365, 30.0)).astype(np.int64)
    income = 100.0 * by_persona("income")[persona] * np.exp(0.28 * bell(purpose="income"))
    spends = by_persona("spends")[persona] + 0.05 * bell(purpose="spends")
    return Customers(
        numbers=numbers,
        ids=tuple(CustomerId(f"c-{number:06d}") for number in numbers.tolist()),
        born_on=born,
        of_age_on=eighteenth_birthdays(born),
        joined_on=np.where(joining > 0, met_on, met_on - tenure),
        income_pence=income.astype(np.int64),
        spend_pence=(income * spends).astype(np.int64),
        payments=by_persona("payments")[persona] * np.exp(0.2 * bell(purpose="payments")),
        payday=choices(dice(purpose="payday"), cumulative=_PAYDAY_SHARES.cumsum()),
        logins=LOGINS * np.exp(LOGIN_SPREAD * bell(purpose="logins")),
        signals=_signals(persona, hidden=hidden, numbers=numbers, seed=seed),
        employment=_employments(persona, luck=dice(purpose="studies")),
        platform=(dice(purpose="platform") < 0.5).astype(np.int64),
        household=make_households(numbers, founders=founders, seed=seed, mix=mix),
        persona=persona,
    )


def eighteenth_birthdays(born_on: Ints) -> Ints:
    """(n,) ordinals; who is born on 29 February comes of age on 1 March.

    >>> from datetime import date
    >>> date.fromordinal(int(eighteenth_birthdays(np.array([date(2008, 2, 29).toordinal()]))[0])).isoformat()
    '2026-03-01'
    """
    days = (born_on - _ORDINAL_OF_1970).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    of_month = days - months.astype("datetime64[D]")
    birthdays = (months + np.timedelta64(18 * 12, "M")).astype("datetime64[D]") + of_month
    ordinals: Ints = birthdays.astype(np.int64) + _ORDINAL_OF_1970
    return ordinals


def _signals(persona: Ints, *, hidden: Hidden, numbers: Ints, seed: int) -> Bools:
    """(n, SIGNALS): what a bank would infer from transactions, noisy where they hang on a trait."""
    keys = keys_of(numbers)
    dice = partial(uniforms, seed, day=0, keys=keys)
    thrift = hidden.theta[:, TRAITS.index("thrift")] + 0.5 * normals(seed, purpose="saver", day=0, keys=keys)
    parent = (persona == FAMILY) & (dice(purpose="parent of a teenager") < 0.35)
    commuter = (dice(purpose="commutes") < 0.35) & ~np.isin(persona, (TEEN, OLDER))
    return np.stack([persona == FAMILY, persona == SOLE, parent, thrift > 0.7, commuter], axis=1)


def _employments(persona: Ints, *, luck: Floats) -> Ints:
    usual = np.array([0, 0, 0, 0, 0, 2, 1, 3])[persona]
    return np.where((persona == 1) & (luck < 0.25), 2, usual)
