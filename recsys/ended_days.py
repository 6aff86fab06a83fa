"""Letting go of a day of the log on PostgreSQL as a table, while appends go on.

What goes with the day and what outlives it is looked for first, and nobody waits for that. Then late reports and keys
go, a page in each transaction, and last the table: the append lock is never held for long. A run that was killed
begins the day anew, and finds what is left of it.

Reports of a day's decisions are looked for in the hundred days after it, read whole: that is as much as such a log
takes in a hundred days, each time a day ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, text

from recsys.database import Database
from recsys.partitions import Partition, attach

_ENDS = "('decision', 'display', 'outcome')"  # kinds that are kept for a time, and not for ever
_REPORTS = "('display', 'outcome')"
_OF = "'decision:' || CASE its.kind WHEN 'outcome' THEN its.text::json ->> 1 ELSE substr(its.key, 9) END"
_REPORTED = timedelta(days=100) // timedelta(microseconds=1)  # reports come so late; later ones go with their own day
_PAGE = 5_000  # rows in a transaction


@dataclass(frozen=True, slots=True)
class _Found:
    first: int  # position
    last: int
    counts: Mapping[str, int]  # kind → events of the day
    staying: Mapping[int, str]  # position → kind
    reported: Sequence[tuple[int, int, str]]  # (position, recorded at, kind) of what was reported on later days


def drop(database: Database, part: Partition, *, over: Collection[str]) -> Mapping[str, int] | None:
    """Let a day go, all of whose decisions have been kept long enough: (kind → how many rows went).

    None where a decision is kept for another term than those that are `over`; nothing is done then. With the day goes
    what was reported of its decisions later. What is kept for ever (permissions, switches), and what was reported of
    older decisions that are still kept, stays in a small partition in its place. Raises `StoreUnavailable` where
    others read for so long that the lock is not had; what is left goes the next time.
    """
    with database.reading() as connection:
        if (found := _looked(connection, part, over=over)) is None:
            return None
    counts = dict(found.counts)
    for kind in found.staying.values():
        counts[kind] -= 1
    for page in _pages(found.reported):
        with database.writing() as connection:
            for kind, n in _reports_gone(connection, page):
                counts[kind] = counts.get(kind, 0) + n
    for first in range(found.first, found.last + 1, _PAGE):
        with database.writing() as connection:
            _keys_gone(connection, first, last=min(first + _PAGE - 1, found.last), staying=found.staying)
    with database.writing() as connection:
        _table_gone(connection, part, staying=found.staying)
    return {kind: n for kind, n in counts.items() if n}


def _looked(connection: Connection, part: Partition, *, over: Collection[str]) -> _Found | None:
    def asked(statement: str, **values: Any) -> Any:
        return connection.execute(text(statement), values)

    first, last = asked(f"SELECT coalesce(min(position), 1), coalesce(max(position), 0) FROM {part.name}").one()
    within = "position BETWEEN :first AND :last AND key LIKE 'decision:%'"
    terms = asked(f"SELECT DISTINCT term FROM event_keys WHERE {within}", first=first, last=last).scalars()
    if not set(terms) <= set(over):
        return None
    counts = {row.kind: row.n for row in asked(f"SELECT kind, count(*) AS n FROM {part.name} GROUP BY kind")}
    staying = asked(f"SELECT position, kind FROM {part.name} WHERE kind NOT IN {_ENDS}").all()
    staying += asked(
        f"WITH late AS MATERIALIZED (SELECT its.position, its.kind, {_OF} AS decided FROM {part.name} its "
        f"LEFT JOIN {part.name} made ON made.kind = 'decision' AND made.key = {_OF} "
        f"WHERE its.kind IN {_REPORTS} AND made.key IS NULL) "
        "SELECT late.position, late.kind FROM late JOIN event_keys its ON its.key = late.decided "
        "WHERE its.position < :first",
        first=first,
    ).all()
    reported = asked(
        f"SELECT its.position, its.recorded_at, 'display' AS kind FROM {part.name} made "
        "JOIN event_keys its ON its.key = 'display:' || substr(made.key, 10) "
        "WHERE made.kind = 'decision' AND its.recorded_at >= :late",
        late=part.until,
    ).all()
    asked("SET enable_nestloop = off")  # one pass over each side, whatever is known of the tables
    try:
        reported += asked(
            # whose outcome it is, before what it is of: that takes the text apart
            "SELECT its.position, its.recorded_at, its.kind FROM (SELECT its.*, made.key AS decided FROM events its "
            f"JOIN {part.name} made ON made.token = its.token AND made.kind = 'decision' "
            "WHERE its.recorded_at >= :late AND its.recorded_at < :until AND its.kind = 'outcome' OFFSET 0) its "
            f"WHERE its.decided = {_OF}",
            late=part.until,
            until=part.until + _REPORTED,
        ).all()
    finally:
        asked("RESET enable_nestloop")
    return _Found(first, last, counts, {row.position: row.kind for row in staying}, [tuple(row) for row in reported])


def _reports_gone(connection: Connection, page: Sequence[tuple[int, int, str]]) -> list[tuple[str, int]]:
    positions, times, _ = map(list, zip(*page, strict=True))
    values = {"positions": positions, "times": times}
    for table in ("event_keys", "quarantine"):
        connection.execute(text(f"DELETE FROM {table} WHERE position = ANY(:positions)"), values)
    gone = connection.execute(
        text("DELETE FROM events WHERE position = ANY(:positions) AND recorded_at = ANY(:times) RETURNING kind"), values
    )
    return [(kind, 1) for kind in gone.scalars()]


def _keys_gone(connection: Connection, first: int, *, last: int, staying: Collection[int]) -> None:
    kept = [position for position in range(first, last + 1) if position in staying]
    values = {"first": first, "last": last, "kept": kept}
    for table in ("event_keys", "quarantine"):
        statement = f"DELETE FROM {table} WHERE position BETWEEN :first AND :last AND position <> ALL(:kept)"
        connection.execute(text(statement), values)


def _table_gone(connection: Connection, part: Partition, *, staying: Collection[int]) -> None:
    def run(statement: str) -> None:
        connection.execute(text(statement), {"kept": list(staying)} if ":kept" in statement else {})

    run("SET LOCAL lock_timeout = '2s'")
    if staying:
        run(f"CREATE TEMPORARY TABLE staying ON COMMIT DROP AS SELECT * FROM {part.name} WHERE position = ANY(:kept)")
    run(f"DROP TABLE {part.name}")
    if staying:
        run(f"CREATE TABLE {part.name} (LIKE events INCLUDING ALL)")
        run(f"INSERT INTO {part.name} SELECT * FROM staying")
        attach(connection, part)


def _pages(rows: Sequence[tuple[int, int, str]]) -> Iterator[Sequence[tuple[int, int, str]]]:
    for start in range(0, len(rows), _PAGE):
        yield rows[start : start + _PAGE]
