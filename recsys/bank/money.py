"""Money, one day at a time: salary, bills, spending by category, sweeps to savings, shocks (domain 3.5).

Integer pence. How often a customer pays by card hangs on the calendar and on who they are, never on
what was shown to them; only amounts give way when the balance is low. So two policies in two copies
of a bank see the same shopping.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, cells, keys_of, normals, poisson, uniforms
from recsys.bank.hidden import Hidden
from recsys.bank.personas import PERSONAS
from recsys.bank.seasons import paydays_around, spending_mood, starts_tax_year
from recsys.bank.truth import TRAITS
from recsys.vocabulary import Bools, Floats

BILLS = 0.45  # of monthly spending: rent and direct debits in the five days after payday
SENSITIVE = frozenset({"gambling", "pharmacy", "clinic", "union", "faith"})
"""Never sent: they would tell of health, belief or addiction (VUL-2)."""


@dataclass(frozen=True, slots=True)
class Category:
    """A merchant category: usual share of payments, relative price, and the traits that raise it."""

    name: str
    share: float
    price: float
    leans: dict[str, float]


# fmt: off
CATEGORIES = (
    Category("groceries", .26, 1.0, {"home": .3}), Category("takeaway", .07, .8, {"social": .4, "thrift": -.7}),
    Category("pub", .05, .9, {"social": 1.1}), Category("restaurant", .06, 1.6, {"social": .9}),
    Category("transport", .09, .4, {}), Category("fuel", .05, 1.9, {"home": .3}),
    Category("clothing", .05, 1.7, {"bargains": .5, "borrowing": .4}),
    Category("discount_store", .05, .6, {"bargains": 1.1}),
    Category("voucher_site", .02, .5, {"bargains": 1.2}), Category("electronics", .02, 4.0, {"tinkering": 1.0}),
    Category("software", .03, .5, {"tinkering": 1.1}), Category("gaming", .03, .7, {"tinkering": .6, "social": .3}),
    Category("brokerage", .015, 3.0, {"risk": 1.3}), Category("crypto", .01, 2.0, {"risk": 1.2}),
    Category("instalments", .02, 1.5, {"borrowing": 1.2}), Category("cash_withdrawal", .03, 2.0, {"borrowing": .7}),
    Category("children", .03, 1.2, {"home": 1.1}), Category("home_and_garden", .04, 2.2, {"home": .9}),
    Category("trade_supplies", .01, 3.0, {"enterprise": 1.3}), Category("coworking", .01, 2.0, {"enterprise": 1.1}),
    Category("charity", .01, .6, {"thrift": .5}), Category("second_hand", .02, .8, {"thrift": 1.0}),
    Category("savings_club", .015, 1.0, {"thrift": 1.2}),
    Category("gambling", .01, 1.0, {}), Category("pharmacy", .02, .5, {}), Category("clinic", .005, 2.0, {}),
    Category("union", .005, .8, {}), Category("faith", .003, .6, {}),
)
# fmt: on
NAMES = tuple(category.name for category in CATEGORIES)
SENT = np.array([name not in SENSITIVE for name in NAMES])
PRICES = np.array([category.price for category in CATEGORIES])


@dataclass(frozen=True, slots=True, eq=False)
class Spent:
    """Today's card spending: customer row, category and pence of each (customer, category) that had any."""

    rows: Ints
    categories: Ints
    pence: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Movements:
    """What moved today, for the activity feed; `salary` and `swept` are (n,) pence."""

    spent: Spent
    salary: Ints
    swept: Ints


