"""The log on PostgreSQL: a partition each UTC day, so that what was kept long enough goes as a table, not row by row.

A unique key cannot span partitions, so keys stand in a table of their own, `event_keys`, which also says on which
day an event lies: whoever knows an event's key or position reads one partition. On SQLite, where the log is one table,
`event_keys` is a view of it, and the same statements serve both.

Thousands of partitions need `max_locks_per_transaction` raised: four times the days kept, divided by `max_connections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, delete, select, text, update

event_keys = Table(
    "event_keys",
    MetaData(),  # made here, not with the other tables
    Column("key", String(160), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("token", String(32), nullable=False),
    Column("term", String(12)),  # PostgreSQL alone: how long a decision is kept, null where that is not known
)
_OURS = ("key", "position", "recorded_at", "digest", "token")
_DAY = timedelta(days=1) // timedelta(microseconds=1)
_FIRST = "events_before"  # the log of an installation that is older than its partitions

_VIEW = f"CREATE VIEW IF NOT EXISTS event_keys AS SELECT {', '.join(_OURS)} FROM events"
_KEYS = (
    "CREATE TABLE IF NOT EXISTS event_keys (key VARCHAR(160) PRIMARY KEY, position BIGINT NOT NULL, "
    "recorded_at BIGINT NOT NULL, digest VARCHAR(32) NOT NULL, token VARCHAR(32) NOT NULL, term VARCHAR(12))",
    "CREATE UNIQUE INDEX IF NOT EXISTS event_keys_by_position ON event_keys (position)",
)
_EVENTS = (
    "CREATE TABLE IF NOT EXISTS events (position BIGINT NOT NULL, kind VARCHAR(16) NOT NULL, "
    "key VARCHAR(160) NOT NULL, digest VARCHAR(32) NOT NULL, token VARCHAR(32) NOT NULL, "
    "recorded_at BIGINT NOT NULL, schema INTEGER NOT NULL, text TEXT NOT NULL, "
    "PRIMARY KEY (position, recorded_at)) PARTITION BY RANGE (recorded_at)",
    "CREATE INDEX IF NOT EXISTS events_by_token ON events (token)",
)
_LISTED = text(
    "SELECT child.relname AS name, pg_get_expr(child.relpartbound, child.oid) AS bound FROM pg_inherits "
    "JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent "
    "WHERE parent.oid = to_regclass('events')"
)


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """What was recorded in [since, until), microseconds since 1970."""

    since: int
    until: int
    name: str


def create(connection: Connection) -> None:
    """Make the log and its keys where they are missing.

    The one table of an older installation becomes a partition, in place: only its keys are copied.
    """
    if connection.dialect.name != "postgresql":
        return
    kind = connection.execute(text("SELECT relkind FROM pg_class WHERE oid = to_regclass('events')")).scalar()
    for statement in _KEYS:
        connection.execute(text(statement))
    if kind in ("r", b"r"):
        _moved(connection)
    else:
        for statement in _EVENTS:
            connection.execute(text(statement))


def create_view(connection: Connection) -> None:
    """`event_keys` of a SQLite log, once there is one."""
    if connection.dialect.name == "sqlite":
        connection.execute(text(_VIEW))


def _moved(connection: Connection) -> None:
    names = ", ".join(_OURS)
    latest = connection.execute(text("SELECT max(recorded_at) FROM events")).scalar()
    for statement in (
        f"INSERT INTO event_keys ({names}) SELECT {names} FROM events",
        f"ALTER TABLE events RENAME TO {_FIRST}",
        f"ALTER TABLE {_FIRST} DROP CONSTRAINT events_pkey, DROP CONSTRAINT events_key_key",
        "ALTER INDEX ix_events_token RENAME TO events_before_by_token",
        *_EVENTS,
    ):
        connection.execute(text(statement))
    if latest is None:
        connection.execute(text(f"DROP TABLE {_FIRST}"))
    else:
        until = (latest // _DAY + 1) * _DAY
        attach(connection, Partition(0, until, _FIRST))


def day_of(recorded_at: int) -> int:
    """The UTC day of a time, since 1970."""
    return recorded_at // _DAY


def open_day(connection: Connection, day: int) -> None:
    """Have a partition for what is recorded on a day. Under the append lock; nobody who reads waits."""
    if connection.dialect.name != "postgresql":
        return
    name = f"events_{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day):%Y%m%d}"
    since, until = day * _DAY, (day + 1) * _DAY
    if any(each.since <= since < each.until for each in partitions(connection)):
        return
    connection.execute(text(f"CREATE TABLE {name} (LIKE events INCLUDING ALL)"))
    attach(connection, Partition(since, until, name))


def attach(connection: Connection, part: Partition) -> None:
    """Make a table of its name the partition of its time."""
    bounds = f"FROM ({part.since or 'MINVALUE'}) TO ({part.until})"
    connection.execute(text(f"ALTER TABLE events ATTACH PARTITION {part.name} FOR VALUES {bounds}"))


def partitions(connection: Connection) -> list[Partition]:
    """Those that there are, oldest first; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    found = []
    for row in connection.execute(_LISTED):
        since, _, until = row.bound.removeprefix("FOR VALUES FROM (").removesuffix(")").partition(") TO (")
        found.append(Partition(0 if since == "MINVALUE" else int(since.strip("'")), int(until.strip("'")), row.name))
    return sorted(found)


def since(connection: Connection, *, after: int) -> int:
    """When the first event after a position was recorded: it spares a query the partitions of earlier days."""
    if connection.dialect.name != "postgresql":
        return 0
    keys = event_keys.c
    query = select(keys.recorded_at).where(keys.position > after).order_by(keys.position).limit(1)
    return connection.execute(query).scalar() or 0


def forget_key(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    """Write beside a key what an erasure wrote into its event."""
    known = {name: value for name, value in values.items() if name in ("key", "digest")}
    if known and connection.dialect.name == "postgresql":
        connection.execute(update(event_keys).where(event_keys.c.key == key).values(**known))


def forget_keys(connection: Connection, positions: Sequence[int]) -> None:
    """Drop the keys of events that went."""
    if connection.dialect.name == "postgresql":
        connection.execute(delete(event_keys).where(event_keys.c.position.in_(positions)))
