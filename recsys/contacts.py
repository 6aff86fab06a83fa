"""The store of contact: one small row a customer, changed by the events that one append brings.

A `Ledger` lives as long as an append: it reads the rows of everybody concerned in one statement,
tells whether a decision may still be written, takes in what each event does, in order, and writes
what changed in one statement. All of it happens under the append lock, so what it read still stands
when the transaction commits. A customer who was deleted has no row, and none is made again.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Connection, String, bindparam, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from recsys import database as db
from recsys import touches
from recsys.entries import Entry, Status
from recsys.partitions import event_keys
from recsys.prepared import Among, Prepared, among
from recsys.records import decision_key
from recsys.touches import Memory
from recsys.vocabulary import NO_CONTACT, Body, Contact, Decision, Display, Outcome, Touch

Claim: TypeAlias = tuple[str, int, int]
"""A token, the profile's number, the contact's version: how a customer stood when a decision was made."""


def _unmoved(n: int) -> Executable:
    """How many of n claims still hold: one row, whatever they are."""
    claims = ", ".join(f"(:token_{i}, :told_{i}, :version_{i})" for i in range(n))
    return text(
        f"SELECT count(*) AS n FROM (VALUES {claims}) AS claim JOIN tokens ON tokens.token = claim.column1 "
        "LEFT JOIN profiles ON profiles.token = tokens.token LEFT JOIN contacts ON contacts.token = tokens.token "
        "WHERE coalesce(profiles.told, 0) = claim.column2 AND coalesce(contacts.version, 0) = claim.column3"
    )


def _standing_of(n: int) -> Executable:
    names = [bindparam(f"token_{i}", type_=String) for i in range(n)]
    return (
        select(db.tokens.c.token, db.profiles.c.told, db.contacts.c.text, db.contacts.c.version)
        .select_from(
            db.tokens.outerjoin(db.profiles, db.profiles.c.token == db.tokens.c.token).outerjoin(
                db.contacts, db.contacts.c.token == db.tokens.c.token
            )
        )
        .where(db.tokens.c.token.in_(names))
    )


_UNMOVED = Among(_unmoved, names=("token", "told", "version"), padding=("", 0, 0))
_STANDING = Among(_standing_of, names=("token",), padding=("",))
_OWNERS = among(event_keys.c.key, event_keys.c.token)


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
        touched = {self.owner(entry.body) for entry in entries if _touching(entry.body)}
        claims = {_claim(entry) for entry in entries if entry.reservation}
        still = {claim for claim in claims if claim[0] not in touched}
        self._unmoved: Set[str] = frozenset()
        if still and sum(each.n for each in _UNMOVED.all(connection, sorted(still))) == len(still):
            self._unmoved = {token for token, _, _ in still}
        concerned = touched | {token for token, _, _ in claims} - self._unmoved
        self._standing = _standing(connection, sorted(concerned - {""}))

    def refusal(self, entry: Entry) -> Status | None:
        """Why a decision may not be written as it was made, None where it may."""
        reservation, decision = entry.reservation, entry.body
        if reservation is None or not isinstance(decision, Decision) or decision.token in self._unmoved:
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


def _claim(entry: Entry) -> Claim:
    assert isinstance(entry.body, Decision)
    assert entry.reservation is not None
    return entry.body.token, entry.reservation.told, entry.reservation.contact


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
    return found | {row.key: row.token for row in _OWNERS.all(connection, [(key,) for key in keys])}


def _standing(connection: Connection, tokens: Sequence[str]) -> dict[str, _Standing]:
    found: dict[str, _Standing] = {}
    for row in _STANDING.all(connection, [(token,) for token in tokens]):
        contact = NO_CONTACT if row.text is None else touches.parsed(row.text, version=row.version)
        found[row.token] = _Standing(row.told or 0, contact)
    return found
