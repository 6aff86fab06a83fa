"""Moving old decisions out of the database (recsys/archive.py), so that it stays small however long it serves.

Each file is durable before the rows let go of their texts, in one transaction that looks whether the rows, and the
file, are still those that were read: whoever was forgotten meanwhile is not archived. A process that dies leaves a
file that no row counts on, which the next run replaces. `swept` takes out of the files whatever the database holds
otherwise: rows of the forgotten (their texts stand in the database again, scrubbed), rows that were kept long
enough, and what a killed run left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Connection, delete, func, insert, select, text, update

from recsys import archive
from recsys import database as db
from recsys.archive import Segment
from recsys.artefacts import sync_directory
from recsys.database import Database

NAME = "archive"
"""The read mark: nothing up to here is archived again."""

_EACH = 2_000  # decisions a file: some megabytes of text, and milliseconds under the append lock
_TABLE = db.events


@dataclass(slots=True)
class Compacted:
    """What a run came to."""

    decisions: int = 0
    files: int = 0
    text_bytes: int = 0  # what the texts took in the database
    file_bytes: int = 0  # and what they take now


def compact(database: Database, *, folder: Path, until: int, told: Callable[[int], None] = lambda _: None) -> Compacted:
    """Archive the decisions up to a position that are not yet; run again, it goes on. `told` hears positions.

    Raises `StoreUnavailable`, or OSError where the disk refuses; what was done stands.
    """
    done = Compacted()
    swept(database, folder=folder)
    while True:
        with database.reading() as connection:
            rows = _next(connection, until=until)
        if not rows:
            return done
        segment = archive.written(folder, rows)
        if _let_go(database, segment, rows):
            done.decisions += len(rows)
            done.files += 1
            done.text_bytes += sum(len(row["text"].encode()) for row in rows)
            done.file_bytes += segment.path.stat().st_size
            told(segment.last)
        else:  # somebody was forgotten, or another run was quicker
            swept(database, folder=folder)


def swept(database: Database, *, folder: Path) -> int:
    """Take out of the archive what no row counts on any more; how many files changed. Done again, it does nothing."""
    if not folder.is_dir():
        return 0
    archive.tidy(folder)
    return sum(_swept(database, segment) for segment in archive.segments(folder))


def shrink(database: Database) -> None:
    """Give the room that texts left back to the disk. SQLite rewrites its file, and everybody waits meanwhile."""
    with database.reading() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("VACUUM FULL events"))
            return
        connection.execute(text("VACUUM"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def _next(connection: Connection, *, until: int) -> list[dict[str, Any]]:
    marked = select(db.progress.c.position).where(db.progress.c.name == NAME)
    after = connection.execute(marked).scalar() or 0
    query = select(_TABLE).where(_TABLE.c.kind == "decision", _TABLE.c.text != "")
    query = query.where(_TABLE.c.position > after, _TABLE.c.position <= until).order_by(_TABLE.c.position)
    return [dict(row._mapping) for row in connection.execute(query.limit(_EACH))]


def _let_go(database: Database, segment: Segment, rows: list[dict[str, Any]]) -> bool:
    """Empty the texts of what a file now holds; False, and nothing done, where rows or file have changed."""
    inode = segment.path.stat().st_ino
    here = (_TABLE.c.kind == "decision") & _TABLE.c.position.between(segment.first, segment.last)
    with database.writing() as connection:
        held = select(_TABLE.c.position, _TABLE.c.digest).where(here, _TABLE.c.text != "")
        now = {row.position: row.digest for row in connection.execute(held)}
        same_file = segment.path.exists() and segment.path.stat().st_ino == inode
        if not same_file or now != {row["position"]: row["digest"] for row in rows}:
            return False
        connection.execute(update(_TABLE).where(here).values(text=""))
        connection.execute(delete(db.progress).where(db.progress.c.name == NAME))
        connection.execute(insert(db.progress).values(name=NAME, position=segment.last, text="{}"))
    return True


def _swept(database: Database, segment: Segment) -> bool:
    here = (_TABLE.c.kind == "decision") & (_TABLE.c.text == "")
    here &= _TABLE.c.position.between(segment.first, segment.last)
    with database.reading() as connection:
        n = connection.execute(select(func.count()).select_from(_TABLE).where(here)).scalar()
    if n == segment.count():
        return False
    with database.writing() as connection:  # nobody forgets, archives or appends meanwhile
        alive = list(connection.execute(select(_TABLE.c.position).where(here)).scalars())
        if not alive:
            segment.path.unlink(missing_ok=True)
            sync_directory(segment.path.parent)
            return True
        rows = segment.rows()
        left = rows.filter(pl.col("position").is_in(alive))
        if left.height < rows.height:
            archive.put(segment.path, left)
    return left.height < rows.height
