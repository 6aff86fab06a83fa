"""Money, one day at a time: the balance and savings of every customer, and what moves them (domain 3.5).

Integer pence. The morning is planned: who has savings tops the account up before it runs short, who has
a surplus two days after payday puts it away. Then the day's transactions happen in the order of the
clock, and what money does not reach is declined. Every penny is in a transaction:

    closing = closing of the day before + sum of the day's `signed` pence

A day is a function of (seed, day, customer number) and of the customer's own past, so a slice of the
customers has the same money as it has in the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.bank import happenings
from recsys.bank.customers import Customers
from recsys.bank.dice import Ints
from recsys.bank.habits import Habits, make_habits, opening_balances, opening_savings
from recsys.bank.hidden import Hidden
from recsys.bank.merchants import SAVINGS
from recsys.bank.rhythms import payday_rush
from recsys.bank.seasons import paydays_around, starts_tax_year
from recsys.bank.shopping import shopped
from recsys.bank.switches import Switches
from recsys.bank.today import Today
from recsys.bank.transactions import (
    DEPOSIT,
    INTO,
    OUT_OF,
    SWEEP,
    TOP_UP,
    Movements,
    Transactions,
    block,
    joined,
    settled,
)
from recsys.vocabulary import Bools, Floats

SWEPT = 0.12  # of income, two days after payday (domain 3.5)
SWEPT_LATER = 0.2  # of what is spare a fortnight after payday
NEEDED, NEEDED_LATER = 0.75, 0.45  # of a month's spending, two days and a fortnight after payday
IDLE, PATIENT = 2, 4  # times what is needed: half of what lies above is put away by sweepers, by others
LEAST_LEFT = 0.5  # of what is needed until payday: below it, spending gives way no further
JOBLESS_SPEND = 0.6  # of what they used to
_NIGHT, _MORNING = 120, 28_800  # seconds after midnight of top-ups and of sweeps
_USUAL = Switches()


@dataclass(slots=True, eq=False)
class Money:
    """The present money of every customer; arrays by customer row, changed by `advance`."""

    habits: Habits
    switches: Switches
    balance: Ints  # (n,) pence, now: at the last midnight, less what was deposited since
    savings: Ints
    isa_subscribed: Ints  # this tax year
    jobless_until: Ints  # (n,) ordinal, 0 when in work
    last_paid: Ints  # (n,) ordinal
    next_payday: Ints  # (n,) ordinal
    deposited: Ints = field(init=False)  # (n,) moved to savings since midnight: tomorrow's first transactions

    def __post_init__(self) -> None:
        self.deposited = np.zeros_like(self.balance)

    def deposit(self, row: int, *, pence: int, counts: bool) -> None:
        """An opened savings product takes money from the current account, as far as it goes.

        `counts` against this year's ISA allowance, where what the account lacks comes from elsewhere.
        """
        moved = min(pence, max(int(self.balance[row]) // 2, 0))
        self.balance[row] -= moved
        self.savings[row] += moved
        self.deposited[row] += moved
        if counts:
            self.isa_subscribed[row] += pence

    def drift(self, customers: Customers, *, hidden: Hidden, seed: int) -> None:
        """Tastes have changed: from tomorrow on, money is spent on other things."""
        self.habits = make_habits(customers, theta=hidden.theta, seed=seed)

    def works(self, today: int) -> Bools:
        """(n,) in work, as far as wages tell."""
        return self.jobless_until < today

    def advance(self, *, customers: Customers, limit: Ints, seed: int, number: int, today: int) -> Movements:
        """Live day `number`, the ordinal `today`; `limit` (n,) is the arranged overdraft in pence."""
        day = Today(seed, number, today)
        if starts_tax_year(today):
            self.isa_subscribed[:] = 0
        last, following = paydays_around(today)
        self.last_paid, self.next_payday = last[customers.payday], following[customers.payday]
        luck = happenings.luck_of(self.habits.chances, numbers=customers.numbers, today=day)
        fired = luck.dismissed[self.works(today)[luck.dismissed]]
        self.jobless_until[fired] = today + happenings.days_without_work(customers, rows=fired, today=day)
        paid = np.flatnonzero((self.last_paid == today) & self.works(today))
        sure = [
            *happenings.wages(customers, rows=paid, today=day),
            self.habits.mandates.due(day, since=today - last),
        ]
        likely = self.balance + _moved(sure, n=len(customers))
        means = np.maximum(likely + self.savings - self.habits.cushion, 0) * 7 // 10
        wanted = [
            happenings.repaired(customers, rows=luck.shocked, means=means[luck.shocked], today=day),
            happenings.bought_big(customers, rows=luck.buying, today=day),
        ]
        likely += _moved(wanted, n=len(customers))
        rush = payday_rush(today - last, switches=self.switches)
        asked = joined(
            [
                self._deposits(),
                self._top_ups(likely),
                self._sweeps(likely, customers=customers, today=today),
                *sure,
                *wanted,
                happenings.traded(customers, rows=luck.trading, today=day),
                happenings.partners(customers, today=day),
                *self._shopped(customers, rush=rush[customers.payday], today=day),
            ]
        )
        if (joins := customers.joined_on > today).any():  # until then their money stands still
            asked = asked.where(~joins[asked.rows])
        return self._settle(asked, floor=-limit - self.habits.grace)

    def _shopped(self, customers: Customers, *, rush: Floats, today: Today) -> list[Transactions]:
        """Card payments, smaller where little is left until payday; `rush` (n,) is that of payday."""
        habits = self.habits
        needed = habits.free * ((self.next_payday - today.ordinal) / happenings.MONTH)
        left = np.clip((self.balance + self.savings) / needed, LEAST_LEFT, 1.0)
        restraint = (1.0 - habits.care * (1.0 - left)) * np.where(self.works(today.ordinal), 1.0, JOBLESS_SPEND)
        return shopped(
            habits.tastes,
            numbers=customers.numbers,
            rates=habits.rate * rush,
            price_pence=habits.price_pence * restraint,
            switches=self.switches,
            today=today,
        )

    def _deposits(self) -> Transactions:
        rows = np.flatnonzero(self.deposited)
        return _to_savings(rows, pence=self.deposited[rows], sequence=DEPOSIT, second=0)

    def _top_ups(self, likely: Ints) -> Transactions:
        """From savings, in tens of pounds, where the account will `likely` hold (n,) less than its cushion tonight."""
        cushion = self.habits.cushion
        rows = np.flatnonzero((likely < cushion) & (self.savings > 0))
        lacks = np.maximum(cushion[rows], 0) + cushion[rows] - likely[rows]
        pence = np.minimum(self.savings[rows], -(-lacks // 1_000) * 1_000)
        return _to_savings(rows, pence=pence, sequence=TOP_UP, second=_NIGHT, direction=INTO)

    def _sweeps(self, likely: Ints, *, customers: Customers, today: int) -> Transactions:
        """Into savings, in pounds: two days after payday a share of income, a fortnight after it of what is spare."""
        habits, since = self.habits, today - self.last_paid
        rows = np.flatnonzero((since == 2) | ((since == 14) & habits.sweeps))
        early, orderly = since[rows] == 2, habits.sweeps[rows]
        needed = customers.spend_pence[rows] * np.where(early, NEEDED * habits.share[rows], NEEDED_LATER)
        spare = np.maximum(likely[rows] - needed, 0.0)
        usual = np.where(early, SWEPT * customers.income_pence[rows] * habits.share[rows], SWEPT_LATER * spare)
        idle = np.maximum(likely[rows] - needed * np.where(orderly, IDLE, PATIENT), 0.0)
        pence = (np.where(orderly, np.minimum(usual, spare), 0.0) + idle / 2).astype(np.int64) // 100 * 100
        some = pence > 0
        return _to_savings(rows[some], pence=pence[some], sequence=SWEEP, second=_MORNING)

    def _settle(self, asked: Transactions, *, floor: Ints) -> Movements:
        done = settled(asked, opening=self.balance + self.deposited, floor=floor)
        own = done.transactions.where(
            (done.transactions.category == SAVINGS) & (done.transactions.sequences != DEPOSIT)
        )
        self.savings -= _moved([own], n=len(self.savings))  # deposits were counted when they were made
        self.balance = done.closing.copy()
        self.deposited[:] = 0
        return done


def make_money(customers: Customers, *, hidden: Hidden, seed: int, today: int, switches: Switches = _USUAL) -> Money:
    """The first morning, the ordinal `today`: opening balances, savings and habits."""
    last, following = (around[customers.payday] for around in paydays_around(today - 1))
    habits = make_habits(customers, theta=hidden.theta, seed=seed)
    return Money(
        habits=habits,
        switches=switches,
        balance=opening_balances(customers, habits=habits, until_payday=following - today, seed=seed),
        savings=opening_savings(customers, seed=seed),
        isa_subscribed=np.zeros(len(customers), dtype=np.int64),
        jobless_until=np.zeros(len(customers), dtype=np.int64),
        last_paid=last,
        next_payday=following,
    )


def low(money: Money, *, customers: Customers) -> Bools:
    """(n,) less than a tenth of a month's income or spending left."""
    return money.balance < np.maximum(customers.income_pence, customers.spend_pence) // 10


def _to_savings(rows: Ints, *, pence: Ints, sequence: int, second: int, direction: int = OUT_OF) -> Transactions:
    """Between these customers' account and savings, at one second for all."""
    seconds = np.full(len(rows), second, dtype=np.int64)
    return block(rows, sequences=sequence, seconds=seconds, pence=pence, category=SAVINGS, direction=direction)


def _moved(blocks: Sequence[Transactions], *, n: int) -> Ints:
    """(n,) pence that undeclined transactions bring to each row."""
    total = np.zeros(n, dtype=np.int64)
    for each in blocks:
        if len(each):
            total += np.bincount(each.rows, weights=each.signed, minlength=n).astype(np.int64)
    return total
