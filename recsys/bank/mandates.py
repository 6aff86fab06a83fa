"""What comes by itself every month: housing and bills after payday, subscriptions on days of their own.

Drawn once for each customer. A year's bills are a list sorted by when they fall due, so a day takes
slices of it and looks at nobody who owes nothing today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from recsys.bank.customers import SIGNALS, Customers
from recsys.bank.dice import Ints, cells, normals, uniforms
from recsys.bank.merchants import BILLS, FIRST_BILL, merchants_at
from recsys.bank.personas import FAMILY, TEEN
from recsys.bank.seasons import PAYDAYS, works
from recsys.bank.today import Today
from recsys.bank.transactions import BILLS_FROM, Transactions, block
from recsys.bank.truth import TRAITS
from recsys.vocabulary import Floats

BILLS_SHARE = 0.45
"""Of monthly spending goes on bills; of a teenager's, who lives at home, TEEN_SHARE."""
TEEN_SHARE = 0.10
_MONTH_DAYS, _OFFSETS = 28, 5
_WEEKLY = PAYDAYS.index("friday")
_HOUSING = [bill.name for bill in BILLS].index("housing")
_CHILDCARE = [bill.name for bill in BILLS].index("childcare")
_HOUSING_LEAST = 0.35  # of what goes on bills
_FOR_TEENS = frozenset({"mobile", "streaming", "music", "gym"})


@dataclass(frozen=True, slots=True, eq=False)
class Mandates:
    """(m,) standing orders and direct debits, sorted by when they fall due.

    `starts` (slots + 1,) bounds each slot: first the days 1 to 28 of a month, then for each kind of payday
    the five days after it.
    """

    rows: Ints
    sequences: Ints
    seconds: Ints
    pence: Ints
    category: Ints
    merchant: Ints
    starts: Ints

    def due(self, today: Today, *, since: Ints) -> Transactions:
        """What falls due today; `since` (kinds,) days since each kind of payday.

        A day of the month that is no working day is collected on the next one.
        """
        slots = [each - 1 for each in _collected(today.ordinal) if each <= _MONTH_DAYS]
        slots += [
            _MONTH_DAYS + kind * _OFFSETS + days - 1
            for kind, days in enumerate(since.tolist())
            if 1 <= days <= _OFFSETS
        ]
        places = [np.arange(self.starts[slot], self.starts[slot + 1]) for slot in slots]
        at = np.concatenate([*places, np.zeros(0, dtype=np.int64)])
        return block(
            self.rows[at],
            sequences=self.sequences[at],
            seconds=self.seconds[at],
            pence=self.pence[at],
            category=self.category[at],
            merchant=self.merchant[at],
        )


def make_mandates(customers: Customers, *, theta: Floats, seed: int) -> Mandates:
    """Everybody's regular payments: those of a customer cost together what goes on bills of what they spend."""
    keys = cells(customers.numbers, columns=len(BILLS))
    luck = uniforms(seed, purpose="money/mandates", day=0, keys=keys)
    has = luck < _chances(customers, theta=theta)
    monthly = np.where(has, _prices(customers, seed=seed), 0.0)
    budget = bills_share(customers) * customers.spend_pence
    monthly[:, _HOUSING] = 0.0
    others = monthly.sum(axis=1)
    lives_alone = customers.persona != TEEN
    room = np.where(lives_alone, (1.0 - _HOUSING_LEAST) * budget, budget)
    monthly *= np.minimum(1.0, room / np.maximum(others, 1.0))[:, None]
    monthly[:, _HOUSING] = np.where(lives_alone, budget - np.minimum(others, room), 0.0)
    rows, bills = np.nonzero(monthly >= 100)
    pence, keys = monthly[rows, bills], keys[rows, bills]
    offset = np.array([bill.offset for bill in BILLS])[bills]
    kind = customers.payday[rows]
    weekly = kind == _WEEKLY
    tied = (offset > 0) & (~weekly | (bills == _HOUSING))  # the weekly paid pay their rent by the week
    pence[tied] *= month_shares(customers)[rows[tied]]
    own = (_MONTH_DAYS * uniforms(seed, purpose="money/mandate days", day=0, keys=keys)).astype(np.int64)
    slot = np.where(tied, _MONTH_DAYS + kind * _OFFSETS + offset - 1, own)
    order = np.argsort(slot, kind="stable")
    where = uniforms(seed, purpose="money/mandate holders", day=0, keys=keys)
    when = uniforms(seed, purpose="money/mandate times", day=0, keys=keys)
    category = FIRST_BILL + bills
    return Mandates(
        rows=rows[order],
        sequences=BILLS_FROM + bills[order],
        seconds=(3_600 + 18_000 * when).astype(np.int64)[order],  # in the night, after wages
        pence=pence.astype(np.int64)[order],
        category=category[order],
        merchant=merchants_at(where, categories=category)[order],
        starts=np.searchsorted(slot[order], np.arange(_MONTH_DAYS + _OFFSETS * len(PAYDAYS) + 1)),
    )


def bills_share(customers: Customers) -> Floats:
    """(n,) of monthly spending that goes on bills."""
    return np.where(customers.persona == TEEN, TEEN_SHARE, BILLS_SHARE)


def month_shares(customers: Customers) -> Floats:
    """(n,) of a month from payday to payday."""
    return np.where(customers.payday == _WEEKLY, 12.0 / 52.0, 1.0)


def _chances(customers: Customers, *, theta: Floats) -> Floats:
    """(n, BILLS) how likely each customer has each bill."""
    have = np.array([bill.have for bill in BILLS])
    leans = np.array([[bill.leans.get(trait, 0.0) for trait in TRAITS] for bill in BILLS])
    pull = np.zeros((len(customers), len(BILLS)))
    for trait in range(len(TRAITS)):  # one by one, so that the last bit does not hang on the number of rows
        pull += theta[:, [trait]] * leans[:, trait]
    chances: Floats = np.minimum(have * np.exp(pull), 1.0)
    teen = np.array([bill.name in _FOR_TEENS for bill in BILLS])
    chances[customers.persona == TEEN] *= teen
    small = (customers.persona == FAMILY) & ~customers.signals[:, SIGNALS.index("parent_of_teen")]
    chances[:, _CHILDCARE] = np.where(small, 0.5, 0.0)
    return chances


def _prices(customers: Customers, *, seed: int) -> Floats:
    """(n, BILLS) pence a month: a home-made median, wider for whoever spends more."""
    keys = cells(customers.numbers, columns=len(BILLS))
    noise = normals(seed, purpose="money/mandate prices", day=0, keys=keys)
    medians = np.array([100.0 * bill.pounds for bill in BILLS])
    spreads = np.array([bill.spread for bill in BILLS])
    means: Floats = np.sqrt(customers.spend_pence / 170_000.0)[:, None]
    return medians * np.where(spreads > 0, means, 1.0) * np.exp(spreads * noise)


def _collected(today: int) -> list[int]:
    """Days of the month whose debits are collected on `today`: none on a day off, else with the days off before it."""
    if not works(today):
        return []
    first = today
    while not works(first - 1):
        first -= 1
    return [date.fromordinal(each).day for each in range(first, today + 1)]