@dataclass(slots=True, eq=False)
class Money:
    """The present money of every customer; arrays by customer row, changed by `advance`."""

    mix: Floats  # (n, CATEGORIES) share of payments, shaped by hidden traits
    price_pence: Floats  # (n,) usual pence of a payment in a category of price 1
    balance: Ints  # (n,) pence
    savings: Ints
    isa_subscribed: Ints  # this tax year
    jobless_until: Ints  # (n,) ordinal, 0 when in work
    last_paid: Ints  # (n,) ordinal
    next_payday: Ints  # (n,) ordinal

    def deposit(self, row: int, *, pence: int, counts: bool) -> None:
        """An opened savings product takes money from the current account, as far as it goes."""
        moved = min(pence, max(int(self.balance[row]) // 2, 0))
        self.balance[row] -= moved
        self.savings[row] += moved
        if counts:  # against this year's ISA allowance
            self.isa_subscribed[row] += pence

    def advance(self, *, customers: Customers, limit: Ints, seed: int, number: int, today: int) -> Movements:
        """Live one day; `limit` (n,) is the arranged overdraft in pence."""
        luck = uniforms(seed, purpose="money", day=number, keys=cells(customers.numbers, columns=3)).T
        if starts_tax_year(today):
            self.isa_subscribed[:] = 0
        last, following = paydays_around(today)
        self.last_paid, self.next_payday = last[customers.payday], following[customers.payday]
        since = today - self.last_paid
        loses = (luck[0] < 0.0001) & (self.jobless_until < today)
        self.jobless_until[loses] = today + 30 + (90 * luck[1][loses]).astype(np.int64)
        parts = np.where(customers.payday == 6, 12.0 / 52.0, 1.0)  # the weekly paid get a week's share
        works = self.jobless_until < today
        salary = np.where((since == 0) & works, customers.income_pence * parts, 0.0).astype(np.int64)
        bills = np.where((since >= 1) & (since <= 5), customers.spend_pence * parts * BILLS / 5, 0.0).astype(np.int64)
        spent = self._spend(customers, since=since, seed=seed, number=number, today=today)
        paid = np.bincount(spent.rows, weights=spent.pence, minlength=len(customers)).astype(np.int64)
        self.balance += salary - bills - paid
        swept = self._sweep(customers, since=since, parts=parts)
        self._absorb(shock=luck[2], limit=limit)
        return Movements(spent, salary, swept)

    def _spend(self, customers: Customers, *, since: Ints, seed: int, number: int, today: int) -> Spent:
        after_payday = (1.0 + 0.9 * np.exp(-since / 2.5)) / 1.09
        rate = customers.payments / 30.4 * after_payday * spending_mood(today)
        keys = cells(customers.numbers, columns=len(NAMES))
        luck = uniforms(seed, purpose="payments", day=number, keys=keys)
        counts = poisson(luck.ravel(), rate=(self.mix * rate[:, None]).ravel()).reshape(luck.shape)
        rows, categories = np.nonzero(counts)
        noise = np.exp(0.5 * normals(seed, purpose="prices", day=number, keys=keys[rows, categories]) - 0.125)
        tight = np.where(self.balance < 0, 0.35, np.where(self.balance < customers.income_pence // 10, 0.8, 1.0))
        pence = counts[rows, categories] * PRICES[categories] * noise * (self.price_pence * tight)[rows]
        return Spent(rows, categories, np.maximum(pence, 50).astype(np.int64))

    def _sweep(self, customers: Customers, *, since: Ints, parts: Floats) -> Ints:
        """Two days after payday: 12 % of income where there is a surplus, and half of what lies idle."""
        needed = (0.9 * customers.spend_pence * parts).astype(np.int64)
        spare = np.maximum(self.balance - needed, 0)
        idle = np.maximum(self.balance - 2 * needed, 0) // 2
        wish = np.minimum((0.12 * customers.income_pence * parts).astype(np.int64), spare) + idle
        swept = np.where(since == 2, wish, 0)
        self.balance -= swept
        self.savings += swept
        return swept

    def _absorb(self, *, shock: Floats, limit: Ints) -> None:
        """A broken boiler (2 % a month), then savings cover what is missing, as far as they go."""
        hit = shock < 0.02 / 30.4
        self.balance[hit] -= (60_000 + 190_000 * (shock[hit] / (0.02 / 30.4))).astype(np.int64)
        cover = np.minimum(self.savings, np.maximum(-self.balance, 0))
        self.savings -= cover
        self.balance += cover
        np.maximum(self.balance, -limit - 20_000, out=self.balance)  # beyond that, payments are declined


def make_money(customers: Customers, *, hidden: Hidden, seed: int, today: int) -> Money:
    """The first morning: opening balances where the month stands, and each customer's spending mix."""
    n, keys = len(customers), keys_of(customers.numbers)
    habits = normals(seed, purpose="habits", day=0, keys=cells(customers.numbers, columns=len(NAMES)))
    leans = np.array([[category.leans.get(trait, 0.0) for trait in TRAITS] for category in CATEGORIES])
    usual = np.array([category.share for category in CATEGORIES])
    pull = np.einsum("nt,ct->nc", hidden.theta, leans) + 0.3 * habits
    mix = usual * np.exp(pull)
    mix /= mix.sum(axis=1, keepdims=True)
    price = (1.0 - BILLS) * customers.spend_pence / (customers.payments * (mix * PRICES).sum(axis=1))
    none, median = (np.array([getattr(each, name) for each in PERSONAS])[customers.persona] for name in _OPENING)
    savings = np.where(
        uniforms(seed, purpose="saves", day=0, keys=keys) < none,
        0.0,
        median * 100 * np.exp(1.1 * normals(seed, purpose="savings", day=0, keys=keys)),
    )
    last, following = (around[customers.payday] for around in paydays_around(today - 1))
    month_left = np.clip((following - today) / 31.0, 0.0, 1.0)
    opening = customers.spend_pence * (
        0.6 * month_left + 0.25 * np.abs(normals(seed, purpose="balance", day=0, keys=keys)) - 0.02
    )
    return Money(
        mix=mix,
        price_pence=price,
        balance=np.maximum(opening, -20_000).astype(np.int64),
        savings=savings.astype(np.int64),
        isa_subscribed=np.zeros(n, dtype=np.int64),
        jobless_until=np.zeros(n, dtype=np.int64),
        last_paid=last,
        next_payday=following,
    )


_OPENING = ("no_savings", "savings")


def low(money: Money, *, customers: Customers) -> Bools:
    """(n,) less than a tenth of a month's income or spending left."""
    return money.balance < np.maximum(customers.income_pence, customers.spend_pence) // 10
