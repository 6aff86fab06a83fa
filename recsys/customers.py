"""The store of customers: tokens, profiles, activities and vectors.

Facts and permissions carry the time since which they hold, and older never overwrites newer, so a
bank may send them late, twice or out of order. Every change moves a customer up one sequence
(`change`), which is all that the encoder follows. A customer nobody told us about is the strictest
case: no facts, no permissions, never an error.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from recsys import database as db
from recsys.artefacts import canonical, digest_of
from recsys.database import Database
from recsys.eventlog import Entry, EventLog
from recsys.records import encode, micros, moment
from recsys.vocabulary import (
    CustomerId,
    Fact,
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
class Activity:
    """Something a customer did in the app or with money; never a message to anybody."""

    activity_id: str
    customer_id: CustomerId
    kind: str
    subject: str
    happened_at: datetime
    amount_pence: int | None = None

    @property
    def digest(self) -> str:
        """Tells a repeat from a conflict."""
        return digest_of(
            canonical([self.customer_id, self.kind, self.subject, micros(self.happened_at), self.amount_pence])
        )


@dataclass(frozen=True, slots=True)
class Stale:
    """A customer whose vector does not yet know the latest change."""

    profile: Profile
    change: int
    subjects: tuple[str, ...]  # the latest activity, oldest first


def random_token() -> str:
    """A new customer token: 96 random bits, unlinkable to the customer's id."""
    return secrets.token_urlsafe(12)


_ONE = (
    select(db.tokens.c.token, db.profiles.c.facts, db.profiles.c.permissions, db.vectors.c.vector, db.vectors.c.bundle)
    .select_from(
        db.tokens.outerjoin(db.profiles, db.profiles.c.token == db.tokens.c.token).outerjoin(
            db.vectors, db.vectors.c.token == db.tokens.c.token
        )
    )
    .where(db.tokens.c.customer_id == bindparam("customer"))
)


