"""What happened on each day, in sums that add: who decided, what stood where, which rules refused, what it was worth.

The learner process, which reads the whole log anyway, feeds a `Daily`; pages and notebooks ask the table for a few
hundred rows instead of the log for millions. Sums and read mark are written in one transaction, so that a restart
goes on exactly where it stopped, and what is summed equals a recount of the log up to the mark.

    kind       name      other    n
    decided    recipe    mode     decisions
    slots      recipe    mode     cards drawn
    chance     recipe    mode     cards drawn although another was more likely
    shown      product   recipe   cards
    first      product   recipe   cards in the first slot
    checked    rule               verdicts, one for each product
    refused    rule               verdicts that refused
    alone      rule               verdicts that refused what every other rule allowed
    stage      recipe    stage    cards of which is known whether the stage was reached; total: those that did
    value      recipe    mode     rounds whose windows have closed; total and squares of their points

Rounds and stages count on the day of their decision. Surfaces are told apart except for rules and products.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite

from recsys import database as db
from recsys.database import Database
from recsys.moments import Moments
from recsys.readmarks import ReadMark
from recsys.vocabulary import Decision, Lesson
from recsys.waiting import Closed

NAME = "daily"
PAGES = 20  # full pages of the log between two writings
_EPOCH = date(1970, 1, 1)
_Cell = tuple[int, str, str, str, str]  # day, kind, surface, name, other


@dataclass(frozen=True, slots=True)
class Summed:
    """One row: the sums of a kind and name over some days."""

    day: date
    surface: str
    name: str
    other: str
    sums: Moments

    @property
    def n(self) -> int:
        """How many."""
        return self.sums.n


class Daily:
    """Sums while the log is read. Feed what lies after the mark; what lies before it is passed over."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mark = ReadMark(database, name=NAME)
        self._position, counts = self._mark.read()
        self.open_from = counts.get("open_from", 0)  # a reader begins there, to meet every decision still open
        self._sums: dict[_Cell, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        self._verdicts: dict[tuple[int, tuple[str, ...]], list[Any]] = {}
        self._pages = 0

    def made(self, decision: Decision, *, at: int) -> None:
        """Count a decision that stands in the log at a position."""
        if at <= self._position:
            return
        day, recipe = _day(decision.made_at), decision.policy.partition("@")[0]
        here = (decision.surface, recipe, decision.mode)
        self._add((day, "decided", *here))
        if decision.slots:
            self._add((day, "slots", *here), len(decision.slots))
            if (by_chance := _against_the_odds(decision)) > 0:
                self._add((day, "chance", *here), by_chance)
        for slot in decision.shown:
            self._add((day, "shown", "", slot.product_id, recipe))
            if slot.number == 1:
                self._add((day, "first", "", slot.product_id, recipe))
        verdicts = decision.verdicts
        if verdicts.rules and len(verdicts.products):
            refused = ~verdicts.allowed
            alone = refused[refused.sum(axis=1) == 1]
            sums = self._verdicts.setdefault((day, verdicts.rules), [0, 0, 0])
            sums[0] += len(verdicts.products)
            sums[1] = sums[1] + refused.sum(axis=0)
            sums[2] = sums[2] + alone.sum(axis=0)

    def told(self, lesson: Lesson, *, at: int) -> None:
        """Count a lesson that was told when the event at a position came."""
        if at <= self._position or lesson.slot is None:
            return
        decision, happened = lesson.decision, float(lesson.happened)
        recipe = decision.policy.partition("@")[0]
        self._add((_day(decision.made_at), "stage", decision.surface, recipe, lesson.stage), 1, happened, happened)

    def closed(self, done: Closed, *, at: int) -> None:
        """Count a round that closed when the event at a position came."""
        if at <= self._position:
            return
        points = float(done.rewards.sum())
        self._add((_day(done.made_at), "value", done.surface, done.recipe, done.mode), 1, points, points * points)

    def save(self, position: int, *, open_from: int, full: bool) -> None:
        """Write the sums up to a position; while the log is still read page by full page, only now and then."""
        self._pages += 1
        if position <= self._position or (full and self._pages < PAGES):
            return
        self._pages = 0
        rows = [
            {"day": day, "kind": kind, "surface": surface[:40], "name": name[:128], "other": other[:128],
             "n": int(n), "total": total, "squares": squares}
            for (day, kind, surface, name, other), (n, total, squares) in self._pending()
        ]  # fmt: skip
        table = db.daily
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        added: Any = dialect.insert(table)
        added = added.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: table.c[name] + added.excluded[name] for name in ("n", "total", "squares")},
        )
        with self._database.writing() as connection:
            if rows:
                connection.execute(added, rows)
            self._mark.write_in(connection, position, {"open_from": open_from})
        self._position, self.open_from = position, open_from
        self._sums.clear()
        self._verdicts.clear()

    def _pending(self) -> Iterator[tuple[_Cell, Sequence[float]]]:
        for (day, rules), (checked, refused, alone) in self._verdicts.items():
            for row, rule in enumerate(rules):
                self._add((day, "checked", "", rule, ""), checked)
                if refused[row]:
                    self._add((day, "refused", "", rule, ""), int(refused[row]))
                if alone[row]:
                    self._add((day, "alone", "", rule, ""), int(alone[row]))
        yield from self._sums.items()

    def _add(self, cell: _Cell, n: float = 1, total: float = 0.0, squares: float = 0.0) -> None:
        sums = self._sums[cell]
        sums[0] += n
        sums[1] += total
        sums[2] += squares


