"""Read marks: how far a process has read the log, and what it counted on the way.

For people (dashboard, reports); nothing is learned or published by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, select

from recsys import database as db
from recsys.artefacts import canonical
from recsys.database import Database


class ReadMark:
    """The mark of one process."""

    def __init__(self, database: Database, *, name: str) -> None:
        self._database = database
        self._name = name

    def read(self) -> tuple[int, Mapping[str, int]]:
        """(position, counts); (0, {}) before the first."""
        query = select(db.progress).where(db.progress.c.name == self._name)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return (0, {}) if row is None else (row.position, json.loads(row.text))

    def write(self, position: int, counts: Mapping[str, int]) -> None:
        """Move the mark."""
        with self._database.writing() as connection:
            self.write_in(connection, position, counts)

    def write_in(self, connection: Connection, position: int, counts: Mapping[str, int]) -> None:
        """Move the mark inside the caller's writing transaction, with what was counted up to there."""
        table = db.progress
        connection.execute(delete(table).where(table.c.name == self._name))
        connection.execute(insert(table).values(name=self._name, position=position, text=canonical(dict(counts))))
