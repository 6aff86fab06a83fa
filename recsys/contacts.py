"""The store of contact: one small row a customer, changed by the events that one append brings.

A `Ledger` lives as long as an append: it reads the rows of everybody concerned in one statement,
tells whether a decision may still be written, takes in what each event does, in order, and writes
what changed in one statement. All of it happens under the append lock, so what it read still stands
when the transaction commits. A customer who was deleted has no row, and none is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from recsys import database as db
from recsys import touches
from recsys.entries import Entry, Status
from recsys.prepared import Prepared
from recsys.records import decision_key
from recsys.touches import Memory
from recsys.vocabulary import NO_CONTACT, Body, Contact, Decision, Display, Outcome, Touch

_PAGE = 500
_STANDING = (
    select(db.tokens.c.token, db.profiles.c.told, db.contacts.c.text, db.contacts.c.version)
    .select_from(
        db.tokens.outerjoin(db.profiles, db.profiles.c.token == db.tokens.c.token).outerjoin(
            db.contacts, db.contacts.c.token == db.tokens.c.token
        )
    )
    .where(db.tokens.c.token.in_(bindparam("tokens", expanding=True)))
)
_OWNERS = select(db.events.c.key, db.events.c.token).where(db.events.c.key.in_(bindparam("keys", expanding=True)))


def _upsert(dialect: Any) -> Prepared:
    statement = dialect.insert(db.contacts)
    changed = {"text": statement.excluded.text, "version": statement.excluded.version}
    return Prepared(
        statement.on_conflict_do_update(index_elements=["token"], set_=changed), columns=db.contacts.c.keys()
    )


_UPSERTS = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}


@dataclass(slots=True)
class _Standing:
    """How things stand with one customer inside the transaction."""

    told: int
    contact: Contact
    moved: bool = False


class Ledger:
    """The contact of everybody whom one append concerns."""

    def __init__(self, connection: Connection, entries: Sequence[Entry], *, now: int, memory: Memory) -> None:
        self._connection = connection
        self._now = now
        self._memory = memory
        self._owners = _owners(connection, [entry.body for entry in entries])
        concerned = {self.owner(entry.body) for entry in entries if entry.reservation or _touching(entry.body)}
        self._standing = _standing(connection, sorted(concerned - {""}))

    def refusal(self, entry: Entry) -> Status | None:
        """Why a decision may not be written as it was made, None where it may."""
        reservation, decision = entry.reservation, entry.body
        if reservation is None or not isinstance(decision, Decision):
            return None
        standing = self._standing.get(decision.token)
        if standing is None or standing.told != reservation.told:
            return Status.STALE
        if standing.contact.version == reservation.contact or reservation.holds(standing.contact, decision=decision):
            return None
        return Status.CAPPED

    def take(self, body: Body) -> None:
        """Remember what an event that was appended does to its customer."""
        if not _touching(body):
            return
        standing = self._standing.get(self.owner(body))
        fresh: list[tuple[str, Touch]] = list(touches.touches_of(body))
        if standing is None or not fresh:
            return
        after = touches.remembered(standing.contact, fresh, now=self._now, memory=self._memory)
        standing.moved |= after is not standing.contact
        standing.contact = after

    def write(self) -> None:
        """Store what changed."""
        rows = [
            {"token": token, "text": touches.written(each.contact), "version": each.contact.version}
            for token, each in self._standing.items()
            if each.moved
        ]
        if rows:
            _UPSERTS[self._connection.dialect.name].run(self._connection, rows)

    def owner(self, body: Body) -> str:
        """Whose event it is, "" where it is nobody's."""
        if isinstance(body, Display):
            return self._owners.get(decision_key(body.decision_id), "")
        return str(getattr(body, "token", ""))


def _touching(body: Body) -> bool:
    """Whether an event may change its customer's contact."""
    match body:
        case Decision():
            return body.surface == touches.PUSH
        case Outcome():
            return body.kind in touches.KINDS
    return isinstance(body, Display)


def _owners(connection: Connection, bodies: Sequence[Body]) -> dict[str, str]:
    """Whose decisions displays name, by the decision's key; those that come in the same append included."""
    keys = sorted({decision_key(body.decision_id) for body in bodies if isinstance(body, Display)})
    found = {decision_key(body.decision_id): str(body.token) for body in bodies if keys and isinstance(body, Decision)}
    for start in range(0, len(keys), _PAGE):
        rows = connection.execute(_OWNERS, {"keys": keys[start : start + _PAGE]})
        found |= {row.key: row.token for row in rows}
    return found


def _standing(connection: Connection, tokens: Sequence[str]) -> dict[str, _Standing]:
    found: dict[str, _Standing] = {}
    for start in range(0, len(tokens), _PAGE):
        for row in connection.execute(_STANDING, {"tokens": tokens[start : start + _PAGE]}):
            contact = NO_CONTACT if row.text is None else touches.parsed(row.text, version=row.version)
            found[row.token] = _Standing(row.told or 0, contact)
    return found
