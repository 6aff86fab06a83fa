"""The rows behind profiles: facts and permissions as stored, and the merging of what a bank tells.

Each fact carries the time since which it holds; older never overwrites newer. Functions over the
caller's connection; recsys/customers.py decides what makes one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from recsys import database as db
from recsys.artefacts import canonical
from recsys.prepared import Prepared
from recsys.records import micros, moment
from recsys.vocabulary import Fact, FactValue, Permissions, Token

_PAGE = 500
_ITS_ROW = update(db.profiles).where(db.profiles.c.token == bindparam("row_token"))
_NEW = Prepared(insert(db.profiles), columns=db.profiles.c.keys())
_CHANGED = Prepared(_ITS_ROW, columns=("facts", "permissions", "change", "told"))
_TOUCHED = Prepared(_ITS_ROW, columns=("change",))


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """What is stored of one customer; times in microseconds. `permissions` None: nobody told us."""

    facts: Mapping[str, tuple[FactValue, int]] = field(default_factory=lambda: MappingProxyType({}))
    permissions: Permissions | None = None
    permitted_at: int = 0

    def with_facts(self, told: Mapping[str, FactValue], *, as_of: int) -> ProfileRow:
        """The row with every told fact that is newer than the known one; itself where none is."""
        known = self.facts.get
        newer = {name: (value, as_of) for name, value in told.items() if as_of > known(name, _NEVER)[1]}
        return replace(self, facts={**self.facts, **newer}) if newer else self


_NEVER: tuple[FactValue, int] = (None, -(10**18))  # before any time that a fact may hold since
UNTOLD = ProfileRow()
"""A customer nobody told us about: the strictest case."""


def parsed(facts: str, permissions: str) -> ProfileRow:
    """A row from its two texts."""
    fields, permitted_at = json.loads(permissions)
    known = {name: (_value(value), as_of) for name, (value, as_of) in json.loads(facts).items()}
    return ProfileRow(known, None if fields is None else _permissions(fields), permitted_at)


def facts_of(text: str) -> Mapping[str, Fact]:
    """The facts of a row from their text, in the words of the house."""
    told = json.loads(text)
    times = {as_of: moment(as_of) for as_of in {as_of for _, as_of in told.values()}}  # most share one
    return MappingProxyType({name: Fact(_value(value), times[as_of]) for name, (value, as_of) in told.items()})


def permissions_of(text: str) -> Permissions:
    """The permissions of a row from their text; the strictest where nobody told us."""
    fields, _ = json.loads(text)
    return Permissions() if fields is None else _permissions(fields)


def _value(value: Any) -> FactValue:
    return tuple(value) if isinstance(value, list) else value


def read(connection: Connection, tokens: Sequence[str]) -> dict[Token, ProfileRow]:
    """The rows of those customers that have one."""
    found: dict[Token, ProfileRow] = {}
    for start in range(0, len(tokens), _PAGE):
        query = select(db.profiles).where(db.profiles.c.token.in_(tokens[start : start + _PAGE]))
        for row in connection.execute(query):
            found[Token(row.token)] = parsed(row.facts, row.permissions)
    return found


def known(connection: Connection, tokens: Sequence[str]) -> set[str]:
    """Those of the customers that have a row."""
    found: set[str] = set()
    for start in range(0, len(tokens), _PAGE):
        query = select(db.profiles.c.token).where(db.profiles.c.token.in_(tokens[start : start + _PAGE]))
        found |= set(connection.execute(query).scalars())
    return found


def write(connection: Connection, changed: Mapping[Token, ProfileRow], *, existing: Collection[Token]) -> None:
    """Store rows, each with the next number of the sequence that the encoder follows, and which decisions heed."""
    if not changed:
        return
    last: int = connection.execute(select(func.max(db.profiles.c.change))).scalar() or 0
    texts = {
        token: _texts(row) | {"change": last + n, "told": last + n}
        for n, (token, row) in enumerate(changed.items(), start=1)
    }
    new = [{"token": token} | text for token, text in texts.items() if token not in existing]
    old = [{"row_token": token} | text for token, text in texts.items() if token in existing]
    if old:
        _CHANGED.run(connection, old)
    if new:
        _NEW.run(connection, new)


def touch(connection: Connection, tokens: Sequence[Token]) -> None:
    """Move customers up the sequence without changing what is known of them; unknown ones get an empty row."""
    if not tokens:
        return
    existing = known(connection, tokens)
    write(connection, {token: UNTOLD for token in tokens if token not in existing}, existing=())
    last: int = connection.execute(select(func.max(db.profiles.c.change))).scalar() or 0
    old = [token for token in tokens if token in existing]
    if old:
        _TOUCHED.run(connection, [{"row_token": token, "change": last + n} for n, token in enumerate(old, start=1)])


def _texts(row: ProfileRow) -> dict[str, Any]:
    fields = None if row.permissions is None else _fields(row.permissions)
    return {"facts": canonical(dict(row.facts)), "permissions": canonical([fields, row.permitted_at])}


def _fields(p: Permissions) -> list[Any]:
    objected_at = None if p.objected_at is None else micros(p.objected_at)
    return [p.in_app, p.push, p.email, p.targeted_support, objected_at]


def _permissions(fields: Sequence[Any]) -> Permissions:
    in_app, push, email, targeted_support, objected_at = fields
    at = None if objected_at is None else moment(objected_at)
    return Permissions(in_app, push, email, targeted_support, at)
