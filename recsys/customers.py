"""The store of customers: tokens, profiles, activities and vectors.

Facts and permissions carry the time since which they hold, and older never overwrites newer, so a
bank may send them late, twice or out of order. Every change moves a customer up one sequence
(`change`), which is all that the encoder follows. A customer nobody told us about is the strictest
case: no facts, no permissions, never an error.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, insert, null, select

from recsys import activities, profiles, touches
from recsys import database as db
from recsys.activities import Known
from recsys.database import Database
from recsys.eventlog import Entry, EventLog
from recsys.prepared import Prepared
from recsys.profiles import ProfileRow
from recsys.records import encode, micros
from recsys.suppression import Suppressions
from recsys.tombstones import Tombstones, erased_in
from recsys.vocabulary import (
    NO_CONTACT,
    Activity,
    CustomerId,
    FactValue,
    PermissionChange,
    Permissions,
    Profile,
    Token,
    Vector,
)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Told:
    """What a bank tells of one customer: facts and perhaps permissions, as of one time."""

    customer_id: CustomerId
    as_of: datetime
    facts: Mapping[str, FactValue]
    permissions: Permissions | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """A customer whose vector does not yet know the latest change."""

    profile: Profile
    change: int
    subjects: tuple[str, ...]  # the latest activity, oldest first


def random_token() -> str:
    """A new customer token: 96 random bits, unlinkable to the customer's id."""
    return secrets.token_urlsafe(12)


_ALL = select(
    db.tokens,
    db.profiles.c.facts,
    db.profiles.c.permissions,
    db.profiles.c.told,
    db.vectors.c.vector,
    db.vectors.c.bundle,
    db.contacts.c.text.label("contact"),
    db.contacts.c.version,
).select_from(
    db.tokens.outerjoin(db.profiles, db.profiles.c.token == db.tokens.c.token)
    .outerjoin(db.vectors, db.vectors.c.token == db.tokens.c.token)
    .outerjoin(db.contacts, db.contacts.c.token == db.tokens.c.token)
)
_ASIDE = ("vector", "bundle", "contact")  # what an encoder does not ask for
_ONE = Prepared(_ALL.where(db.tokens.c.customer_id == bindparam("customer")))


