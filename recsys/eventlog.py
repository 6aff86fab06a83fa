"""The event log: append-only, durable before it is answered, read in the order it became visible.

Every event gets a position under the database's append lock; `recorded_at` is business time, made
monotone in position. An event has a unique key, so that appending it again changes nothing (a
duplicate) and appending another body under the same key is refused (a conflict). A decision that
answers a request takes the request's row in its own transaction, so idempotency holds across
workers and restarts; one that carries a reservation is written only while that holds.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, String, and_, bindparam, delete, func, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from recsys import database as db
from recsys import records
from recsys.clocks import Clock
from recsys.contacts import Ledger
from recsys.database import Database
from recsys.entries import Entry, Receipt, Request, Status
from recsys.errors import Corrupt, UnknownDecision
from recsys.partitions import day_of, event_keys, open_day, since
from recsys.prepared import Among, Prepared, among
from recsys.tombstones import buried
from recsys.touches import DAY, KINDS, Memory
from recsys.vocabulary import Decision, Event, Glance, Outcome, PermissionChange, Token

__all__ = ["REQUEST_LIFE", "Entry", "EventLog", "Receipt", "Request", "Status"]

REQUEST_LIFE = timedelta(days=7)
A_QUARTER = Memory.of(dict.fromkeys(KINDS, 90 * DAY))
_PAGE = 2_000
_PLACES = 500  # in one query
_DIGESTS = 50_000


_OF = event_keys.c  # what is known of an event by its key or position

# Statements of the hot path, built once: building one costs more than running it.
_LAST = Prepared(
    select(_OF.position, _OF.recorded_at).where(_OF.position == select(func.max(_OF.position)).scalar_subquery())
)
_LAST_UNTIL = Prepared(
    select(_OF.position, _OF.recorded_at).where(
        _OF.position == select(func.max(_OF.position)).where(_OF.position <= bindparam("until")).scalar_subquery()
    )
)


def _asked_before(n: int) -> Executable:
    table = db.requests
    named = [
        and_(
            table.c.key_name == bindparam(f"key_{i}", type_=String),
            table.c.request_id == bindparam(f"name_{i}", type_=String),
        )
        for i in range(n)
    ]
    return select(table).where(or_(*named))


_ASKED = Among(_asked_before, names=("key", "name"), padding=("", ""))
_KEYS = among(_OF.key, _OF.position, _OF.digest)
_NEW_EVENTS, _NEW_KEYS, _NEW_REQUESTS = (
    Prepared(insert(table), columns=table.c.keys()) for table in (db.events, event_keys, db.requests)
)


class EventLog:
    """The log over one database; safe from several threads and processes.

    It also keeps the contact of customers (recsys/contacts.py), as far back as `memory` says. `archive` is where
    the texts of old decisions lie (recsys/archive.py).
    """

    def __init__(
        self, database: Database, *, clock: Clock, memory: Memory = A_QUARTER, archive: Path | None = None
    ) -> None:
        self._database = database
        self._folder = archive
        self._archive: Any = None  # made when the first archived decision is read: it is heavy
        self._clock = clock
        self._memory = memory
        self._parts: dict[str, Any] = {}  # ref → parsed part, grows with configurations and not with traffic
        self._stored: set[str] = set()

    # -- writing -----------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Append all entries in one transaction; durable on return. Raises `StoreUnavailable`."""
        return self.append_encoded([(entry, records.encode(entry.body)) for entry in entries])

    def append_encoded(self, encoded: Sequence[tuple[Entry, records.Record]]) -> list[Receipt]:
        """`append` for entries whose records were made elsewhere already, perhaps by another process.

        Of such a body only what `recsys/contacts.py` looks at need be there.
        """
        with self._database.writing() as connection:
            receipts = self.append_in(connection, encoded)
        for _, record in encoded:
            if not record.parts.keys() <= self._stored:
                self._stored.update(record.parts)
        return receipts

    def append_in(self, connection: Connection, encoded: Sequence[tuple[Entry, records.Record]]) -> list[Receipt]:
        """Append inside the caller's writing transaction."""
        known = _known_keys(connection, [record.key for _, record in encoded])
        asked = _known_requests(connection, [entry.request for entry, _ in encoded if entry.request])
        position, recorded_at = self._next(connection)
        entries = [entry for entry, _ in encoded]
        ledger = Ledger(connection, entries, now=recorded_at // 1_000_000, memory=self._memory)
        gone = buried(connection, {ledger.owner(entry.body) for entry in entries})
        rows: list[dict[str, Any]] = []
        new_requests: list[dict[str, Any]] = []
        receipts = []
        for entry, record in encoded:
            request = entry.request
            if request is not None and (earlier := asked.get((request.key_name, request.request_id))):
                status = Status.DUPLICATE if earlier[0] == request.digest else Status.CONFLICT
                receipts.append(Receipt(status, 0, earlier[1]))
                continue
            if (found := known.get(record.key)) is not None:
                status = Status.DUPLICATE if found[1] == record.digest else Status.CONFLICT
                receipts.append(Receipt(status, found[0]))
                continue
            if ledger.owner(entry.body) in gone:
                receipts.append(Receipt(Status.STALE if isinstance(entry.body, Decision) else Status.ERASED, 0))
                continue
            if (refusal := ledger.refusal(entry)) is not None:
                receipts.append(Receipt(refusal, 0))
                continue
            ledger.take(entry.body)
            if request is not None and isinstance(entry.body, Decision):
                asked[request.key_name, request.request_id] = (request.digest, entry.body.decision_id)
                new_requests.append(_request_row(request, entry.body.decision_id, recorded_at))
            known[record.key] = (position, record.digest)
            term = getattr(entry.body, "retention", None)
            rows.append(_event_row(record, position=position, recorded_at=recorded_at) | {"term": term})
            receipts.append(Receipt(Status.APPENDED, position))
            position += 1
        self._store_parts(connection, [record for _, record in encoded])
        if rows:
            _NEW_EVENTS.run(connection, rows)
            if self._database.dialect == "postgresql":
                _NEW_KEYS.run(connection, rows)
        if new_requests:
            _NEW_REQUESTS.run(connection, new_requests)
        ledger.write()
        return receipts

    def forget_requests(self) -> int:
        """Drop request ids older than seven days; returns how many."""
        limit = records.micros(self._clock.now() - REQUEST_LIFE)
        with self._database.writing() as connection:
            return connection.execute(delete(db.requests).where(db.requests.c.recorded_at < limit)).rowcount

    # -- reading -----------------------------------------------------------------------------

    def read(self, *, after: int = 0, until: int | None = None, kinds: Sequence[str] = ()) -> Iterator[Event]:
        """Events with positions in (after, until], in order; `until` None reads to the end as it is now."""
        last = self.last_position() if until is None else until
        while after < last:
            page = self.page(after=after, until=last, kinds=kinds)
            if not page:
                return
            yield from page
            after = page[-1].position

    def page(
        self, *, after: int, until: int | None = None, kinds: Sequence[str] = (), limit: int = _PAGE
    ) -> list[Event]:
        """At most `limit` events after a position."""
        table = db.events
        query = select(table).where(table.c.position > after).order_by(table.c.position).limit(limit)
        if until is not None:
            query = query.where(table.c.position <= until)
        if kinds:
            query = query.where(table.c.kind.in_(kinds))
        with self._database.reading() as connection:
            if first := since(connection, after=after):
                query = query.where(table.c.recorded_at >= first)
            rows = connection.execute(query).all()
            return [self._event(row, connection) for row in rows]

    def glance(self, *, after: int = 0) -> Iterator[Glance]:
        """Decisions (only what counting needs) and outcomes after a position, in order, to the end as it is now."""
        table, last = db.events, self.last_position()
        while after < last:
            query = (
                select(table)
                .where(table.c.position > after, table.c.position <= last, table.c.kind.in_(("decision", "outcome")))
                .order_by(table.c.position)
                .limit(_PAGE)
            )
            with self._database.reading() as connection:
                if first := since(connection, after=after):
                    query = query.where(table.c.recorded_at >= first)
                rows = connection.execute(query).all()
                found = [self._glance(row, connection) for row in rows]
            yield from found
            if not found:
                return
            after = found[-1].position

    def position_before(self, at: datetime) -> int:
        """The last position recorded before a moment, 0 where there is none.

        Later events were never recorded earlier, so halving finds it in about 20 looks among a million.
        """
        moment, found = records.micros(at), 0
        with self._database.reading() as connection:
            low, high = 0, connection.execute(select(func.max(_OF.position))).scalar() or 0
            while low < high:
                middle = (low + high + 1) // 2
                last = _LAST_UNTIL.first(connection, {"until": middle})
                if last is not None and last.recorded_at >= moment:
                    high = last.position - 1
                else:
                    low, found = middle, found if last is None else last.position
        return found

    def recorded_at(self, position: int) -> datetime:
        """When the event at a position was recorded; 1970 where there is none."""
        query = select(_OF.recorded_at).where(_OF.position == position)
        with self._database.reading() as connection:
            return records.moment(connection.execute(query).scalar() or 0)

    def last_position(self) -> int:
        """The greatest position, 0 for an empty log."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(_OF.position))).scalar() or 0

    def digest(self, *, until: int) -> str:
        """Names the log's first `until` events exactly: of every body's digest, in order."""
        table, found, after = db.events, hashlib.sha256(), 0
        while after < until:
            query = (
                select(table.c.position, table.c.digest)
                .where(table.c.position > after, table.c.position <= until)
                .order_by(table.c.position)
                .limit(_DIGESTS)
            )
            with self._database.reading() as connection:
                rows = connection.execute(query).all()
            if not rows:
                break
            found.update("".join(row.digest for row in rows).encode())
            after = rows[-1].position
        return found.hexdigest()[:32]

    def counts(self, *, after: int = 0) -> dict[str, int]:
        """Events by kind, after a position."""
        query = select(db.events.c.kind, func.count()).group_by(db.events.c.kind)
        if after:
            query = query.where(db.events.c.position > after)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            return {row[0]: row[1] for row in rows}

    def decision(self, decision_id: str) -> Event:
        """One decision; raises `UnknownDecision`."""
        found = self.decisions([decision_id])
        if not found:
            raise UnknownDecision(decision_id)
        return found[decision_id]

    def decisions(self, decision_ids: Sequence[str]) -> dict[str, Event]:
        """Those of the named decisions that exist."""
        keys = [records.decision_key(each) for each in decision_ids]
        with self._database.reading() as connection:
            found = [self._event(row, connection) for row in self._named(connection, "key", keys)]
        return {event.body.decision_id: event for event in found if isinstance(event.body, Decision)}

    def at(self, positions: Sequence[int]) -> dict[int, Event]:
        """Those events at the named positions that are there, as they stand now."""
        found = dict[int, Event]()
        with self._database.reading() as connection:
            for start in range(0, len(positions), _PLACES):
                for row in self._named(connection, "position", positions[start : start + _PLACES]):
                    found[row.position] = self._event(row, connection)
        return found

    def permissions_of(self, token: Token, *, before: int) -> PermissionChange | None:
        """A customer's last word on permissions before a position, None where there was none."""
        table = db.events
        its = (table.c.token == token) & (table.c.kind == "permissions") & (table.c.position < before)
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(its).order_by(table.c.position.desc()).limit(1)).first()
            body = None if row is None else self._event(row, connection).body
        return body if isinstance(body, PermissionChange) else None

    def sequel(self, decision: Decision) -> list[Event]:
        """What was reported of a decision so far, in order: what was displayed, and its outcomes."""
        table, shown = db.events, records.display_key(decision.decision_id)
        query = select(table).where(table.c.token == decision.token, table.c.kind == "outcome")
        with self._database.reading() as connection:
            rows = [*self._named(connection, "key", [shown]), *connection.execute(query)]
            found = [self._event(row, connection) for row in rows]
        found.sort(key=lambda event: event.position)
        return [event for event in found if getattr(event.body, "decision_id", None) == decision.decision_id]

    def of_person(self, token: str) -> list[Event]:
        """Every event of one customer, in order, with what was displayed of their decisions."""
        with self._database.reading() as connection:
            return self.of_person_in(connection, token)

    def of_person_in(self, connection: Connection, token: str) -> list[Event]:
        """The same inside the caller's transaction."""
        table = db.events
        rows = connection.execute(select(table).where(table.c.token == token).order_by(table.c.position)).all()
        found = [self._event(row, connection) for row in rows]
        keys = [records.display_key(e.body.decision_id) for e in found if isinstance(e.body, Decision)]
        for start in range(0, len(keys), 500):
            shown = self._named(connection, "key", keys[start : start + 500])
            found += [self._event(row, connection) for row in shown]
        return sorted(found, key=lambda event: event.position)

    def asked(self, key_name: str, request_id: str) -> tuple[str, str] | None:
        """(digest, decision id) of an earlier request under this id, None when there was none."""
        table = db.requests
        query = select(table.c.digest, table.c.decision_id).where(
            table.c.key_name == key_name, table.c.request_id == request_id
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row.digest, row.decision_id)

    # -- inside ------------------------------------------------------------------------------

    def _next(self, connection: Connection) -> tuple[int, int]:
        last = _LAST.first(connection, {})
        now = records.micros(self._clock.now())
        if last is None or day_of(now) > day_of(last.recorded_at):
            open_day(connection, day_of(now))
        return (1, now) if last is None else (last.position + 1, max(now, last.recorded_at))

    def _named(self, connection: Connection, column: str, values: Sequence[Any]) -> list[Row[Any]]:
        """Rows by their key or position; each is looked for in its own partition alone."""
        table = db.events
        if self._database.dialect != "postgresql":
            return list(connection.execute(select(table).where(table.c[column].in_(values))))
        places = connection.execute(select(_OF.position, _OF.recorded_at).where(_OF[column].in_(values))).all()
        if not places:
            return []
        positions, times = {row.position for row in places}, {row.recorded_at for row in places}
        query = select(table).where(table.c.position.in_(positions), table.c.recorded_at.in_(times))
        return list(connection.execute(query))

    def _store_parts(self, connection: Connection, encoded: Sequence[records.Record]) -> None:
        some = [record.parts for record in encoded if not record.parts.keys() <= self._stored]  # seldom any
        fresh = {ref: text for parts in some for ref, text in parts.items() if ref not in self._stored}
        if not fresh:
            return
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        rows = [{"ref": ref, "text": text} for ref, text in fresh.items()]
        connection.execute(dialect.insert(db.parts).on_conflict_do_nothing(), rows)

    def text(self, row: Row[Any]) -> str:
        """The text of a row, from the archive where it lies there; raises `Corrupt`."""
        if row.text:
            return str(row.text)
        if self._folder is None:
            raise Corrupt(f"the decision at position {row.position} was archived, and nobody said where to")
        if self._archive is None:
            self._archive = importlib.import_module("recsys.archive").Archive(self._folder)
        try:
            return str(self._archive.text(row.position, digest=row.digest))
        except Corrupt:  # its person may have been forgotten since the row was read: then it stands there again
            query = select(db.events.c.text).where(db.events.c.position == row.position)
            with self._database.reading() as connection:
                if text := connection.execute(query).scalar():
                    return str(text)
            raise

    def _event(self, row: Row[Any], connection: Connection) -> Event:
        lookup = self._lookup(connection)
        body = records.decode(row.kind, self.text(row), token=row.token, schema=row.schema, lookup=lookup)
        return Event(row.position, records.moment(row.recorded_at), body)

    def _glance(self, row: Row[Any], connection: Connection) -> Glance:
        if row.kind == "decision":
            brief = records.exposed(self.text(row), token=row.token, lookup=self._lookup(connection))
            return Glance(row.position, records.moment(row.recorded_at), brief)
        body = self._event(row, connection).body
        assert isinstance(body, Outcome)
        return Glance(row.position, records.moment(row.recorded_at), body)

    def _lookup(self, connection: Connection) -> Callable[[str], Any]:
        def lookup(ref: str) -> Any:
            if ref not in self._parts:
                text = connection.execute(select(db.parts.c.text).where(db.parts.c.ref == ref)).scalar()
                if text is None:
                    raise Corrupt(f"the log names the part {ref}, which is missing")
                self._parts[ref] = records.parsed_part(text)
            return self._parts[ref]

        return lookup


def _known_keys(connection: Connection, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
    return {row.key: (row.position, row.digest) for row in _KEYS.all(connection, [(key,) for key in keys])}


def _known_requests(connection: Connection, asked: Sequence[Request]) -> dict[tuple[str, str], tuple[str, str]]:
    rows = _ASKED.all(connection, [(request.key_name, request.request_id) for request in asked])
    return {(row.key_name, row.request_id): (row.digest, row.decision_id) for row in rows}


def _request_row(request: Request, decision_id: str, recorded_at: int) -> dict[str, Any]:
    return {
        "key_name": request.key_name,
        "request_id": request.request_id,
        "digest": request.digest,
        "decision_id": decision_id,
        "recorded_at": recorded_at,
    }


def _event_row(record: records.Record, *, position: int, recorded_at: int) -> dict[str, Any]:
    return {
        "position": position,
        "kind": record.kind,
        "key": record.key,
        "digest": record.digest,
        "token": record.token,
        "recorded_at": recorded_at,
        "schema": records.SCHEMA,
        "text": record.text,
    }
