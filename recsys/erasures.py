"""Forgetting a person in the database (ERS-1): one transaction, and what must follow it until it is done.

Mapping, profile, contact, vectors, activities, request ids and lessons put aside are deleted. The log is
the one thing that is changed and not deleted: a decision keeps what was drawn from what with which
chance, so that its draw still verifies, and loses the facts, the context and the caller's request id; an
outcome keeps what happened to which product and when, and loses the caller's id for it and the money.
Whoever was told the token before finds no person behind it.

An erasure stands in `erasures` with the person's name until every store is done, so that a process that
died goes on where it stopped; then the name goes too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update

from recsys import database as db
from recsys import records
from recsys.clocks import Clock
from recsys.database import Database
from recsys.errors import NotFound
from recsys.eventlog import Entry, EventLog
from recsys.partitions import forget_key
from recsys.records import encode, micros, moment
from recsys.tombstones import Tombstones, bury
from recsys.vocabulary import CustomerId, Erasure, Event, Token

BEGUN, SEALED, DONE = "begun", "sealed", "done"
"""Forgotten in the database; in every file too, and the name is gone; nothing is left on the disk either."""

STORES = (
    "mapping", "profile", "contact", "vectors", "activities", "requests", "quarantine", "log",
    "evidence", "archive", "datasets", "exports", "messages", "mlflow", "files", "disk",
)  # fmt: skip
_NOBODY, _NO_TOKEN = CustomerId(""), Token("")
_PAGE = 500
_OWN = ("profiles", "contacts", "vectors", "activities")
_EXPORT, _MESSAGES = "export:", "messages:"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """One erasure and how far it came. `customer_id` and `token` are empty once every store is done."""

    erasure_id: str
    state: str
    begun_at: datetime
    done_at: datetime | None
    stores: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # what became of each, in words
    customer_id: CustomerId = _NOBODY
    token: Token = _NO_TOKEN


class Erasures:
    """The erasures of one database."""

    def __init__(self, database: Database, *, log: EventLog, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._tombstones = Tombstones(database)

    def begin(
        self, customer_id: CustomerId, *, erasure_id: str, keep: Callable[[Sequence[Event]], str] = lambda _: ""
    ) -> Forgotten:
        """Forget a customer in the database; one that is under way already goes on under its own id.

        `keep` is given everything that the log holds of them, before it is scrubbed, and says what it did. Durable
        on return, and in force for every later request. Raises `StoreUnavailable`.
        """
        name = self._tombstones.name(customer_id)
        with self._database.writing() as connection:
            under_way = connection.execute(
                select(db.erasures).where(db.erasures.c.customer_id == customer_id, db.erasures.c.state == BEGUN)
            ).first()
            if under_way is not None:
                return _forgotten(under_way)
            found = select(db.tokens.c.token).where(db.tokens.c.customer_id == customer_id)
            token = Token(connection.execute(found).scalar() or "")
            now = self._clock.now()
            kept = keep(self._log.of_person_in(connection, token) if token else ())
            stores = _forget(connection, customer_id, token, text_of=self._log.text) | (
                {"evidence": kept} if kept else {}
            )
            if token:
                erasure = Erasure(erasure_id, token, STORES)
                self._log.append_in(connection, [(Entry(erasure), encode(erasure))])
            bury(connection, name=name, token=token, at=now)  # from here on the token takes no event
            row: dict[str, Any] = {"erasure_id": erasure_id, "state": BEGUN, "customer_id": customer_id, "token": token}
            row |= {"begun_at": micros(now), "done_at": None, "stores": json.dumps(stores)}
            connection.execute(insert(db.erasures), [row])
        return Forgotten(erasure_id, BEGUN, now, None, stores, customer_id, token)

    def under_way(self) -> list[Forgotten]:
        """Erasures that are not done, oldest first."""
        query = select(db.erasures).where(db.erasures.c.state != DONE).order_by(db.erasures.c.begun_at)
        with self._database.reading() as connection:
            return [_forgotten(row) for row in connection.execute(query)]

    def get(self, erasure_id: str) -> Forgotten:
        """One erasure; raises `NotFound`."""
        with self._database.reading() as connection:
            row = connection.execute(select(db.erasures).where(db.erasures.c.erasure_id == erasure_id)).first()
        if row is None:
            raise NotFound(f"no erasure is called {erasure_id}")
        return _forgotten(row)

    def seal(self, erasure: Forgotten, *, stores: Mapping[str, str]) -> Forgotten:
        """Note what became of the files, and let the name go."""
        told = {**erasure.stores, **stores}
        self._set(erasure, state=SEALED, customer_id="", token="", stores=json.dumps(told))
        return replace(erasure, state=SEALED, stores=told, customer_id=_NOBODY, token=_NO_TOKEN)

    def finish(self, erasure: Forgotten, *, disk: str) -> Forgotten:
        """Note that nothing is left."""
        now, told = self._clock.now(), {**erasure.stores, "disk": disk}
        self._set(erasure, state=DONE, done_at=micros(now), stores=json.dumps(told))
        return replace(erasure, state=DONE, stores=told, done_at=now)

    def wipe(self, *, whole: bool) -> str:
        """Leave no deleted row on the disk; `whole` rewrites the file. Returns what was done, in words.

        SQLite overwrites what it deletes at once; what remains is the write-ahead log, which is emptied. On
        PostgreSQL the tables are vacuumed.
        """
        with self._database.reading() as connection:
            if self._database.dialect == "postgresql":
                for table in (*_OWN, "tokens", "events", "requests", "quarantine", "erasures"):
                    connection.execute(text(f"VACUUM {table}"))
                return "dead rows were vacuumed; the server's own archives and backups expire by their own rules"
            if whole:
                connection.execute(text("VACUUM"))
            [busy, *_] = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
        if busy:
            return ""
        return "the file was rewritten and the write-ahead log emptied" if whole else "the write-ahead log was emptied"

    def begun(self) -> int:
        """How many erasures there ever were: whoever copies the log looks whether one came meanwhile."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(db.erasures)).scalar() or 0

    def note_export(self, folder: str) -> None:
        """Remember where exports were written to."""
        self._note(_EXPORT, folder)

    def exports(self) -> list[str]:
        """Every folder that exports were written to."""
        return self._noted(_EXPORT)

    def note_messages(self, path: str) -> None:
        """Remember a file that a campaign's messages were written to: it names customers."""
        self._note(_MESSAGES, path)

    def messages(self) -> list[str]:
        """Every file of a campaign's messages."""
        return self._noted(_MESSAGES)

    def _note(self, what: str, path: str) -> None:
        name = what + sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:30]
        with self._database.writing() as connection:
            if connection.execute(select(db.meta.c.name).where(db.meta.c.name == name)).first() is None:
                connection.execute(insert(db.meta), [{"name": name, "value": path}])

    def _noted(self, what: str) -> list[str]:
        query = select(db.meta.c.value).where(db.meta.c.name.like(f"{what}%")).order_by(db.meta.c.value)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def _set(self, erasure: Forgotten, **values: Any) -> None:
        with self._database.writing() as connection:
            connection.execute(
                update(db.erasures).where(db.erasures.c.erasure_id == erasure.erasure_id).values(**values)
            )


