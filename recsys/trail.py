"""The trail: who did what to this installation, and when. Appended to, never changed; it names no customer.

Kept apart from the event log, which holds what decisions and learning need: the trail is for whoever
asks afterwards who turned a switch, made a key or read a receipt (MRM-8). Machine time stamps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, insert, select

from recsys import database as db
from recsys.database import Database
from recsys.records import micros, moment

_LONGEST = 200  # of a subject: the start of what was named is enough to find it


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that somebody did: `by` is a key's name or a person at the machine, `status` what came of it."""

    at: datetime
    by: str
    action: str
    subject: str
    status: int  # as HTTP says it; 200 for a command that did its work


class Trail:
    """The trail in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, *, by: str, action: str, subject: str = "", status: int = 200) -> None:
        """Append one line, durable on return. Raises `StoreUnavailable`."""
        at = micros(datetime.now(UTC))
        with self._database.writing() as connection:
            number = (connection.execute(select(func.max(db.trail.c.number))).scalar() or 0) + 1
            row = {"number": number, "at": at, "by": by, "action": action, "subject": _printable(subject)}
            connection.execute(insert(db.trail), row | {"status": status})

    def read(self, *, since: datetime | None = None, by: str = "", limit: int = 1_000) -> Sequence[Trace]:
        """The latest `limit` lines since then, oldest first."""
        table = db.trail
        found = select(table).order_by(table.c.number.desc()).limit(limit)
        if since is not None:
            found = found.where(table.c.at >= micros(since))
        if by:
            found = found.where(table.c.by == by)
        with self._database.reading() as connection:
            rows = list(connection.execute(found))
        return [Trace(moment(row.at), row.by, row.action, row.subject, row.status) for row in reversed(rows)]


def _printable(subject: str) -> str:
    """What a caller's path named, as any database can hold it."""
    return "".join(each if each.isprintable() else "?" for each in subject[:_LONGEST])