class Customers:
    """Tokens, profiles, activities and vectors over one database."""

    def __init__(self, database: Database, *, new_token: Callable[[], str] = random_token) -> None:
        self._database = database
        self._new_token = new_token

    # -- reading -----------------------------------------------------------------------------

    def profile(self, customer_id: CustomerId) -> Profile | None:
        """What is known now, None for a customer nobody told us about."""
        with self._database.reading() as connection:
            row = connection.execute(_ONE, {"customer": customer_id}).first()
        return None if row is None else _profile(customer_id, row)

    def introduce(self, customer_id: CustomerId) -> Profile:
        """Give an unknown customer a token: the strictest case, with no facts and no permissions. Writes."""
        return Profile(customer_id, self.tokens([customer_id])[customer_id])

    def known_tokens(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
        """Tokens of those customers that have one."""
        with self._database.reading() as connection:
            return _known_tokens(connection, customer_ids)

    def tokens(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
        """Tokens of all these customers, made where missing."""
        known = self.known_tokens(customer_ids)
        if len(known) < len(set(customer_ids)):
            with self._database.writing() as connection:
                known = self._tokens_in(connection, customer_ids)
        return known

    def stale(self, *, after: int, limit: int = _PAGE, history: int = 32) -> list[Stale]:
        """Customers changed after `after`, by change, with at most `history` latest activity subjects."""
        query = (
            select(db.tokens.c.customer_id, db.profiles)
            .join(db.tokens, db.tokens.c.token == db.profiles.c.token)
            .where(db.profiles.c.change > after)
            .order_by(db.profiles.c.change)
            .limit(limit)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            subjects = _subjects(connection, [row.token for row in rows], history=history)
        return [
            Stale(
                Profile(
                    CustomerId(row.customer_id), Token(row.token), _facts(row.facts), _permissions(row.permissions)
                ),
                row.change,
                subjects.get(row.token, ()),
            )
            for row in rows
        ]

    def subjects_before(self, tokens: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        """Every activity of these customers as (microseconds, subject), oldest first: for training sets."""
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        table = db.activities
        with self._database.reading() as connection:
            for start in range(0, len(tokens), _PAGE):
                query = (
                    select(table.c.token, table.c.happened_at, table.c.subject)
                    .where(table.c.token.in_(tokens[start : start + _PAGE]))
                    .order_by(table.c.token, table.c.happened_at, table.c.activity_id)
                )
                for row in connection.execute(query):
                    found[row.token].append((row.happened_at, row.subject))
        return found

    # -- writing -----------------------------------------------------------------------------

    def tell(self, told: Sequence[Told], *, log: EventLog) -> int:
        """Take in facts and permissions; returns how many customers changed.

        One transaction with the permission changes it appends to the log (MKT-2, MKT-4).
        """
        with self._database.writing() as connection:
            tokens = self._tokens_in(connection, [each.customer_id for each in told])
            rows = _profile_rows(connection, sorted(set(tokens.values())))
            changed: dict[Token, tuple[dict[str, Any], list[Any]]] = {}
            entries = []
            for each in sorted(told, key=lambda each: each.as_of):
                token = tokens[each.customer_id]
                facts, permissions = changed.get(token) or rows.get(token) or ({}, [None, 0])
                merged, moved = _merged(facts, each)
                if each.permissions is not None and micros(each.as_of) > permissions[1]:
                    if _permission_json(each.permissions) != permissions[0]:
                        change = PermissionChange(token, each.permissions, each.as_of)
                        entries.append((Entry(change), encode(change)))
                    permissions = [_permission_json(each.permissions), micros(each.as_of)]
                    moved = True
                if moved or token not in rows:
                    changed[token] = (merged, permissions)
            if entries:
                log.append_in(connection, entries)
            _write_profiles(connection, changed, existing=rows)
            return len(changed)

    def add_activities(self, activities: Sequence[Activity]) -> dict[str, str]:
        """Take in activities; returns activity id → "accepted", "duplicate" or "conflict"."""
        with self._database.writing() as connection:
            known = _known_activities(connection, [each.activity_id for each in activities])
            tokens = self._tokens_in(connection, [each.customer_id for each in activities])
            verdicts: dict[str, str] = {}
            rows = []
            for each in activities:
                if (digest := known.get(each.activity_id)) is not None:
                    repeat = "duplicate" if digest == each.digest else "conflict"
                    verdicts[each.activity_id] = (
                        "conflict" if "conflict" in (repeat, verdicts.get(each.activity_id)) else
                        verdicts.get(each.activity_id, repeat)
                    )  # fmt: skip
                    continue
                known[each.activity_id] = each.digest
                verdicts[each.activity_id] = "accepted"
                rows.append(
                    {
                        "activity_id": each.activity_id,
                        "digest": each.digest,
                        "token": tokens[each.customer_id],
                        "kind": each.kind,
                        "subject": each.subject,
                        "happened_at": micros(each.happened_at),
                        "amount_pence": each.amount_pence,
                    }
                )
            if rows:
                connection.execute(insert(db.activities), rows)
                touched: set[Token] = {Token(str(row["token"])) for row in rows}
                existing = _profile_rows(connection, sorted(touched))
                changed = {token: existing.get(token) or ({}, [None, 0]) for token in sorted(touched)}
                _write_profiles(connection, changed, existing=existing)
            return verdicts

    def put_vectors(self, vectors: Sequence[tuple[Token, int, Vector]], *, bundle: str) -> None:
        """Store unit vectors of one bundle: (token, the change it knows, (dim,) float32)."""
        if not vectors:
            return
        rows: list[dict[str, Any]] = [
            {"token": token, "change": change, "bundle": bundle, "vector": vector.astype("<f4").tobytes()}
            for token, change, vector in vectors
        ]
        with self._database.writing() as connection:
            alive = set(_profile_rows(connection, [row["token"] for row in rows]))
            rows = [row for row in rows if row["token"] in alive]
            connection.execute(
                delete(db.vectors).where(db.vectors.c.token == bindparam("old")),
                [{"old": row["token"]} for row in rows],
            )
            if rows:
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


def _profile(customer_id: CustomerId, row: Any) -> Profile:
    if row.facts is None:
        return Profile(customer_id, Token(row.token))
    return Profile(
        customer_id,
        Token(row.token),
        _facts(row.facts),
        _permissions(row.permissions),
        None if row.vector is None else vector_of(row.vector),
        row.bundle,
    )


def _facts(text: str) -> Mapping[str, Fact]:
    return MappingProxyType(
        {
            name: Fact(tuple(value) if isinstance(value, list) else value, moment(as_of))
            for name, (value, as_of) in json.loads(text).items()
        }
    )


def _permission_json(permissions: Permissions) -> list[Any]:
    at = permissions.objected_at
    return [
        permissions.in_app,
        permissions.push,
        permissions.email,
        permissions.targeted_support,
        None if at is None else micros(at),
    ]


def _permissions(text: str) -> Permissions:
    fields, _ = json.loads(text)
    if fields is None:
        return Permissions()
    allowed = Permissions(*fields[:4])
    return allowed if fields[4] is None else replace(allowed, objected_at=moment(fields[4]))


def _merged(facts: Mapping[str, Any], told: Told) -> tuple[dict[str, Any], bool]:
    as_of = micros(told.as_of)
    merged, moved = dict(facts), False
    for name, value in told.facts.items():
        known = merged.get(name)
        if known is None or as_of > known[1]:
            merged[name] = [list(value) if isinstance(value, tuple) else value, as_of]
            moved = True
    return merged, moved


def _known_tokens(connection: Connection, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Token]:
    found: dict[CustomerId, Token] = {}
    unique = list(dict.fromkeys(customer_ids))
    for start in range(0, len(unique), _PAGE):
        query = select(db.tokens).where(db.tokens.c.customer_id.in_(unique[start : start + _PAGE]))
        found |= {CustomerId(row.customer_id): Token(row.token) for row in connection.execute(query)}
    return found


def _profile_rows(connection: Connection, tokens: Sequence[str]) -> dict[Token, tuple[dict[str, Any], list[Any]]]:
    found: dict[Token, tuple[dict[str, Any], list[Any]]] = {}
    for start in range(0, len(tokens), _PAGE):
        query = select(db.profiles).where(db.profiles.c.token.in_(tokens[start : start + _PAGE]))
        for row in connection.execute(query):
            found[Token(row.token)] = (json.loads(row.facts), json.loads(row.permissions))
    return found


def _write_profiles(
    connection: Connection,
    changed: Mapping[Token, tuple[dict[str, Any], list[Any]]],
    *,
    existing: Mapping[Token, object],
) -> None:
    change = (connection.execute(select(func.max(db.profiles.c.change))).scalar() or 0) + 1
    rows = [
        {"row_token": token, "facts": canonical(facts), "permissions": canonical(permissions), "change": change + n}
        for n, (token, (facts, permissions)) in enumerate(changed.items())
    ]
    old = [row for row in rows if row["row_token"] in existing]
    new = [row for row in rows if row["row_token"] not in existing]
    if old:
        new_values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("facts", "permissions", "change")}
        connection.execute(
            update(db.profiles).where(db.profiles.c.token == bindparam("row_token")).values(new_values),
            [{"row_token": row["row_token"]} | {f"new_{name}": row[name] for name in new_values} for row in old],
        )
    if new:
        connection.execute(insert(db.profiles), [{"token": row.pop("row_token")} | row for row in new])


def _known_activities(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    table = db.activities
    for start in range(0, len(ids), _PAGE):
        query = select(table.c.activity_id, table.c.digest).where(table.c.activity_id.in_(ids[start : start + _PAGE]))
        found |= {row.activity_id: row.digest for row in connection.execute(query)}
    return found


def _subjects(connection: Connection, tokens: Sequence[str], *, history: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    table = db.activities
    number = func.row_number().over(
        partition_by=table.c.token, order_by=(table.c.happened_at.desc(), table.c.activity_id.desc())
    )
    for start in range(0, len(tokens), _PAGE):
        ranked = (
            select(table.c.token, table.c.subject, number.label("number"))
            .where(table.c.token.in_(tokens[start : start + _PAGE]))
            .subquery()
        )
        query = select(ranked).where(ranked.c.number <= history).order_by(ranked.c.token, ranked.c.number.desc())
        for row in connection.execute(query):
            found[row.token].append(row.subject)
    return {token: tuple(subjects) for token, subjects in found.items()}
