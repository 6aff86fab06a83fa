"""Lessons that were refused: kept with the reason, so that a person can look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select

from recsys import database as db
from recsys.database import Database
from recsys.vocabulary import Lesson


@dataclass(frozen=True, slots=True)
class Refused:
    """One lesson put aside for one recipe."""

    key: str  # recipe, decision, slot and stage
    position: int
    recipe: str
    reason: str


def refused(lesson: Lesson, *, recipe: str, reason: str) -> Refused:
    """A lesson and why it may not teach."""
    key = f"{recipe}:{lesson.decision.decision_id}:{lesson.slot.number}:{lesson.stage}"
    return Refused(key, lesson.position, recipe, reason)


class Quarantine:
    """The table of refused lessons; a lesson stands in it once, however often the log is read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, items: Sequence[Refused]) -> None:
        """Keep what is not yet kept."""
        if not items:
            return
        table = db.quarantine
        with self._database.writing() as connection:
            keys = [item.key for item in items]
            known = set(connection.execute(select(table.c.key).where(table.c.key.in_(keys))).scalars())
            rows = [
                {"key": item.key, "position": item.position, "recipe": item.recipe, "reason": item.reason}
                for item in {item.key: item for item in items}.values()
                if item.key not in known
            ]
            if rows:
                connection.execute(insert(table), rows)

    def all(self, *, limit: int = 1_000) -> list[Refused]:
        """The latest, newest first."""
        table = db.quarantine
        with self._database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.position.desc(), table.c.key).limit(limit))
            return [Refused(row.key, row.position, row.recipe, row.reason) for row in rows]

    def count(self) -> int:
        """How many lessons are put aside."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(db.quarantine)).scalar() or 0
