"""Keys that callers show: named, scoped, expiring, revocable, stored hashed, shown once.

Expiry and revocation use machine time, and every check reads the database, so a revoked key stops
working at once on every worker.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from recsys import database as db
from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration, NotFound
from recsys.prepared import Prepared
from recsys.records import micros, moment

_BY_DIGEST = Prepared(select(db.api_keys).where(db.api_keys.c.digest == bindparam("shown")))
_BY_FORMER = Prepared(
    select(db.api_keys, db.former_keys.c.until)
    .join(db.former_keys, db.former_keys.c.name == db.api_keys.c.name)
    .where(db.former_keys.c.digest == bindparam("shown"))
)


class Scope(StrEnum):
    """What a key may do."""

    RECOMMEND = "recommend"
    ANALYSE = "analyse"
    AUDIT = "audit"
    STEER = "steer"
    APPROVE = "approve"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret."""

    name: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def state(self) -> str:
        """In words: "in force", "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return "expired" if expired else "in force"


class Keys:
    """The store of keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, *, scopes: list[str], expires_in: timedelta | None = None) -> str:
        """Make a key and return its secret, which is not kept. Raises `Conflict` for a name in use."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", name):
            raise InvalidConfiguration("a key's name is 1 to 80 of a-z, 0-9, dot, dash and underscore")
        unknown = [scope for scope in scopes if scope not in set(Scope)]
        if unknown or not scopes:
            wrong = f'"{unknown[0]}" is no scope' if unknown else "a key needs a scope"
            raise InvalidConfiguration(f"{wrong}: choose from {', '.join(Scope)}")
        secret = _new_secret()
        now = datetime.now(UTC)
        row = {
            "name": name,
            "digest": _digest(secret),
            "scopes": " ".join(sorted(set(scopes))),
            "created_at": micros(now),
            "expires_at": None if expires_in is None else micros(now + expires_in),
        }
        with self._database.writing() as connection:
            if connection.execute(select(db.api_keys.c.name).where(db.api_keys.c.name == name)).first():
                raise Conflict(f"a key named {name} exists: revoke it or choose another name")
            connection.execute(insert(db.api_keys), row)
        return secret

    def check(self, secret: str) -> Key | None:
        """The key in force behind a secret, None for any other."""
        digest = _digest(secret)
        row = self._database.first(_BY_DIGEST, {"shown": digest})
        if row is None:
            row = self._database.first(_BY_FORMER, {"shown": digest})  # replaced by a rotation, not yet over
            if row is None or row.until <= micros(datetime.now(UTC)):
                return None
        elif not secrets.compare_digest(row.digest, digest):
            return None
        key = _key(row)
        return key if key.state == "in force" else None

    def rotate(self, name: str, *, overlap: timedelta) -> str:
        """Give a key a new secret and return it; the old one opens for `overlap` more.

        The key keeps its name, so that requests repeated under either secret are the same requests, and its
        scopes and end. Raises `NotFound`, or `Conflict` for a key that is not in force.
        """
        secret, now = _new_secret(), datetime.now(UTC)
        with self._database.writing() as connection:
            row = connection.execute(select(db.api_keys).where(db.api_keys.c.name == name)).first()
            if row is None:
                raise NotFound(f"no key is named {name}")
            if (state := _key(row).state) != "in force":
                raise Conflict(f"{name} is {state}: make a new key instead of rotating it")
            connection.execute(delete(db.former_keys).where(db.former_keys.c.until <= micros(now)))
            if overlap:
                former = {"digest": row.digest, "name": name, "until": micros(now + overlap)}
                connection.execute(insert(db.former_keys), former)
            fresh = update(db.api_keys).where(db.api_keys.c.name == name).values(digest=_digest(secret))
            connection.execute(fresh)
        return secret

    def revoke(self, name: str) -> None:
        """End a key at once, everywhere, under every secret it has; the first revocation stands. Raises `NotFound`."""
        first = func.coalesce(db.api_keys.c.revoked_at, micros(datetime.now(UTC)))
        with self._database.writing() as connection:
            done = connection.execute(update(db.api_keys).where(db.api_keys.c.name == name).values(revoked_at=first))
        if not done.rowcount:
            raise NotFound(f"no key is named {name}")

    def all(self) -> list[Key]:
        """Every key, without secrets, by name."""
        with self._database.reading() as connection:
            return [_key(row) for row in connection.execute(select(db.api_keys).order_by(db.api_keys.c.name))]

    def exist(self) -> bool:
        """Whether any key was ever made."""
        with self._database.reading() as connection:
            return bool(connection.execute(select(func.count()).select_from(db.api_keys)).scalar())


def _new_secret() -> str:
    return f"rk_{secrets.token_urlsafe(32)}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(row: Row[Any]) -> Key:
    return Key(
        row.name,
        frozenset(row.scopes.split()),
        moment(row.created_at),
        None if row.expires_at is None else moment(row.expires_at),
        None if row.revoked_at is None else moment(row.revoked_at),
    )
