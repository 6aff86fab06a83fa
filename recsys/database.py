"""The one database: SQLite by default (WAL, synchronous FULL), PostgreSQL by URL.

Everything an installation must not lose stands here; only artefacts are files. Writers take one
lock for the length of their transaction (SQLite `BEGIN IMMEDIATE`, a PostgreSQL advisory lock), so
that the order of positions is the order in which commits become visible, and a tail that has read
position n never finds a smaller one later. Times are integer microseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import local
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from recsys import partitions
from recsys.errors import Corrupt, InvalidConfiguration, StoreUnavailable
from recsys.kept import BROKEN, KeptReader, Watchdog, name_of
from recsys.prepared import Prepared

SCHEMA_VERSION = 7  # from 6 on recsys/partitions.py
_STEPS = {  # from a version to the next: a column that a table made since then has already
    1: ("profiles", "told", "BIGINT NOT NULL DEFAULT 0"),
    2: ("quarantine", "state", "VARCHAR(10) NOT NULL DEFAULT 'kept'"),
    3: ("quarantine", "text", "TEXT NOT NULL DEFAULT '{}'"),
    4: ("activities", "told_at", "BIGINT"),
    5: ("promotions", "predicted", "TEXT NOT NULL DEFAULT '{}'"),
}
_APPEND_LOCK = 7_265_637  # any constant: the advisory lock that PostgreSQL writers share

# What is deleted is overwritten with zeros at once: an erasure must not leave its subject in free pages.
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON", "secure_delete=ON")
# Keys are random, so each append touches pages all over its indexes: 64 MiB of cache keeps them at hand, and a
# checkpoint every 16 MiB (not 4) writes each of them less often.
_ROOM = ("cache_size=-65536", "wal_autocheckpoint=4000", "temp_store=MEMORY")

_PATIENCE_SECONDS = 0.01  # for a read of a request in flight, a hundred times what it takes
_REMOTE = {"connect_timeout": 3, "tcp_user_timeout": 5_000, "keepalives_idle": 5}  # a silent network is given up

_big = BigInteger().with_variant(Integer, "sqlite")
metadata = MetaData()

meta = Table("meta", metadata, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False))

tokens = Table(  # the only place where a person and a token meet
    "tokens",
    metadata,
    Column("customer_id", String(128), primary_key=True),
    Column("token", String(32), nullable=False, unique=True),
)
profiles = Table(
    "profiles",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("facts", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("change", _big, nullable=False, index=True),  # grows with every change: what the encoder follows
    Column("told", BigInteger, nullable=False, server_default="0"),  # `change` when facts or permissions last moved
)
contacts = Table(  # what a customer was shown and answered; goes with the customer
    "contacts",
    metadata,
    Column("token", String(32), ForeignKey("tokens.token", ondelete="CASCADE"), primary_key=True),
    Column("text", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
)
suppressions = Table(  # objections that outlive an erasure: a keyed hash, never a customer
    "suppressions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("objected_at", BigInteger, nullable=False),
    Column("sealed", Integer, nullable=False),
)
erasures = Table(  # what was forgotten, where; names a person only until all of it is done
    "erasures",
    metadata,
    Column("erasure_id", String(40), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("customer_id", String(128), nullable=False),
    Column("token", String(32), nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("stores", Text, nullable=False),
)
tombstones = Table(  # hashes of customers and tokens that were forgotten: what comes late about them is turned away
    "tombstones",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)
vectors = Table(
    "vectors",
    metadata,
    Column("token", String(32), primary_key=True),
    Column("bundle", String(32), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("change", _big, nullable=False),
)
activities = Table(
    "activities",
    metadata,
    Column("activity_id", String(128), primary_key=True),
    Column("digest", String(32), nullable=False),
    Column("token", String(32), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(80), nullable=False),
    Column("happened_at", BigInteger, nullable=False),
    Column("amount_pence", BigInteger),
    Column("told_at", BigInteger),  # when we heard of it, null where that was not written down
    Index("activities_by_token", "token", "happened_at"),
)
parts = Table("parts", metadata, Column("ref", String(16), primary_key=True), Column("text", Text, nullable=False))
events = Table(
    "events",
    metadata,
    Column("position", _big, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("key", String(160), nullable=False, unique=True),
    Column("digest", String(32), nullable=False),
    Column("token", String(32), nullable=False, index=True),
    Column("recorded_at", BigInteger, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("text", Text, nullable=False),
)
requests = Table(
    "requests",
    metadata,
    Column("key_name", String(80), primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("digest", String(32), nullable=False),
    Column("decision_id", String(40), nullable=False),
    Column("recorded_at", BigInteger, nullable=False, index=True),
)
quarantine = Table(
    "quarantine",
    metadata,
    Column("key", String(200), primary_key=True),  # a lesson is put aside once, however often it is read
    Column("position", _big, nullable=False),
    Column("recipe", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(10), nullable=False, server_default="kept"),  # kept | released | dropped | passed
    Column("text", Text, nullable=False, server_default="{}"),  # what it is, and who let it go
)
progress = Table(  # how far a process has read, and what it counted on the way
    "progress",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("position", _big, nullable=False),
    Column("text", Text, nullable=False),
)
daily = Table(  # what happened on each day, in sums that add (recsys/daily.py)
    "daily",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970, UTC
    Column("kind", String(12), primary_key=True),
    Column("surface", String(40), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("other", String(128), primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("total", Float, nullable=False),
    Column("squares", Float, nullable=False),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
)
former_keys = Table(  # secrets that a rotation replaced and that still open for a while
    "former_keys",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(80), nullable=False, index=True),
    Column("until", BigInteger, nullable=False),  # machine time
)
trail = Table(  # who did what to this installation
    "trail",
    metadata,
    Column("number", _big, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("by", String(80), nullable=False),
    Column("action", String(80), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("status", Integer, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(80), nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # machine time
)
experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", String(80), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("text", Text, nullable=False),
)
experiment_changes = Table(  # who changed an experiment, when and why; appended to, never changed
    "experiment_changes",
    metadata,
    Column("number", _big, primary_key=True, autoincrement=False),
    Column("experiment_id", String(80), nullable=False, index=True),
    Column("what", String(40), nullable=False),
    Column("by", String(80), nullable=False),
    Column("why", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("link", Text, nullable=False),
)
promotions = Table(
    "promotions",
    metadata,
    Column("number", _big, primary_key=True, autoincrement=False),
    Column("role", String(16), nullable=False),
    Column("recipe", String(64), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("by", String(80), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("predicted", Text, nullable=False, server_default="{}"),  # what the gate expected of it
)
looks = Table(  # at certify splits: each spends some of the error that all may make together
    "looks",
    metadata,
    Column("number", _big, primary_key=True, autoincrement=False),
    Column("question", String(32), nullable=False),
    Column("surface", String(40), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

steering = Table(  # the last word on each switch and override; every word stands in the log
    "steering",
    metadata,
    Column("key", String(260), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("change", _big, nullable=False, index=True),  # grows with every word: what the workers follow
    Column("text", Text, nullable=False),
)


class Database:
    """Two engines over one URL: `reading()` without a transaction, `writing()` under the append lock."""

    def __init__(self, url: str) -> None:
        self.ready = False  # until `create` has looked at the schema
        try:
            self.url = make_url(url)
            self.dialect = self.url.get_backend_name()
            if self.dialect == "postgresql":
                self.url = self.url.set(drivername="postgresql+psycopg")
            elif self.dialect != "sqlite":
                raise InvalidConfiguration(f"the database is SQLite or PostgreSQL; {self.dialect} is neither")
            if self.dialect == "sqlite" and self.url.database:
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            remote: dict[str, Any] = {}
            if self.dialect == "postgresql":
                remote = {"pool_pre_ping": True, "connect_args": _REMOTE}
            self._reader = create_engine(self.url, isolation_level="AUTOCOMMIT", **remote)
            self._writer = create_engine(self.url, **remote)
            self._kept = local()
            self._readers: list[KeptReader] = []
            self._watchdog: Watchdog | None = None
        except SQLAlchemyError as error:
            raise InvalidConfiguration(f"not a database URL ({type(error).__name__})") from None
        if self.dialect == "sqlite":
            event.listen(self._reader, "connect", _prepare_sqlite)
            event.listen(self._writer, "connect", _prepare_sqlite)
            event.listen(self._writer, "begin", _begin_immediate)

    def create(self) -> Database:
        """Make what is missing and check the schema; raises `Corrupt` for a newer one. Returns itself."""
        with self.writing() as connection:
            meta.create(connection, checkfirst=True)
            found = connection.execute(select(meta.c.value).where(meta.c.name == "schema")).scalar()
            if found is None or int(found) <= SCHEMA_VERSION:
                partitions.create(connection)
                metadata.create_all(connection)
                partitions.create_view(connection)
            if found is None:
                connection.execute(insert(meta).values(name="schema", value=str(SCHEMA_VERSION)))
            elif int(found) > SCHEMA_VERSION:
                raise Corrupt(f"the database has schema {found}; this version reads up to {SCHEMA_VERSION}")
            elif int(found) < SCHEMA_VERSION:
                for table, column, kind in (each for version, each in _STEPS.items() if version >= int(found)):
                    if all(each["name"] != column for each in inspect(connection).get_columns(table)):
                        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))
                connection.execute(update(meta).where(meta.c.name == "schema").values(value=str(SCHEMA_VERSION)))
        self.ready = True
        return self

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees every committed write; raises `StoreUnavailable`."""
        try:
            with self._reader.connect() as connection:
                yield connection
        except BROKEN as error:
            raise StoreUnavailable(f"the database cannot be read ({name_of(error)})") from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction under the append lock: all or nothing; raises `StoreUnavailable`."""
        try:
            with self._writer.begin() as connection:
                if self.dialect == "postgresql":
                    connection.execute(text(f"SELECT pg_advisory_xact_lock({_APPEND_LOCK})"))
                yield connection
        except BROKEN as error:
            raise StoreUnavailable(f"the database cannot be written ({name_of(error)})") from error

    def first(self, statement: Prepared, parameters: Mapping[str, Any]) -> Any:
        """One row or None for a request in flight, over a connection that this thread keeps; see recsys/kept.py.

        Raises `StoreUnavailable` within the patience, however the store is. Only for threads that live as long
        as the process (the event loop's), and statements that are built once.
        """
        reader: KeptReader | None = getattr(self._kept, "reader", None)
        if reader is None:
            reader = self._kept.reader = KeptReader(self._impatient)
            self._readers.append(reader)
            if self._watchdog is None and self.dialect == "postgresql":
                self._watchdog = Watchdog(self._readers, patience=2 * _PATIENCE_SECONDS)
        return reader.first(statement, parameters)

    def _impatient(self) -> Connection:
        """A connection whose statements end within the patience."""
        connection = self._reader.connect()
        limit = round(_PATIENCE_SECONDS * 1000)
        said = f"PRAGMA busy_timeout={limit}" if self.dialect == "sqlite" else f"SET statement_timeout={limit}"
        try:
            connection.exec_driver_sql(said)
        except BROKEN:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Let go of every connection."""
        if self._watchdog is not None:
            self._watchdog.close()
        for reader in self._readers:
            reader.close()
        self._reader.dispose()
        self._writer.dispose()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{path}"


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (*_PRAGMAS, *_ROOM):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
