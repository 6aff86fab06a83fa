"""What happens to money now and then: wages, bonuses, trade, partners, big purchases, broken boilers.

Each customer has one number a day for what is rare: it falls on at most one of a shock, a big purchase,
a client's payment and a lost job.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.customers import EMPLOYMENTS, Customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.mandates import bills_share, month_shares
from recsys.bank.merchants import BONUS, NAMES, PARTNER, SALARY, TRADING, merchants_at
from recsys.bank.personas import SOLE, TEEN
from recsys.bank.seasons import PAYDAYS
from recsys.bank.today import Today
from recsys.bank.transactions import (
    BIG,
    BONUS_PAID,
    INTO,
    INVOICE,
    OUT_OF,
    PARTNERED,
    REPAIRED,
    WAGE,
    Transactions,
    block,
)
from recsys.vocabulary import Floats

MONTH = 365.25 / 12.0
SHOCKS, SHOCK_PENCE = 0.02, (60_000, 250_000)  # a month, and from how much to how much
LOSES_JOB = 0.003  # a month
BIG_SHARE, BIG_LEAST, BIG_MEAN = 0.08, 30_000, 55_000  # of what is not bills; pence
TRADED, INVOICES = 0.4, 6.0  # of a sole trader's income comes from clients, in so many payments a month
BONUSES, BONUS_OF_INCOME = 0.15, (0.2, 1.0)  # of employees, in March
PARTNER_TRANSFERS, PARTNER_PENCE = 1.5, 8_000.0  # a month and couple; median
_WORKING = [EMPLOYMENTS.index(each) for each in ("employed", "self_employed")]
_WEEKLY = PAYDAYS.index("friday")
_BIG_ON: Ints = np.array([NAMES.index(each) for each in ("electronics", "home_and_garden", "travel", "clothing")])
_REPAIRS = NAMES.index("home_and_garden")


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """(n,) running chances of a day: shock, then big purchase, client's payment, lost job."""

    shock: Floats
    big: Floats
    trade: Floats
    job: Floats


