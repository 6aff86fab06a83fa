"""The store of activities: what customers did in the app and with money, each kept once.

Functions over the caller's connection, so that an activity and the change it makes to its customer
(recsys/customers.py) stand or fall together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from recsys import database as db
from recsys.artefacts import canonical, digest_of
from recsys.prepared import Prepared
from recsys.records import micros
from recsys.vocabulary import Activity, CustomerId, Token

_PAGE = 500
_NEW = Prepared(insert(db.activities), columns=db.activities.c.keys())


class Known(NamedTuple):
    """One activity as a training set needs it: microseconds of when it happened and when we heard of it."""

    happened_at: int
    told_at: int
    subject: str


def digest(activity: Activity) -> str:
    """Tells a repeat from a conflict: the same id with another digest is another activity."""
    happened_at = micros(activity.happened_at)
    return digest_of(
        canonical([activity.customer_id, activity.kind, activity.subject, happened_at, activity.amount_pence])
    )


def add(
    connection: Connection,
    activities: Sequence[Activity],
    *,
    tokens: Mapping[CustomerId, Token],
    told_at: datetime | None = None,
) -> tuple[list[str], list[Token]]:
    """Keep what is new: ("accepted", "duplicate" or "conflict" of each, in order; the customers it is news of).

    `told_at` is when we heard of them: what was heard of later was not known before, whenever it happened.

    Where one id comes twice in a call with two contents, the first is accepted and the second a "conflict".
    """
    known = _digests(connection, [each.activity_id for each in activities])
    verdicts: list[str] = []
    fresh: list[tuple[Activity, str]] = []
    for each in activities:
        before, now = known.get(each.activity_id), digest(each)
        if before is None:
            known[each.activity_id] = now
            fresh.append((each, now))
        verdicts.append("accepted" if before is None else "duplicate" if before == now else "conflict")
    if fresh:
        rows = [_row(each, now, token=tokens[each.customer_id], told_at=told_at) for each, now in fresh]
        _NEW.run(connection, rows)
    return verdicts, sorted({tokens[each.customer_id] for each, _ in fresh})


def latest_subjects(connection: Connection, tokens: Sequence[str], *, history: int) -> dict[str, tuple[str, ...]]:
    """At most `history` latest subjects of each customer who has any, oldest first.

    Reads no more of a long history than it returns: from the customer's `history`-th latest time on.
    """
    found: dict[str, list[str]] = defaultdict(list)
    table, people, inner = db.activities, db.tokens, db.activities.alias()
    since = (
        select(inner.c.happened_at)
        .where(inner.c.token == people.c.token)
        .order_by(inner.c.happened_at.desc())
        .offset(history - 1)
        .limit(1)
        .scalar_subquery()
    )
    for start in range(0, len(tokens), _PAGE):
        query = (
            select(table.c.token, table.c.subject)
            .join_from(people, table, table.c.token == people.c.token)
            .where(people.c.token.in_(tokens[start : start + _PAGE]), table.c.happened_at >= func.coalesce(since, 0))
            .order_by(table.c.token, table.c.happened_at, table.c.activity_id)
        )
        for row in connection.execute(query):
            found[row.token].append(row.subject)
    return {token: tuple(subjects[-history:]) for token, subjects in found.items()}


def all_subjects(connection: Connection, tokens: Sequence[str]) -> dict[str, list[Known]]:
    """Every activity of these customers, oldest first."""
    found: dict[str, list[Known]] = defaultdict(list)
    table = db.activities
    for start in range(0, len(tokens), _PAGE):
        query = (
            select(table.c.token, table.c.happened_at, table.c.told_at, table.c.subject)
            .where(table.c.token.in_(tokens[start : start + _PAGE]))
            .order_by(table.c.token, table.c.happened_at, table.c.activity_id)
        )
        for row in connection.execute(query):
            told_at = row.happened_at if row.told_at is None else row.told_at
            found[row.token].append(Known(row.happened_at, told_at, row.subject))
    return found


def of_person(connection: Connection, token: Token) -> list[dict[str, object]]:
    """Every activity of one customer, oldest first; `happened_at` in microseconds."""
    table = db.activities
    wanted = (table.c.activity_id, table.c.kind, table.c.subject, table.c.happened_at, table.c.amount_pence)
    query = select(*wanted).where(table.c.token == token).order_by(table.c.happened_at, table.c.activity_id)
    return [dict(row._mapping) for row in connection.execute(query)]


def _row(activity: Activity, its_digest: str, *, token: Token, told_at: datetime | None) -> dict[str, object]:
    return {
        "activity_id": activity.activity_id,
        "digest": its_digest,
        "token": token,
        "kind": activity.kind,
        "subject": activity.subject,
        "happened_at": micros(activity.happened_at),
        "amount_pence": activity.amount_pence,
        "told_at": None if told_at is None else micros(told_at),
    }


def _digests(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    table = db.activities
    for start in range(0, len(ids), _PAGE):
        query = select(table.c.activity_id, table.c.digest).where(table.c.activity_id.in_(ids[start : start + _PAGE]))
        found |= {row.activity_id: row.digest for row in connection.execute(query)}
    return found