class Customers:
    """Tokens, profiles, activities and vectors over one database."""

    def __init__(self, database: Database, *, new_token: Callable[[], str] = random_token) -> None:
        self._database = database
        self._new_token = new_token
        self._suppressions = Suppressions(database)
        self._tombstones = Tombstones(database)

    # -- reading -----------------------------------------------------------------------------

    def profile(self, customer_id: CustomerId) -> Profile | None:
        """What is known now, None for a customer nobody told us about."""
        row = self._database.first(_ONE, {"customer": customer_id})
        return None if row is None else _profile(row)

    def profiles(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Profile]:
        """What is known now of those customers somebody told us about: for many at once."""
        found: dict[CustomerId, Profile] = {}
        with self._database.reading() as connection:
            for start in range(0, len(customer_ids), _PAGE):
                query = _ALL.where(db.tokens.c.customer_id.in_(customer_ids[start : start + _PAGE]))
                for row in connection.execute(query):
                    found[CustomerId(row.customer_id)] = _profile(row)
        return found

    def introduce(self, customer_id: CustomerId) -> Profile:
        """Give an unknown customer a token: the strictest case, with no facts and no permissions. Writes."""
        return Profile(customer_id, self.tokens([customer_id])[customer_id])

    def ids(self, *, after: str = "", limit: int = _PAGE) -> list[CustomerId]:
        """Customers' ids in order, after one of them; for whoever goes through all."""
        column = db.tokens.c.customer_id
        with self._database.reading() as connection:
            found = connection.execute(select(column).where(column > after).order_by(column).limit(limit)).scalars()
            return [CustomerId(each) for each in found]

    def count(self) -> int:
        """How many customers there are."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(db.tokens)).scalar() or 0

    def last_change(self) -> int:
        """The greatest number in the sequence of changes, 0 where nothing was told."""
        with self._database.reading() as connection:
            return connection.execute(select(func.max(db.profiles.c.change))).scalar() or 0

    def known_tokens(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
        """Tokens of those customers that have one."""
        with self._database.reading() as connection:
            return _known_tokens(connection, customer_ids)

    def ids_of(self, tokens: Sequence[str]) -> dict[Token, CustomerId]:
        """Who stands behind each of these tokens; nobody behind one of the forgotten."""
        found: dict[Token, CustomerId] = {}
        with self._database.reading() as connection:
            for start in range(0, len(tokens), _PAGE):
                query = select(db.tokens).where(db.tokens.c.token.in_(tokens[start : start + _PAGE]))
                found |= {Token(row.token): CustomerId(row.customer_id) for row in connection.execute(query)}
        return found

    def erased(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, datetime]:
        """When each of those that were forgotten was: what is older about them is turned away (ERS-4)."""
        return self._tombstones.erased(customer_ids) if customer_ids else {}

    def tokens(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
        """Tokens of all these customers, made where missing."""
        known = self.known_tokens(customer_ids) if customer_ids else {}
        if len(known) < len(set(customer_ids)):
            with self._database.writing() as connection:
                known = self._tokens_in(connection, customer_ids)
        return known

    def stale(self, *, after: int, limit: int = _PAGE, history: int = 32) -> list[Stale]:
        """Customers changed after `after`, by change, with at most `history` latest activity subjects."""
        query = (
            select(db.tokens.c.customer_id, db.profiles, *(null().label(name) for name in _ASIDE))
            .join(db.tokens, db.tokens.c.token == db.profiles.c.token)
            .where(db.profiles.c.change > after)
            .order_by(db.profiles.c.change)
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            subjects = activities.latest_subjects(connection, [row.token for row in rows], history=history)
        return [Stale(_profile(row), row.change, subjects.get(row.token, ())) for row in rows]

    def subjects_before(self, tokens: Sequence[str]) -> dict[str, list[Known]]:
        """Every activity of these customers, oldest first, with when we heard of it: for training sets."""
        with self._database.reading() as connection:
            return activities.all_subjects(connection, tokens)

    def activities_of(self, token: Token) -> list[dict[str, object]]:
        """Every activity of one customer, oldest first; `happened_at` in microseconds."""
        with self._database.reading() as connection:
            return activities.of_person(connection, token)

    # -- writing -----------------------------------------------------------------------------

    def tell(self, told: Sequence[Told], *, log: EventLog) -> int:
        """Take in facts and permissions; returns how many customers changed.

        Of two values with the same time the first to come stands. One transaction with the permission
        changes it appends to the log (MKT-2, MKT-4). An objection outlives an erasure (MKT-5); what is older
        than the erasure is turned away (ERS-4).
        """
        names = self._tombstones.names([each.customer_id for each in told])
        objections = self._suppressions.ledger([each.customer_id for each in told if each.permissions is not None])
        with self._database.writing() as connection:
            objections.read(connection)
            erased = erased_in(connection, names)
            told = [each for each in told if each.customer_id not in erased or each.as_of > erased[each.customer_id]]
            tokens = self._tokens_in(connection, [each.customer_id for each in told])
            rows = profiles.read(connection, sorted(set(tokens.values())))
            changed: dict[Token, ProfileRow] = {}
            entries = []
            for each in sorted(told, key=lambda each: each.as_of):
                token, as_of = tokens[each.customer_id], micros(each.as_of)
                before = changed.get(token) or rows.get(token)
                row = (before or profiles.UNTOLD).with_facts(each.facts, as_of=as_of)
                if each.permissions is not None and as_of > row.permitted_at:
                    allowed = objections.allowed(each.customer_id, each.permissions, anew=row.permissions is None)
                    if allowed != row.permissions:
                        change = PermissionChange(token, allowed, each.as_of)
                        entries.append((Entry(change), encode(change)))
                    row = replace(row, permissions=allowed, permitted_at=as_of)
                if row != before:
                    changed[token] = row
            if entries:
                log.append_in(connection, entries)
            profiles.write(connection, changed, existing=rows.keys())
            objections.write(connection)
            return len(changed)

    def add_activities(self, told: Sequence[Activity], *, told_at: datetime | None = None) -> list[str]:
        """Take in activities; what became of each, in order: "accepted", "duplicate", "conflict" or "erased".

        `told_at` is now, by business time: no training set lets a decision know what was told after it.
        "erased" is what happened before its customer was forgotten (ERS-4).
        """
        names = self._tombstones.names([each.customer_id for each in told])
        with self._database.writing() as connection:
            gone = erased_in(connection, names)
            late = [each.customer_id in gone and each.happened_at <= gone[each.customer_id] for each in told]
            told = [each for each, is_late in zip(told, late, strict=True) if not is_late]
            tokens = self._tokens_in(connection, [each.customer_id for each in told])
            verdicts, touched = activities.add(connection, told, tokens=tokens, told_at=told_at)
            profiles.touch(connection, touched)
        kept = iter(verdicts)
        return ["erased" if is_late else next(kept) for is_late in late]

    def put_vectors(self, vectors: Sequence[tuple[Token, int, Vector]], *, bundle: str) -> None:
        """Store unit vectors of one bundle: (token, the change it knows, (dim,) float32)."""
        if not vectors:
            return
        rows: list[dict[str, Any]] = [
            {"token": token, "change": change, "bundle": bundle, "vector": vector.astype("<f4").tobytes()}
            for token, change, vector in vectors
        ]
        with self._database.writing() as connection:
            alive = profiles.known(connection, [row["token"] for row in rows])
            rows = [row for row in rows if row["token"] in alive]
            if rows:
                old = [{"old": row["token"]} for row in rows]
                connection.execute(delete(db.vectors).where(db.vectors.c.token == bindparam("old")), old)
                connection.execute(insert(db.vectors), rows)

    def _tokens_in(self, connection: Connection, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
        known = _known_tokens(connection, customer_ids)
        fresh = {each: Token(self._new_token()) for each in dict.fromkeys(customer_ids) if each not in known}
        if fresh:
            connection.execute(
                insert(db.tokens), [{"customer_id": customer, "token": token} for customer, token in fresh.items()]
            )
        return known | fresh


def vector_of(content: bytes) -> Vector:
    """(dim,) float32 from a stored vector."""
    return np.frombuffer(content, dtype="<f4").astype(np.float32)


def _profile(row: Any) -> Profile:
    customer_id = CustomerId(row.customer_id)
    contact = NO_CONTACT if row.contact is None else touches.parsed(row.contact, version=row.version)
    if row.facts is None:
        return Profile(customer_id, Token(row.token), contact=contact)
    vector = None if row.vector is None else vector_of(row.vector)
    facts, permissions = profiles.facts_of(row.facts), profiles.permissions_of(row.permissions)
    return Profile(customer_id, Token(row.token), facts, permissions, vector, row.bundle, contact, row.told)


def _known_tokens(connection: Connection, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
    found: dict[CustomerId, Token] = {}
    unique = list(dict.fromkeys(customer_ids))
    for start in range(0, len(unique), _PAGE):
        query = select(db.tokens).where(db.tokens.c.customer_id.in_(unique[start : start + _PAGE]))
        found |= {CustomerId(row.customer_id): Token(row.token) for row in connection.execute(query)}
    return found
