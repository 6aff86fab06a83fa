"""Who opens the app today, where and when, and what comes back from a visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, generator
from recsys.bank.standing import Standing
from recsys.bank.truth import EXAMINATION
from recsys.vocabulary import CustomerId, ProductId

PAYDAY_RUSH = 1.5  # log-ins on payday and the day after (domain 3.4)
SAVINGS_TAB = (0.04, 0.10)  # share of visitors who also open the savings tab: others, savers
DORMANT = 0.02  # of their former log-ins

_HOURS = np.array([1, 1, 1, 1, 1, 2, 5, 9, 9, 7, 6, 6, 8, 8, 6, 6, 6, 7, 8, 8, 8, 7, 5, 3], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Visit:
    """One customer on one surface; at most one for each customer, day and surface."""

    customer_id: CustomerId
    row: int
    surface: str
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Customers arriving on surfaces on one day, all (v,), sorted by (seconds, row)."""

    rows: Ints
    surfaces: Ints  # index in tuple(EXAMINATION)
    seconds: Ints  # after midnight

    def __len__(self) -> int:
        """How many arrivals there are."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the bank: its number from 0, its midnight, and its visits sorted by time."""

    number: int
    starts_at: datetime
    visits: tuple[Visit, ...]

    @property
    def arrivals(self) -> Arrivals:
        """The visits as columns."""
        surfaces = tuple(EXAMINATION)
        table = [(v.row, surfaces.index(v.surface), int((v.at - self.starts_at).total_seconds())) for v in self.visits]
        return Arrivals(*np.array(table, dtype=np.int64).reshape(-1, 3).T)


@dataclass(frozen=True, slots=True)
class BankOutcome:
    """One thing that happened; the bank tells it at `reported_at`.

    `visit_index` points into the visits given to `respond`, None when it happened without us.
    Kinds: seen, tapped, dismissed, opened, opted_out.
    """

    outcome_id: str
    visit_index: int | None
    customer_id: CustomerId
    row: int
    product_id: ProductId
    kind: str
    happened_at: datetime
    reported_at: datetime
    amount_pence: int | None = None


def visits_of(
    customers: Customers, *, standing: Standing, since_payday: Ints, seed: int, number: int, midnight: datetime
) -> tuple[Visit, ...]:
    """Today's visits, sorted by time; `since_payday` (n,) days."""
    luck = generator(seed, purpose="visits", day=number).random((5, len(customers)))
    rate = customers.logins * np.where(since_payday <= 1, PAYDAY_RUSH, 1.0)
    rate *= np.select([standing.status == 0, standing.status == 1], [1.0, DORMANT], 0.0)
    comes = luck[0] < 1.0 - np.exp(-rate)
    hour = np.searchsorted(np.cumsum(_HOURS) / _HOURS.sum(), luck[1], side="right")
    home = (3_600 * (hour + luck[2])).astype(np.int64)
    saver = customers.signals[:, 3].astype(np.int64)
    on_tab = comes & (luck[3] < np.take(SAVINGS_TAB, saver))
    tab = np.minimum(home + 20 + (600 * luck[4]).astype(np.int64), 86_399)
    surfaces = ("home",) * int(comes.sum()) + ("savings",) * int(on_tab.sum())
    rows = np.concatenate([np.flatnonzero(comes), np.flatnonzero(on_tab)])
    seconds = np.concatenate([home[comes], tab[on_tab]])
    order = np.argsort(seconds, kind="stable").tolist()
    rows_, seconds_ = rows.tolist(), seconds.tolist()
    return tuple(
        Visit(customers.ids[rows_[each]], rows_[each], surfaces[each], midnight + timedelta(seconds=seconds_[each]))
        for each in order
    )
