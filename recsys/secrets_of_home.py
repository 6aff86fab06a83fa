"""The secrets an installation makes for itself: one signing secret, and tokens that open a door once."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import delete, insert, select

from recsys import database as db
from recsys.database import Database

_SECRET = "session-secret"
_ONCE = "once:"


def home_secret(database: Database) -> bytes:
    """32 random bytes, the same for every worker, made when first asked for."""
    with database.writing() as connection:
        found = connection.execute(select(db.meta.c.value).where(db.meta.c.name == _SECRET)).scalar()
        if found is None:
            found = secrets.token_hex(32)
            connection.execute(insert(db.meta).values(name=_SECRET, value=found))
    return bytes.fromhex(str(found))


def remember_once(database: Database, *, token: str, key_name: str, until: int) -> None:
    """Keep the hash of a token that works once before `until` (seconds of machine time)."""
    with database.writing() as connection:
        connection.execute(insert(db.meta).values(name=_name(token), value=f"{until}|{key_name}"))


def consume_once(database: Database, *, token: str, now: int) -> str | None:
    """The key name behind a token, which is spent by asking; None where there is none in time."""
    with database.writing() as connection:
        found = connection.execute(select(db.meta.c.value).where(db.meta.c.name == _name(token))).scalar()
        connection.execute(delete(db.meta).where(db.meta.c.name == _name(token)))
    if found is None:
        return None
    until, _, key_name = str(found).partition("|")
    return key_name if int(until) > now else None


def _name(token: str) -> str:
    return _ONCE + hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:32]
