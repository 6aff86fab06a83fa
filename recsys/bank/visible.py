"""What a bank can see of a customer at a visit, as numbers: facts, spending mix, page views; nothing hidden."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from recsys.bank.activity import KINDS, activity_of, spending_shares
from recsys.bank.customers import SIGNALS
from recsys.bank.dice import Ints
from recsys.bank.merchants import NAMES, SENT
from recsys.bank.product import TOPICS
from recsys.bank.world import Bank
from recsys.vocabulary import FactValue, Floats

VIEWS_FADE = 0.93  # a day
MONEY = 8  # money columns, after the leading 1
FACTS = slice(0, 1 + MONEY + len(SIGNALS))
"""The columns of `Watched.of` that are facts; views, spending mix and holdings follow, in this order."""


class Watched:
    """What was seen of every customer up to today; call `look` once a day, after `Bank.begin_day`."""

    def __init__(self, bank: Bank) -> None:
        n = len(bank.customers)
        self._bank = bank
        self._spending = np.zeros((n, len(NAMES)))
        self._views = np.zeros((n, len(TOPICS)))
        self._fresh = np.zeros((n, len(TOPICS)))

    @property
    def fresh(self) -> int:
        """How many page views today had."""
        return int(self._fresh.sum())

    def look(self) -> None:
        """Take in what was done: page views count from tomorrow, as the feed brings them a day late."""
        self._views *= VIEWS_FADE
        self._views += self._fresh
        self._fresh[:] = 0.0
        rows, topics, _ = self._bank.views()
        np.add.at(self._fresh, (rows, topics), 1.0)
        told = activity_of(self._bank.transactions())
        spent = told.kinds == KINDS.index("spending")
        np.add.at(self._spending, (told.rows[spent], told.subjects[spent]), 1.0)

    def of(self, rows: Ints, *, at: datetime) -> Floats:
        """(len(rows), F) what is visible of these customers this morning."""
        sheets = [sheet for _, sheet in self._bank.facts(rows.tolist())]
        money = np.array([_money(sheet, at=at) for sheet in sheets]).reshape(-1, MONEY)
        signals = _marked([_names(sheet["signals"]) for sheet in sheets], SIGNALS)
        held = _marked([_names(sheet["held"]) for sheet in sheets], self._bank.truths.ids)
        views = np.log1p(self._views[rows])
        ones = np.ones((len(rows), 1))
        return np.hstack([ones, money, signals, views, spending_shares(self._spending[rows]), held])


def widened(visible: Floats) -> Floats:
    """(v, F') the columns of `Watched.of`, their squares where they are not marks, and views times money."""
    first = FACTS.stop
    views = visible[:, first : first + len(TOPICS)]
    money = visible[:, 1 : 1 + MONEY]
    shares = visible[:, first + len(TOPICS) : first + len(TOPICS) + int(SENT.sum())]
    crossed = (views[:, :, None] * money[:, None, :4]).reshape(len(visible), -1)
    return np.hstack([visible, money**2, views**2, 0.1 * (shares - shares.mean(axis=0)) ** 2, crossed])


def _money(sheet: dict[str, FactValue], *, at: datetime) -> list[float]:
    balance, income = _number(sheet["balance_pence"]), _number(sheet["monthly_income_pence"])
    spend, savings = _number(sheet["monthly_spend_pence"]), _number(sheet["savings_pence"])
    since = at.toordinal() - date.fromisoformat(str(sheet["last_paid_on"])).toordinal()
    age = (at.toordinal() - date.fromisoformat(str(sheet["date_of_birth"])).toordinal()) / 365.25
    return [
        float(np.log1p(savings / 100_000.0)),
        float(np.clip(balance / max(spend, 1.0), -1.0, 2.0)),
        float(balance < 0.1 * income),
        float(np.exp(-since / 2.5)),
        float(np.log(max(income, 1.0) / 200_000.0)),
        min(spend / max(income, 1.0), 2.0),
        float(_number(sheet["arrears_days"]) > 0),
        (age - 40.0) / 20.0,
    ]


def _marked(listed: Sequence[tuple[str, ...]], names: Sequence[str]) -> Floats:
    """(v, names) 1 where a name is listed."""
    place = {name: column for column, name in enumerate(names)}
    marks = np.zeros((len(listed), len(names)))
    for row, each in enumerate(listed):
        for name in each:
            marks[row, place[name]] = 1.0
    return marks


def _number(value: FactValue) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _names(value: FactValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
