"""A synthetic bank's days, lived through a door: in process, or through the real HTTP API.

Time goes by the hour: due outcomes are reported, then the hour's visitors are answered (all at once
through HTTP), then what they do is queued until the bank would know of it. Both doors take in the
same things in the same order; only the transport differs.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from recsys.bank.visits import BankOutcome, Visit
from recsys.bank.world import Bank
from recsys.customers import Told
from recsys.vocabulary import Activity, Floats, ProductId

_BATCH, _SHEETS = 1_000, 400  # outcomes or activities, and customers, in one call: a body holds at most 1 MiB
_AT_ONCE = 32
_HOUR = timedelta(hours=1)


class SetClock(Protocol):
    """Business time that a driver moves."""

    def now(self) -> datetime:
        """Now, in business time."""

    def set(self, at: datetime) -> None:
        """Move to `at`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a visitor was shown."""

    decision_id: str
    mode: str
    experiments: Mapping[str, str]
    product_ids: tuple[ProductId, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """An outcome on its way, naming a decision or (organic) a customer."""

    outcome: BankOutcome
    decision_id: str | None


@dataclass(slots=True)
class Totals:
    """What was sent through a door, and what became of it."""

    decisions: int = 0
    outcomes: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    activities: int = 0


class Door(Protocol):
    """The engine, as a bank's backend sees it."""

    async def tell(self, told: Sequence[Told]) -> None:
        """Facts and permissions."""

    async def record(self, activities: Sequence[Activity]) -> None:
        """Activities."""

    async def ask(self, visits: Sequence[Visit]) -> list[Answer]:
        """A slate for each visitor."""

    async def report(self, reports: Sequence[Report]) -> tuple[int, int, int]:
        """Outcomes; (accepted, duplicates, rejected)."""


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """One hour's visits with what they were shown and, where asked for, the truth about them."""

    visits: Sequence[Visit]
    answers: Sequence[Answer]
    values: Floats | None  # (visits, products) points if seen


@dataclass(slots=True)
class Traffic:
    """A bank, a door and a clock; `days` lives on from wherever the bank stands."""

    bank: Bank
    door: Door
    clock: SetClock
    slots: Mapping[str, int]
    totals: Totals = field(default_factory=Totals)
    tally: Counter[tuple[str, ProductId]] = field(default_factory=Counter)  # (kind, product) → attributed outcomes
    _queue: list[tuple[datetime, int, Report]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _told_all: bool = False

    async def days(self, n: int, *, truth_from: int | None = None) -> AsyncIterator[tuple[int, list[Lived]]]:
        """Live `n` days; yields (days lived, that day's hours). `truth_from` keeps true values from that day on."""
        for number in range(n):
            keep = truth_from is not None and number >= truth_from
            yield number + 1, [hour async for hour in self._day(keep_truth=keep)]

    @property
    def waiting(self) -> int:
        """Outcomes that the bank does not know of yet."""
        return len(self._queue)

    async def _day(self, *, keep_truth: bool) -> AsyncIterator[Lived]:
        day = self.bank.begin_day()
        self.clock.set(day.starts_at)
        await self._tell(day.starts_at, visitors={visit.row for visit in day.visits})
        self._enqueue(Report(outcome, None) for outcome in self.bank.organic())
        by_hour: dict[int, list[Visit]] = {}
        for visit in day.visits:
            by_hour.setdefault(visit.at.hour, []).append(visit)
        for hour in range(24):
            self.clock.set(day.starts_at + hour * _HOUR)
            await self._report_due()
            if visits := by_hour.get(hour):
                yield await self._hour(visits, keep_truth=keep_truth)
        self.clock.set(day.starts_at + timedelta(hours=23, minutes=59, seconds=59))
        activities = [each for each in self.bank.activity() if each.happened_at <= self.clock.now()]
        for start in range(0, len(activities), _BATCH):
            await self.door.record(activities[start : start + _BATCH])
        self.totals.activities += len(activities)

    async def _tell(self, as_of: datetime, *, visitors: set[int]) -> None:
        """Everybody once at the start; then whoever comes today or changed a permission."""
        rows = sorted(visitors | set(self.bank.changed_permissions()))
        if not self._told_all:
            rows, self._told_all = list(range(len(self.bank.customers))), True
        permissions = self.bank.permissions(rows)
        told = [
            Told(customer_id, as_of, facts, permission)
            for (customer_id, facts), permission in zip(self.bank.facts(rows), permissions, strict=True)
            if facts  # who has not joined yet is not a customer
        ]
        for start in range(0, len(told), _SHEETS):
            await self.door.tell(told[start : start + _SHEETS])

    async def _hour(self, visits: Sequence[Visit], *, keep_truth: bool) -> Lived:
        values = self.bank.values(visits) if keep_truth else None
        answers = await self.door.ask(visits)
        self.totals.decisions += len(answers)
        slates = [answer.product_ids for answer in answers]
        self._enqueue(
            Report(outcome, None if outcome.visit_index is None else answers[outcome.visit_index].decision_id)
            for outcome in self.bank.respond(visits, slates)
        )
        return Lived(visits, answers, values)

    def _enqueue(self, reports: Iterable[Report]) -> None:
        for report in reports:
            if report.decision_id is not None:
                self.tally[report.outcome.kind, report.outcome.product_id] += 1
            heapq.heappush(self._queue, (report.outcome.reported_at, next(self._order), report))

    async def _report_due(self) -> None:
        now = self.clock.now()
        due = []
        while self._queue and self._queue[0][0] <= now:
            due.append(heapq.heappop(self._queue)[2])
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            accepted, duplicates, rejected = await self.door.report(batch)
            self.totals.outcomes += len(batch)
            self.totals.accepted += accepted
            self.totals.duplicates += duplicates
            self.totals.rejected += rejected
