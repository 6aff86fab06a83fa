"""Some customers of the bank and their money, lived day by day without anybody being shown anything."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime

import numpy as np

from recsys.bank.customers import Customers, make_customers
from recsys.bank.hidden import Hidden, make_hidden
from recsys.bank.money import Money, make_money
from recsys.bank.personas import make_personas
from recsys.bank.switches import Switches
from recsys.bank.transactions import Movements, Transactions
from recsys.bank.truth import TRUTHS, truths_of

START = datetime(2026, 1, 5, tzinfo=UTC)
FOUNDERS = 400
USUAL = Switches()


def people(
    first: int = 0, last: int = FOUNDERS, *, founders: int = FOUNDERS, seed: int = 1
) -> tuple[Customers, Hidden]:
    numbers = np.arange(first, last)
    persona = make_personas(numbers, founders=founders, seed=seed)
    hidden = make_hidden(persona, numbers=numbers, truths=truths_of(tuple(TRUTHS)), seed=seed)
    customers = make_customers(persona, numbers=numbers, founders=founders, hidden=hidden, seed=seed, start=START)
    return customers, hidden


class Life:
    """Some customers and their money, lived day by day."""

    def __init__(
        self,
        first: int = 0,
        last: int = FOUNDERS,
        *,
        founders: int = FOUNDERS,
        seed: int = 1,
        start: str = "2026-01-05",
        switches: Switches = USUAL,
    ) -> None:
        self.customers, self.hidden = people(first, last, founders=founders, seed=seed)
        self.seed, self.number, self.today = seed, 0, date.fromisoformat(start).toordinal()
        self.money: Money = make_money(
            self.customers, hidden=self.hidden, seed=seed, today=self.today, switches=switches
        )

    def day(self, *, limit: int = 0) -> Movements:
        n = len(self.customers)
        lived = self.money.advance(
            customers=self.customers,
            limit=np.full(n, limit, dtype=np.int64),
            seed=self.seed,
            number=self.number,
            today=self.today,
        )
        self.number, self.today = self.number + 1, self.today + 1
        return lived

    def days(self, n: int) -> list[Transactions]:
        return [self.day().transactions for _ in range(n)]


def told(transactions: Transactions, *, first: int = 0, rows: slice = slice(None)) -> list[bytes]:
    kept = transactions
    if rows != slice(None):
        kept = transactions.where((transactions.rows >= rows.start) & (transactions.rows < rows.stop))
    columns = [kept.rows + first, *(getattr(kept, each.name) for each in fields(kept)[1:])]
    return [column.tobytes() for column in columns]
