"""What a bank can see of a visit, as numbers: facts of the customer and what their money is spent on.

ADAPTER: at the merge `visible.Watched`, which has the same three calls, takes the place of `Sight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import numpy as np

from recsys.bank.activity import spending_shares
from recsys.bank.columnar import Columnar
from recsys.bank.customers import SIGNALS
from recsys.bank.dice import Ints
from recsys.bank.money import NAMES
from recsys.vocabulary import FactValue, Floats

_MONEY = 7  # columns about money


class Sight:
    """What has been seen of each customer up to now: it counts payments by category."""

    def __init__(self, bank: Columnar) -> None:
        self._bank = bank
        self._spending = np.zeros((len(bank), len(NAMES)))

    def look(self) -> None:
        """Take in what was done; call once a day, after `begin_day`."""
        moved = self._bank.transactions()
        spent = moved.category < len(NAMES)
        np.add.at(self._spending, (moved.rows[spent], moved.category[spent]), 1.0)

    def of(self, rows: Ints, *, at: datetime) -> Floats:
        """(v, F) a one, money, signals, products held, log shares of spending; nothing hidden."""
        bank = self._bank
        sheets = [sheet for _, sheet in bank.facts(rows.tolist())]
        money = np.array([_money(sheet, today=at.toordinal()) for sheet in sheets]).reshape(len(rows), _MONEY)
        signals = _marks(sheets, fact="signals", names=SIGNALS)
        held = _marks(sheets, fact="held", names=bank.truths.ids)
        return np.hstack([np.ones((len(rows), 1)), money, signals, held, spending_shares(self._spending[rows])])


def _money(sheet: Mapping[str, FactValue], *, today: int) -> list[float]:
    balance, income, spend, savings = (
        _number(sheet[f"{name}_pence"]) for name in ("balance", "monthly_income", "monthly_spend", "savings")
    )
    since = today - date.fromisoformat(str(sheet["last_paid_on"])).toordinal()
    return [
        float(np.log1p(savings / 100_000.0)),
        min(max(balance / spend, -1.0), 2.0),
        float(balance < 0.1 * income),
        float(np.log(income / 200_000.0)),
        spend / income,
        float(np.exp(-since / 2.5)),
        float(_number(sheet["arrears_days"]) > 0),
    ]


def _marks(sheets: list[dict[str, FactValue]], *, fact: str, names: tuple[str, ...]) -> Floats:
    """(v, names) 1 where the fact, a list of texts, holds the name."""
    place = {name: column for column, name in enumerate(names)}
    marks = np.zeros((len(sheets), len(names)))
    for row, sheet in enumerate(sheets):
        value = sheet[fact]
        for name in value if isinstance(value, tuple) else ():
            marks[row, place[name]] = 1.0
    return marks


def _number(value: FactValue) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