def _forget(
    connection: Connection, customer_id: CustomerId, token: Token, *, text_of: Callable[[Any], str]
) -> dict[str, str]:
    """Delete and scrub; what became of each store."""
    if not token:
        return dict.fromkeys((*STORES[:8],), "nothing was held")
    positions, decisions, changed = _scrubbed(connection, token, text_of=text_of)
    told = {"log": f"{changed:,} records keep no person"}
    for table, store in zip(_OWN, ("profile", "contact", "vectors", "activities"), strict=True):
        told[store] = _deleted(connection, table, "token", [token])
    told["mapping"] = _deleted(connection, "tokens", "customer_id", [customer_id])
    told["requests"] = _deleted(connection, "requests", "decision_id", decisions)
    told["quarantine"] = _deleted(connection, "quarantine", "position", positions)
    return {store: told[store] for store in STORES if store in told}


def _deleted(connection: Connection, table: str, column: str, values: Sequence[Any]) -> str:
    where, n = db.metadata.tables[table], 0
    for start in range(0, len(values), _PAGE):
        n += connection.execute(delete(where).where(where.c[column].in_(values[start : start + _PAGE]))).rowcount
    return f"{n:,} {'row' if n == 1 else 'rows'} deleted"


def _scrubbed(
    connection: Connection, token: Token, *, text_of: Callable[[Any], str]
) -> tuple[list[int], list[str], int]:
    """Take the person out of their events: (positions, decision ids, how many records changed).

    What was archived stands in the database again, scrubbed, and goes from the archive next.
    """
    positions: list[int] = []
    decisions: list[str] = []
    changed = 0
    for row in _events_of(connection, token):
        positions.append(row.position)
        if row.kind == "decision":
            decisions.append(row.key.partition(":")[2])
        if (values := records.without_person(row.kind, text_of(row), position=row.position, key=row.key)) is not None:
            here = (db.events.c.position == row.position) & (db.events.c.recorded_at == row.recorded_at)
            connection.execute(update(db.events).where(here).values(**values))
            forget_key(connection, row.key, values)
            changed += 1
    return positions, decisions, changed


def _events_of(connection: Connection, token: Token) -> Iterator[Any]:
    after = 0
    while True:
        query = select(db.events).where(db.events.c.token == token, db.events.c.position > after)
        page = connection.execute(query.order_by(db.events.c.position).limit(_PAGE)).all()
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].position


def _forgotten(row: Any) -> Forgotten:
    done = None if row.done_at is None else moment(row.done_at)
    stores = json.loads(row.stores)
    customer, token = CustomerId(row.customer_id), Token(row.token)
    return Forgotten(row.erasure_id, row.state, moment(row.begun_at), done, stores, customer, token)