def make_chances(customers: Customers) -> Chances:
    """How likely each rare thing is for each customer, the same every day."""
    free = (1.0 - bills_share(customers)) * customers.spend_pence
    shock = np.where(customers.persona == TEEN, 0.0, SHOCKS / MONTH)
    big = shock + BIG_SHARE * free / BIG_MEAN / MONTH
    trade = big + np.where(customers.persona == SOLE, INVOICES / MONTH, 0.0)
    works = np.isin(customers.employment, _WORKING)
    return Chances(shock, big, trade, trade + np.where(works, LOSES_JOB / MONTH, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Luck:
    """Who meets what today, by customer row."""

    shocked: Ints
    buying: Ints
    trading: Ints
    dismissed: Ints


def luck_of(chances: Chances, *, numbers: Ints, today: Today) -> Luck:
    """The rare things of today."""
    luck = today.uniforms("happenings", keys=keys_of(numbers))
    some = np.flatnonzero(luck < chances.job)
    luck = luck[some]
    kind = sum((luck >= bound[some]).astype(np.int64) for bound in (chances.shock, chances.big, chances.trade))
    return Luck(*(some[kind == each] for each in range(4)))


def wages(customers: Customers, *, rows: Ints, today: Today) -> list[Transactions]:
    """Today's wages of these customers, and in March for some of them a bonus."""
    share = month_shares(customers)[rows] * np.where(customers.persona[rows] == SOLE, 1.0 - TRADED, 1.0)
    keys = keys_of(customers.numbers[rows])
    seconds = (300 + 3_000 * uniforms(today.seed, purpose="money/wage times", day=0, keys=keys)).astype(np.int64)
    pence = (share * customers.income_pence[rows]).astype(np.int64)
    blocks = [block(rows, sequences=WAGE, seconds=seconds, pence=pence, category=SALARY, direction=INTO)]
    day = today.date
    if day.month == 3:
        employed = (customers.employment[rows] == _WORKING[0]) & ((customers.payday[rows] != _WEEKLY) | (day.day <= 7))
        luck = today.uniforms("bonuses", keys=keys)
        lucky = np.flatnonzero(employed & (luck < BONUSES))
        low, high = BONUS_OF_INCOME
        bonus = (low + (high - low) * luck[lucky] / BONUSES) * customers.income_pence[rows[lucky]]
        blocks.append(
            block(
                rows[lucky],
                sequences=BONUS_PAID,
                seconds=seconds[lucky] + 60,
                pence=bonus.astype(np.int64),
                category=BONUS,
                direction=INTO,
            )
        )
    return blocks


def traded(customers: Customers, *, rows: Ints, today: Today) -> Transactions:
    """A client pays each of these sole traders."""
    keys = keys_of(customers.numbers[rows])
    noise: Floats = np.exp(0.6 * today.normals("invoices", keys=keys) - 0.18)
    pence: Floats = TRADED / INVOICES * customers.income_pence[rows] * noise
    return _in_daytime(
        customers, rows=rows, today=today, sequence=INVOICE, pence=pence, category=TRADING, direction=INTO
    )


def partners(customers: Customers, *, today: Today) -> Transactions:
    """Couples move money to and fro: both sides follow the couple's dice, so that one side alone stays exact."""
    rows = np.flatnonzero(customers.household >= 0)
    pairs = keys_of(customers.numbers[rows] >> 1)
    luck = today.uniforms("partners", keys=pairs)
    chance = PARTNER_TRANSFERS / MONTH
    rows, pairs, luck = rows[luck < chance], pairs[luck < chance], luck[luck < chance] / chance
    gives = (customers.numbers[rows] & 1) == (luck < 0.5)
    pence = PARTNER_PENCE * np.exp(0.7 * today.normals("partners' pence", keys=pairs))
    when = today.uniforms("partners' times", keys=pairs)
    return block(
        rows,
        sequences=PARTNERED,
        seconds=(28_800 + 50_000 * when).astype(np.int64),
        pence=np.maximum(pence, 100.0).astype(np.int64),
        category=PARTNER,
        direction=np.where(gives, OUT_OF, INTO),
    )


def bought_big(customers: Customers, *, rows: Ints, today: Today) -> Transactions:
    """A purchase of more than £300, on something for the house, a device, clothes or a journey."""
    keys = keys_of(customers.numbers[rows])
    luck = today.uniforms("big purchases", keys=keys)
    pence: Floats = BIG_LEAST - (BIG_MEAN - BIG_LEAST) * np.log(luck)
    category = _BIG_ON[(len(_BIG_ON) * today.uniforms("big things", keys=keys)).astype(np.int64)]
    return _in_daytime(customers, rows=rows, today=today, sequence=BIG, pence=pence, category=category)


def repaired(customers: Customers, *, rows: Ints, means: Ints, today: Today) -> Transactions:
    """The boiler breaks: what it costs, or as much of it as lies within `means` (of these rows, pence)."""
    keys = keys_of(customers.numbers[rows])
    low, high = SHOCK_PENCE
    cost = low + (high - low) * today.uniforms("repairs", keys=keys)
    return _in_daytime(
        customers, rows=rows, today=today, sequence=REPAIRED, pence=np.clip(means, 5_000, cost), category=_REPAIRS
    )


def days_without_work(customers: Customers, *, rows: Ints, today: Today) -> Ints:
    """Days until these customers work again: one to four months."""
    luck = today.uniforms("out of work", keys=keys_of(customers.numbers[rows]))
    return (30 + 92 * luck).astype(np.int64)


def _in_daytime(
    customers: Customers,
    *,
    rows: Ints,
    today: Today,
    sequence: int,
    pence: Floats,
    category: Ints | int,
    direction: int = OUT_OF,
) -> Transactions:
    """Transactions at some time from nine to seven, with any merchant of their category."""
    keys = keys_of(customers.numbers[rows])
    when, where = (today.uniforms(f"{sequence} {it}", keys=keys) for it in ("when", "where"))
    return block(
        rows,
        sequences=sequence,
        seconds=(32_400 + 36_000 * when).astype(np.int64),
        pence=pence.astype(np.int64),
        category=category,
        direction=direction,
        merchant=merchants_at(where, categories=category + np.zeros(len(rows), dtype=np.int64)),
    )
