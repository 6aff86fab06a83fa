"""Removing what has been kept for as long as it must be (RET-1), a page of the log at a time.

A decision goes when the term in its own record has run out, and with it what was displayed, what came of it and
what was put aside of it. Each page is one transaction, and a mark for each term says how far it was read, so
that a run that was killed goes on where it stopped. The last event stays, as the next position follows from it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, func, or_, select

from recsys import database as db
from recsys.database import Database
from recsys.ended_days import drop
from recsys.errors import StoreUnavailable
from recsys.eventlog import EventLog
from recsys.partitions import forget_keys, partitions
from recsys.readmarks import ReadMark
from recsys.records import display_key, micros
from recsys.terms import Term, Terms, term_of
from recsys.vocabulary import Decision

NAME = "expiry"
_ORGANIC = "organic"
_FIRST = term_of("6y")  # what decisions say that were made before there were terms by class
_PAGE = 500
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Expired:
    """What went, by kind."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("decisions", "reports", "activities"), 0))

    def __bool__(self) -> bool:
        return any(self.counts.values())


def expire(database: Database, *, log: EventLog, terms: Terms, now: datetime) -> Expired:
    """Remove all that has been kept long enough at `now`, business time. Raises `StoreUnavailable`."""
    mark, last = ReadMark(database, name=NAME), log.last_position()
    read, gone = dict(mark.read()[1]), Expired()
    named = {term_of(name) for name in read if name != _ORGANIC}  # records keep the term they were made under
    latest = micros(log.recorded_at(last))
    every = {_FIRST, *named, *terms.distinct}
    _whole_days(database, terms=every, organic=terms.organic_outcomes, now=now, latest=latest, gone=gone)
    for term in sorted(every):
        horizon = term.before(now)
        if horizon is None:
            continue
        until = min(log.position_before(horizon), last - 1)
        _decisions(database, log=log, term=term, after=read.get(term.text, 0), until=until, gone=gone)
        read[term.text] = max(until, read.get(term.text, 0))
    if (horizon := terms.organic_outcomes.before(now)) is not None:
        until = min(log.position_before(horizon), last - 1)
        _organic(database, after=read.get(_ORGANIC, 0), until=until, gone=gone)
        read[_ORGANIC] = max(until, read.get(_ORGANIC, 0))
    if (horizon := terms.activities.before(now)) is not None:
        with database.writing() as connection:
            old = delete(db.activities).where(db.activities.c.happened_at < micros(horizon))
            gone.counts["activities"] += connection.execute(old).rowcount
    if read != mark.read()[1]:
        mark.write(max(read.values()), read)
    return gone


def _whole_days(
    database: Database, *, terms: set[Term], organic: Term, now: datetime, latest: int, gone: Expired
) -> None:
    """Let go of the partitions in which everything has been kept long enough."""
    ended = {term.text: before for term in (*terms, organic) if (before := term.before(now)) is not None}
    if organic.text not in ended:
        return
    with database.reading() as connection:
        parts = [each for each in partitions(connection) if each.until <= latest]
    for part in parts:
        over = {text for text, before in ended.items() if part.until <= micros(before)}
        if organic.text not in over:
            continue
        try:
            if went := drop(database, part, over=over):
                gone.counts["decisions"] += went.get("decision", 0)
                gone.counts["reports"] += went.get("outcome", 0) + went.get("display", 0)
        except StoreUnavailable as error:
            logger.warning("%s stays until the next time: %s", part.name, error)
            return


def _decisions(database: Database, *, log: EventLog, term: Term, after: int, until: int, gone: Expired) -> None:
    while after < until:
        page = log.page(after=after, until=until, kinds=("decision",), limit=_PAGE)
        if not page:
            return
        after = page[-1].position
        ended = {
            event.position: event.body
            for event in page
            if isinstance(event.body, Decision) and event.body.retention == term.text
        }
        if ended:
            with database.writing() as connection:
                reports = _reports(connection, list(ended.values()))
                gone.counts["reports"] += _deleted(connection, reports)
                gone.counts["decisions"] += _deleted(connection, list(ended))


def _reports(connection: Connection, decisions: Sequence[Decision]) -> list[int]:
    """Positions of what was displayed of these decisions, and of their outcomes."""
    table, ids = db.events, {decision.decision_id for decision in decisions}
    displays, tokens = [display_key(each) for each in ids], sorted({decision.token for decision in decisions})
    its = table.c.token.in_(tokens) & (table.c.kind == "outcome")
    rows = connection.execute(select(table).where(or_(table.c.key.in_(displays), its)))
    return [row.position for row in rows if row.kind == "display" or json.loads(row.text)[1] in ids]


def _organic(database: Database, *, after: int, until: int, gone: Expired) -> None:
    table = db.events
    while after < until:
        query = select(table).where(table.c.position > after, table.c.position <= until, table.c.kind == "outcome")
        with database.writing() as connection:
            page = connection.execute(query.order_by(table.c.position).limit(_PAGE)).all()
            ended = [row.position for row in page if json.loads(row.text)[1] is None]
            gone.counts["reports"] += _deleted(connection, ended)
        if not page:
            return
        after = page[-1].position


def _deleted(connection: Connection, positions: Sequence[int]) -> int:
    n, last = 0, select(func.max(db.events.c.position)).scalar_subquery()
    for start in range(0, len(positions), _PAGE):
        these = positions[start : start + _PAGE]
        connection.execute(delete(db.quarantine).where(db.quarantine.c.position.in_(these)))
        ended = delete(db.events).where(db.events.c.position.in_(these), db.events.c.position < last)
        if gone := list(connection.execute(ended.returning(db.events.c.position)).scalars()):
            forget_keys(connection, gone)
        n += len(gone)
    return n