def summed_up_to(database: Database) -> int:
    """The position in the log up to which the days are summed."""
    return ReadMark(database, name=NAME).read()[0]


def last_day(database: Database) -> date | None:
    """The last day on which something was decided, None before the first."""
    query = select(func.max(db.daily.c.day)).where(db.daily.c.kind == "decided")
    with database.reading() as connection:
        found = connection.execute(query).scalar()
    return None if found is None else _date(found)


def by_day(
    database: Database, kind: str, *, since: date, by: Sequence[str] = ("name", "other"), among: Sequence[str] = ()
) -> list[Summed]:
    """A kind's sums for each day from `since`, by some of surface, name and other; oldest day first.

    `among` are the names that are asked for, where not all are.
    """
    table = db.daily
    columns = [table.c.day, *(table.c[each] for each in by)]
    query = select(*columns, *_TOTALS).where(table.c.kind == kind, table.c.day >= (since - _EPOCH).days)
    if among:
        query = query.where(table.c.name.in_(among))
    with database.reading() as connection:
        rows = connection.execute(query.group_by(*columns).order_by(*columns)).all()
    return [_summed(_date(row[0]), by, row[1:]) for row in rows]


def over_days(database: Database, kind: str, *, since: date, until: date) -> list[Summed]:
    """A kind's sums by name over the days from `since` to before `until`, the largest first."""
    table = db.daily
    query = (
        select(table.c.name, *_TOTALS)
        .where(table.c.kind == kind, table.c.day >= (since - _EPOCH).days, table.c.day < (until - _EPOCH).days)
        .group_by(table.c.name)
        .order_by(func.sum(table.c.n).desc(), table.c.name)
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [_summed(since, ("name",), row) for row in rows]


_TOTALS = tuple(func.sum(db.daily.c[each]) for each in ("n", "total", "squares"))


def _summed(day: date, by: Sequence[str], row: Sequence[Any]) -> Summed:
    told = dict.fromkeys(("surface", "name", "other"), "") | dict(zip(by, row, strict=False))
    n, total, squares = row[len(by) :]
    return Summed(day, **told, sums=Moments(int(n), float(total), float(squares)))


def _against_the_odds(decision: Decision) -> int:
    """Slots that something else was more likely to fill, given the slots above."""
    if not decision.pmfs.size:
        return 0
    n = min(len(decision.slots), len(decision.pmfs))
    drawn = np.array([slot.propensity for slot in decision.slots[:n]])
    return int((decision.pmfs[:n].max(axis=1) > drawn + 1e-9).sum())


def _day(at: datetime) -> int:
    return (at.astimezone(UTC).date() - _EPOCH).days


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)
