# ruff: noqa: D102
"""ADAPTER: `Bank`'s columnar API over the API of objects, until `Bank` has it itself.

At the merge: delete this file; import `Arrivals`, `Sessions`, `Transactions` and `Outcomes` from the
modules that own them, and `Bank` for `Columnar`. A slice here lives the whole bank and tells of its own
customers; worlds and switches are not handed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.dice import Ints, uniforms
from recsys.bank.money import NAMES, SENT
from recsys.bank.switches import Switches
from recsys.bank.truth import EXAMINATION
from recsys.bank.visits import BankOutcome, Visit
from recsys.bank.world import Bank
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, CustomerId, FactValue, Floats, Permissions, ProductId

SURFACES = tuple(EXAMINATION)
KINDS = ("seen", "tapped", "dismissed", "opened", "opted_out", "funded", "balance_30d", "cancelled_14d", "complained")
DIRECTIONS, SCHEMES = ("in", "out"), ("card", "fps", "dd", "so", "bacs", "internal")
CATEGORIES = (*NAMES, "salary", "savings")
ACTIVITY_KINDS, SUBJECTS = ("spending", "salary", "savings"), (*NAMES, "salary", "sweep")
MERCHANTS: tuple[str, ...] = ()
GROUPS: tuple[str, ...] = ()
WORLDS = ("plain",)


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Who may be shown something today: (v,) rows, surfaces (index in SURFACES), seconds after midnight."""

    rows: Ints
    surfaces: Ints
    seconds: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def on(self, surfaces: Sequence[str]) -> Arrivals:
        """Those on some surfaces."""
        kept = np.isin(self.surfaces, [SURFACES.index(each) for each in surfaces])
        return Arrivals(self.rows[kept], self.surfaces[kept], self.seconds[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Every log-in: (s,) rows, seconds after midnight, and (s, SURFACES) which surfaces it touched."""

    rows: Ints
    seconds: Ints
    surfaces: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """A day: its number from 0, its midnight, who arrives and who logs in."""

    number: int
    starts_at: datetime
    arrivals: Arrivals
    sessions: Sessions


@dataclass(frozen=True, slots=True, eq=False)
class Transactions:
    """Today's movements of money, (t,) each, sorted by (row, seconds); `sequences` tell those of one customer apart."""

    rows: Ints
    sequences: Ints
    seconds: Ints
    pence: Ints
    direction: Ints  # index in DIRECTIONS
    scheme: Ints  # index in SCHEMES
    category: Ints  # index in CATEGORIES
    merchant: Ints  # index in the merchants' names, −1 for none
    mcc: Ints  # 0 where there is no merchant
    salary: Bools
    recurring: Bools
    declined: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Activities:
    """What of today's transactions is told to the engine, (a,) each."""

    rows: Ints
    sequences: Ints
    kinds: Ints  # index in ACTIVITY_KINDS
    subjects: Ints  # index in SUBJECTS
    seconds: Ints
    pence: Ints


def activity_of(moved: Transactions) -> Activities:
    """Wages, spending by category, sweeps to savings; sensitive categories are left out."""
    told = np.flatnonzero(np.append(SENT, [True, True])[moved.category])
    category = moved.category[told]
    kinds = np.maximum(category - len(NAMES) + 1, 0)
    return Activities(moved.rows[told], moved.sequences[told], kinds, category, moved.seconds[told], moved.pence[told])


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What happened: `days`, `surfaces`, `places` name the slot that brought it, −1 where none did."""

    rows: Ints
    columns: Ints
    kinds: Ints  # index in KINDS
    seconds: Floats  # since the bank's first midnight
    pence: Ints  # 0 for none
    days: Ints
    surfaces: Ints
    places: Ints
    arrivals: Ints  # index in the arrivals asked about, or −1
    reported: Floats

    def __len__(self) -> int:
        return len(self.rows)


class Columnar:
    """A slice [first, last) of a bank, in columns."""

    def __init__(self, bank: Bank, *, first: int, last: int) -> None:
        self._bank, self.first, self.last = bank, first, last
        self.seed, self.start, self.truths = bank.seed, bank.start, bank.truths
        self.ids = bank.customers.ids[first:last]
        self._day: Day | None = None

    @classmethod
    def create(
        cls,
        *,
        customers: int,
        seed: int,
        start: datetime,
        catalogue: Sequence[ProductId],
        points: Mapping[ProductId, float] | None = None,
        world: str = "plain",
        switches: Switches | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> Columnar:
        """As `Bank.create`."""
        if world not in WORLDS:
            raise InvalidConfiguration(f"there is no world {world!r}; there are {', '.join(WORLDS)}")
        bank = Bank.create(customers=customers, seed=seed, start=start, catalogue=catalogue, points=points)
        return cls(bank, first=first, last=customers if last is None else last)

    def __len__(self) -> int:
        return self.last - self.first

    def begin_day(self) -> Day:
        day = self._bank.begin_day()
        visits = [visit for visit in day.visits if self.first <= visit.row < self.last]
        rows = np.array([visit.row for visit in visits], dtype=np.int64) - self.first
        surfaces = np.array([SURFACES.index(visit.surface) for visit in visits], dtype=np.int64)
        seconds = np.array([(visit.at - day.starts_at).seconds for visit in visits], dtype=np.int64)
        touched = np.zeros((len(self), len(SURFACES)), dtype=np.bool_)
        touched[rows, surfaces] = True
        opened = np.full(len(self), 86_400)
        np.minimum.at(opened, rows, seconds)
        here = np.flatnonzero(touched.any(axis=1))
        sessions = Sessions(here, opened[here], touched[here])
        self._day = Day(day.number, day.starts_at, Arrivals(rows, surfaces, seconds), sessions)
        return self._day

    def transactions(self) -> Transactions:
        moved = self._bank._lived().movements
        spent, rows = moved.spent, np.arange(len(self._bank.customers))
        number = self._bank._number
        keys = (spent.rows * 100 + spent.categories).astype(np.uint64)
        seconds = (25_200 + 57_600 * uniforms(self.seed, purpose="shopping", day=number, keys=keys)).astype(np.int64)
        parts = [(spent.rows, seconds, spent.pence, 1, 0, spent.categories)]
        for pence, direction, scheme, category, at in (
            (moved.salary, 0, 4, len(NAMES), 5_400),
            (moved.swept, 1, 5, len(NAMES) + 1, 28_800),
        ):
            who = rows[pence > 0]
            parts.append((who, np.full(len(who), at), pence[who], direction, scheme, np.full(len(who), category)))
        columns = [
            np.concatenate([np.broadcast_to(np.asarray(part[place]), part[0].shape) for part in parts])
            for place in range(6)
        ]
        kept = (columns[0] >= self.first) & (columns[0] < self.last)
        order = np.lexsort((columns[1], columns[0]))
        order = order[kept[order]]
        chosen: list[Ints] = [each[order] for each in columns]
        none, salary = np.zeros(len(order), dtype=np.bool_), chosen[5] == len(NAMES)
        rows, merchant = chosen[0] - self.first, np.full(len(order), -1)
        sequences = np.arange(len(order)) - np.searchsorted(rows, rows, side="left")
        return Transactions(
            rows, sequences, chosen[1], chosen[2], chosen[3], chosen[4], chosen[5],
            merchant, merchant + 1, salary, salary, none,
        )  # fmt: skip

    def balances(self) -> tuple[Ints, Ints]:
        closing = self._bank._money.balance[self.first : self.last].copy()
        return closing, closing

    def facts(self, rows: Sequence[int]) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        return self._bank.facts([row + self.first for row in rows])

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        return self._bank.permissions([row + self.first for row in rows])

    def changed_permissions(self) -> list[int]:
        return [row - self.first for row in self._bank.changed_permissions() if self.first <= row < self.last]

    def suited(self, rows: Ints) -> Bools:
        return self._bank.suited((rows + self.first).tolist())

    def examination(self, surface: str) -> Floats:
        return self._bank.examination(surface)

    def values_at(self, arrivals: Arrivals) -> Floats:
        return self._bank.values(self._visits(arrivals))

    def attributed_at(self, arrivals: Arrivals) -> Floats:
        return self.values_at(arrivals)

    def respond_at(self, arrivals: Arrivals, shown: Ints) -> Outcomes:
        ids = self.truths.ids
        slates = [[ids[column] for column in row if column >= 0] for row in shown.tolist()]
        return self._columns(self._bank.respond(self._visits(arrivals), slates))

    def organic_at(self) -> Outcomes:
        return self._columns([each for each in self._bank.organic() if self.first <= each.row < self.last])

    def later(self) -> Outcomes:
        return self._columns([])

    def _visits(self, arrivals: Arrivals) -> list[Visit]:
        day = self._day
        assert day is not None
        return [
            Visit(self.ids[row], row + self.first, SURFACES[surface], day.starts_at + timedelta(seconds=second))
            for row, surface, second in zip(
                arrivals.rows.tolist(), arrivals.surfaces.tolist(), arrivals.seconds.tolist(), strict=True
            )
        ]

    def _columns(self, outcomes: Sequence[BankOutcome]) -> Outcomes:
        column = {product: place for place, product in enumerate(self.truths.ids)}
        whole = [
            (
                each.row - self.first,
                column[each.product_id],
                KINDS.index(each.kind),
                each.amount_pence or 0,
                -1 if each.visit_index is None else SURFACES.index(each.outcome_id.split("-")[3]),
                -1 if each.visit_index is None else int(each.outcome_id.split("-")[4]),
                -1 if each.visit_index is None else each.visit_index,
            )
            for each in outcomes
        ]
        rows, columns, kinds, pence, surfaces, places, arrivals = np.array(whole, dtype=np.int64).reshape(-1, 7).T
        happened = np.array([(each.happened_at - self.start).total_seconds() for each in outcomes])
        reported = np.array([(each.reported_at - self.start).total_seconds() for each in outcomes])
        days = np.full(len(outcomes), self._bank._number)
        return Outcomes(rows, columns, kinds, happened, pence, days, surfaces, places, arrivals, reported)
