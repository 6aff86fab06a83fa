"""Who was forgotten stays forgotten: what comes late about them is turned away (ERS-4).

A tombstone is a hash. That of a customer is keyed with the home's secret and carries the moment of the
erasure, so that what is older is turned away and what is newer is about somebody new. That of a token,
which is random and never given again, turns away whatever was still under way.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from recsys import database as db
from recsys.database import Database
from recsys.prepared import among
from recsys.records import micros, moment
from recsys.secrets_of_home import home_secret
from recsys.vocabulary import CustomerId

_FOUND = among(db.tombstones.c.name, db.tombstones.c.erased_at)


class Tombstones:
    """The tombstones of customers in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._secret = b""

    def name(self, customer_id: CustomerId) -> str:
        """The keyed hash of a customer id. May write once: ask before a transaction begins."""
        if not self._secret:
            self._secret = hashlib.sha256(b"tombstone:" + home_secret(self._database)).digest()
        return hmac.new(self._secret, customer_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def names(self, customer_ids: Iterable[CustomerId]) -> dict[CustomerId, str]:
        """The keyed hash of each."""
        return {each: self.name(each) for each in dict.fromkeys(customer_ids)}

    def erased(self, customer_ids: Iterable[CustomerId]) -> dict[CustomerId, datetime]:
        """When each of those that were forgotten was."""
        names = self.names(customer_ids)
        with self._database.reading() as connection:
            return erased_in(connection, names)


def erased_in(connection: Connection, names: Mapping[CustomerId, str]) -> dict[CustomerId, datetime]:
    """When each of the named customers that were forgotten was, inside the caller's transaction."""
    found = _read(connection, list(names.values()))
    return {customer: moment(found[name]) for customer, name in names.items() if name in found}


def buried(connection: Connection, tokens: Iterable[str]) -> frozenset[str]:
    """Those of the tokens whose person was forgotten."""
    names = {name_of_token(token): token for token in tokens if token}
    return frozenset(names[name] for name in _read(connection, list(names)))


def bury(connection: Connection, *, name: str, token: str, at: datetime) -> None:
    """Put up the tombstones of a customer's name and token; a later erasure moves the moment."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    rows = [{"name": name, "erased_at": micros(at)}]
    if token:
        rows.append({"name": name_of_token(token), "erased_at": 0})
    insert = dialect.insert(db.tombstones)
    later = insert.on_conflict_do_update(index_elements=["name"], set_={"erased_at": insert.excluded.erased_at})
    connection.execute(later, rows)


def name_of_token(token: str) -> str:
    """The hash of a token."""
    return hashlib.sha256(b"token:" + token.encode("utf-8", "surrogatepass")).hexdigest()


def _read(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    return {row.name: row.erased_at for row in _FOUND.all(connection, [(name,) for name in names])}
