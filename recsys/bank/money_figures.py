"""The money of the bank beside public figures: a year lived without anybody being shown anything.

Measured with 2,500 customers from 5 January 2026, nobody with an arranged overdraft, seeds 1, 2, 3:

    card payments a customer and month             37.3    36.9    37.1
    spent a customer and week, £                   465     454     466
    restaurants and hotels, share of spending      .064    .063    .063
    no savings                                     .104    .102    .094
    less than £1,000 saved                         .306    .299    .287
    at least £25,000 saved                         .162    .165    .158
    median savings, £                            4,000   3,760   4,090
    saved a customer and month, mean, median £   212, 99  202, 94  216, 98
    savings deposits a customer and year           12.3    12.1    12.2
    overdrawn in the year                          .184    .191    .184
    usually overdrawn by payday                    .085    .089    .072
    low-balance share of days                      .111    .112    .109

Median savings (5,000 to 6,000), deposits (15.5 a year, of savers) and
low days (.145) lie inside their bands, not on the figure. Spending is not checked against "21 to
43 % of disposable income within a day of payday": the survey is a self-report and disagrees with itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import SupportsFloat

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints
from recsys.bank.figures import Figure
from recsys.bank.happenings import MONTH
from recsys.bank.hidden import Hidden
from recsys.bank.merchants import FIRST_BILL, NAMES, PARTNER, REPAID, SAVINGS
from recsys.bank.money import low, make_money
from recsys.bank.switches import Switches
from recsys.bank.transactions import OUT_OF, Movements, Transactions
from recsys.vocabulary import Bools, Floats

_USUAL = Switches()
_EATING: Ints = np.array([NAMES.index(each) for each in ("restaurant", "pub", "takeaway")])
_HOTELS: Ints = np.array([7011, 7012, 7033, 3501, 3504, 3509, 3640, 3649])


@dataclass(slots=True, eq=False)
class Ledger:
    """What a run adds up: `sums` by name, (n,) each, money in pence."""

    n: int
    days: int = 0
    payments: int = 0
    declined: int = 0
    sums: dict[str, Floats] = field(init=False)

    def __post_init__(self) -> None:
        self.sums = {name: np.zeros(self.n) for name in _COUNTED}

    def add(self, moved: Movements, *, poor: Bools, paid_tomorrow: Bools) -> None:
        """Count one day; `poor` (n,) has a low balance tonight, `paid_tomorrow` (n,) is paid tomorrow."""
        done = moved.transactions
        self.days += 1
        self.payments += int(np.count_nonzero(done.category < FIRST_BILL))
        self.declined += int(np.count_nonzero(done.declined))
        out, shared, own = done.direction == OUT_OF, done.category == REPAID, done.category == SAVINGS
        spending = (out & ~own & (done.category != PARTNER)) | shared
        dining = np.isin(done.category, _EATING) | np.isin(done.mcc, _HOTELS) | shared
        today: dict[str, Floats | Ints | Bools] = {
            "spent": -self._pence(done, spending),
            "eaten": -self._pence(done, spending & dining),
            "saved": -self._pence(done, own & out),
            "drawn": self._pence(done, own & ~out),
            "deposits": np.bincount(done.rows[own & out], minlength=self.n),
            "low": poor,
            "overdrawn": moved.lowest < 0,
            "paydays": paid_tomorrow,
            "overdrawn paydays": paid_tomorrow & (moved.closing < 0),
        }
        for name, sums in self.sums.items():
            sums += today[name]

    def _pence(self, done: Transactions, kept: Bools) -> Floats:
        sums: Floats = np.bincount(done.rows[kept], weights=done.signed[kept], minlength=self.n).astype(np.float64)
        return sums


_COUNTED = ("spent", "eaten", "saved", "drawn", "deposits", "low", "overdrawn", "paydays", "overdrawn paydays")


def money_figures(
    customers: Customers,
    *,
    hidden: Hidden,
    seed: int,
    start: datetime,
    days: int = 365,
    limit: Ints | None = None,
    switches: Switches = _USUAL,
) -> tuple[Figure, ...]:
    """Live `days` days from `start` and compare; `limit` (n,) is everybody's arranged overdraft, none by default."""
    today = start.toordinal()
    money = make_money(customers, hidden=hidden, seed=seed, today=today, switches=switches)
    limit = np.zeros(len(customers), dtype=np.int64) if limit is None else limit
    opening, ledger = money.savings / 100.0, Ledger(len(customers))
    for number in range(days):
        moved = money.advance(customers=customers, limit=limit, seed=seed, number=number, today=today + number)
        tomorrow = money.next_payday == today + number + 1
        ledger.add(moved, poor=low(money, customers=customers), paid_tomorrow=tomorrow)
    return figures_of(ledger, opening=opening)


def figures_of(ledger: Ledger, *, opening: Floats) -> tuple[Figure, ...]:
    """The rows of what was counted; `opening` (n,) pounds saved on the first morning."""
    sums, n, months, weeks = ledger.sums, ledger.n, ledger.days / MONTH, ledger.days / 7.0
    by_payday = sums["overdrawn paydays"] >= np.maximum(sums["paydays"], 1) / 2
    saved = sums["saved"] / 100.0 / months
    eaten = sums["eaten"].sum() / max(sums["spent"].sum(), 1.0)
    rows: dict[str, SupportsFloat] = {
        "card payments a customer and month": ledger.payments / n / months,
        "spent a customer and week, £": sums["spent"].mean() / 100 / weeks,
        "restaurants and hotels, share of spending": eaten,
        "no savings": np.mean(opening < 1),
        "less than £1,000 saved": np.mean(opening < 1_000),
        "at least £25,000 saved": np.mean(opening >= 25_000),
        "median savings, £": np.median(opening),
        "saved a customer and month, mean £": saved.mean(),
        "saved a customer and month, median £": np.median(saved),
        "savings deposits a customer and year": 12 * sums["deposits"].mean() / months,
        "drawn from savings a customer and month, £": sums["drawn"].mean() / 100 / months,
        "overdrawn in the year": np.mean(sums["overdrawn"] > 0),
        "usually overdrawn by payday": np.mean(by_payday),
        "low-balance share of days": sums["low"].mean() / ledger.days,
        "declined share of payments": ledger.declined / max(ledger.payments, 1),
    }
    return tuple(Figure(name, float(value)) for name, value in rows.items())
