"""Who objected stays objected, even after being forgotten (MKT-5).

Erasing a customer erases the objection with everything else; a later import would market to them
again. So the objection leaves a keyed hash of the customer id behind, which names nobody without
the home's secret and is read whenever customers are told of. An objection that the bank itself
withdraws of a customer we know lifts it. One that met somebody anew, after an erasure, is sealed:
from then on only a person lifts it (`lift`), however often the import is repeated.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from recsys import database as db
from recsys.database import Database
from recsys.records import micros, moment
from recsys.secrets_of_home import home_secret
from recsys.vocabulary import CustomerId, Permissions

_PAGE = 500
_TABLE = db.suppressions


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One objection that outlives what it was about."""

    objected_at: datetime
    sealed: bool  # met somebody anew: only a person lifts it


class Suppressions:
    """The keyed hashes of those who object, in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._secret = b""

    def ledger(self, customer_ids: Sequence[CustomerId]) -> Ledger:
        """The objections of these customers, to be read and written in a transaction that begins after this."""
        return Ledger({customer: self._name(customer) for customer in dict.fromkeys(customer_ids)})

    def lift(self, customer_id: CustomerId) -> bool:
        """End an objection on somebody's word, sealed or not; whether there was one."""
        name = self._name(customer_id)
        with self._database.writing() as connection:
            return bool(connection.execute(delete(_TABLE).where(_TABLE.c.name == name)).rowcount)

    def _name(self, customer_id: CustomerId) -> str:
        if not self._secret:
            self._secret = hashlib.sha256(b"suppression:" + home_secret(self._database)).digest()
        return hmac.new(self._secret, customer_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


class Ledger:
    """What a batch of told permissions makes of the objections kept: `read`, then `allowed` for each, then `write`."""

    def __init__(self, names: Mapping[CustomerId, str]) -> None:
        self._names = names
        self._kept: dict[str, Suppressed] = {}
        self._changed: dict[str, Suppressed | None] = {}

    def read(self, connection: Connection) -> Ledger:
        """Find the objections kept of these customers. Returns itself."""
        names = list(self._names.values())
        for start in range(0, len(names), _PAGE):
            for row in connection.execute(select(_TABLE).where(_TABLE.c.name.in_(names[start : start + _PAGE]))):
                self._kept[row.name] = Suppressed(moment(row.objected_at), bool(row.sealed))
        return self

    def allowed(self, customer_id: CustomerId, told: Permissions, *, anew: bool) -> Permissions:
        """What a customer allows after the bank told of it; `anew` where we knew of no permissions before."""
        name = self._names[customer_id]
        before = self._changed.get(name, self._kept.get(name))
        if before is not None and (before.sealed or anew):
            self._changed[name] = Suppressed(before.objected_at, sealed=True)
            return told if told.objected_at is not None else Permissions(objected_at=before.objected_at)
        after = None if told.objected_at is None else Suppressed(told.objected_at, sealed=False)
        if after != before:
            self._changed[name] = after
        return told

    def write(self, connection: Connection) -> None:
        """Write down what changed."""
        changed = {name: after for name, after in self._changed.items() if after != self._kept.get(name)}
        gone = [{"of": name} for name in changed if name in self._kept]
        if gone:
            connection.execute(delete(_TABLE).where(_TABLE.c.name == bindparam("of")), gone)
        rows = [
            {"name": name, "objected_at": micros(after.objected_at), "sealed": int(after.sealed)}
            for name, after in changed.items()
            if after is not None
        ]
        if rows:
            connection.execute(insert(_TABLE), rows)
