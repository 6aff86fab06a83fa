"""Who is champion and challenger, since when and why; and every look that was taken at a certify split.

Both are append-only. The champion is the last one that was named and has not expired; an expired one
gives way to the one before it. A look is the same where the same candidate meets the same champion on
the same days: asked again it spends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import EllipsisType
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from recsys import database as db
from recsys.artefacts import canonical
from recsys.database import Database
from recsys.errors import Conflict
from recsys.records import micros, moment

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A recipe named for a role."""

    role: str  # champion | challenger
    recipe: str
    digest: str  # of the recipe as it was approved
    by: str  # the key's name
    reason: str
    evidence: str  # the tracker's run
    at: datetime
    expires_at: datetime | None = None
    predicted: Mapping[str, Any] = field(default_factory=dict)  # what the gate expected of it, see serving/promotion.py


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a certify split; `question` names candidate, champion and terms."""

    question: str
    surface: str
    since: datetime
    until: datetime
    at: datetime


class Promotions:
    """The store of both."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def champion(self, *, now: datetime) -> Promotion | None:
        """The champion in force, None before the first."""
        with self._database.reading() as connection:
            return _in_force(connection, role=CHAMPION, now=now)

    def challenger(self, *, now: datetime) -> Promotion | None:
        """The last recipe that passed the gate, None before the first."""
        with self._database.reading() as connection:
            return _in_force(connection, role=CHALLENGER, now=now)

    def history(self) -> list[Promotion]:
        """Every promotion, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(db.promotions).order_by(db.promotions.c.number))
            return [_promotion(row) for row in rows]

    def name(self, promotion: Promotion, *, while_: Promotion | EllipsisType | None = ...) -> None:
        """Append a promotion; with `while_` only where that (or, as None, nothing) is still the champion in force.

        Raises `Conflict` where another became champion, or an override ended, since that was read.
        """
        with self._database.writing() as connection:
            if while_ is not ... and _in_force(connection, role=CHAMPION, now=promotion.at) != while_:
                raise Conflict(
                    f"the champion changed while {promotion.recipe} was heard, so what was shown is of another: "
                    "hear it again"
                )
            _append(connection, promotion)

    def roll_back(
        self,
        *,
        first: tuple[str, str],
        by: str,
        reason: str,
        now: datetime,
        known: Collection[tuple[str, str]] | None = None,
    ) -> Promotion:
        """Name the champion before the one in force again; before all of them stands `first` (recipe, digest).

        `known` are the recipes as they stand: what was approved otherwise is passed over. Raises `Conflict`
        where there was none before.
        """
        with self._database.writing() as connection:
            standing = [(each.recipe, each.digest) for each in _standing(connection, role=CHAMPION, now=now)]
            if known is not None:
                standing = [each for each in standing if each in known]
            current = standing[0] if standing else first
            before = [each for each in standing if each[0] != current[0]]
            if not before and first[0] != current[0]:
                before = [first]
            if not before:
                raise Conflict("there is no earlier champion to return to")
            back = Promotion(CHAMPION, *before[0], by=by, reason=reason, evidence="", at=now)
            _append(connection, back)
            return back

    def look(self, look: Look) -> int:
        """Take a look: its number among all at days that overlap, from 1; the same question keeps its number."""
        with self._database.writing() as connection:
            table = db.looks
            rows = connection.execute(
                select(table)
                .where(
                    table.c.surface == look.surface,
                    table.c.since < micros(look.until),
                    table.c.until > micros(look.since),
                )
                .order_by(table.c.number)
            ).all()
            for number, row in enumerate(rows, start=1):
                if (row.question, row.since, row.until) == (look.question, micros(look.since), micros(look.until)):
                    return number
            last = connection.execute(select(func.max(table.c.number))).scalar() or 0
            row_ = {
                "number": last + 1,
                "question": look.question,
                "surface": look.surface,
                "since": micros(look.since),
                "until": micros(look.until),
                "at": micros(look.at),
            }
            connection.execute(insert(table), row_)
            return len(rows) + 1


def _append(connection: Connection, promotion: Promotion) -> None:
    last = connection.execute(select(func.max(db.promotions.c.number))).scalar() or 0
    expires = None if promotion.expires_at is None else micros(promotion.expires_at)
    values = {"role": promotion.role, "recipe": promotion.recipe, "digest": promotion.digest, "by": promotion.by}
    more = {"reason": promotion.reason, "evidence": promotion.evidence, "at": micros(promotion.at)}
    more |= {"predicted": canonical(dict(promotion.predicted))}
    connection.execute(insert(db.promotions), {"number": last + 1, **values, **more, "expires_at": expires})


def _standing(connection: Connection, *, role: str, now: datetime) -> Sequence[Promotion]:
    """All of a role that have not expired, latest first."""
    table = db.promotions
    query = select(table).where(table.c.role == role).order_by(table.c.number.desc())
    found = (_promotion(row) for row in connection.execute(query))
    return [each for each in found if each.expires_at is None or now < each.expires_at]


def _in_force(connection: Connection, *, role: str, now: datetime) -> Promotion | None:
    return next(iter(_standing(connection, role=role, now=now)), None)


def _promotion(row: Row[Any]) -> Promotion:
    expires = None if row.expires_at is None else moment(row.expires_at)
    return Promotion(row.role, row.recipe, row.digest, row.by, row.reason, row.evidence, moment(row.at), expires,
                     json.loads(row.predicted))  # fmt: skip
