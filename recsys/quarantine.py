"""What was put aside: lessons, outcomes and snapshots, each with its reason, until a person has looked.

Nothing here is read by a learner. A release is an event in the log (`Release`), and only from there
does it reach what is learned; the table shows what stands, and what became of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row, func, insert, select, update

from recsys import database as db
from recsys.artefacts import canonical
from recsys.database import Database
from recsys.errors import NotFound
from recsys.vocabulary import Lesson

KINDS = ("poison", "doubt", "outcome", "snapshot")
"""Cannot teach; may teach when a person says so; names what was never shown; failed its canary rounds."""
KEPT, RELEASED, DROPPED, PASSED = "kept", "released", "dropped", "passed"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing put aside, for one recipe or ("") for all."""

    key: str  # recipe, decision, slot and stage
    position: int
    recipe: str
    reason: str
    kind: str = "poison"
    decision_id: str = ""
    slot: int = 0
    stage: str = ""
    happened: bool = False
    share: float = 1.0  # of a lesson
    state: str = KEPT
    by: str = ""  # who released or dropped it
    why: str = ""


def refused(lesson: Lesson, *, recipe: str, reason: str, kind: str = "poison") -> Refused:
    """A lesson and why it may not teach."""
    decision_id, slot = lesson.decision.decision_id, 0 if lesson.slot is None else lesson.slot.number
    key = f"{recipe}:{decision_id}:{slot}:{lesson.stage}"
    told = (decision_id, slot, lesson.stage, lesson.happened, lesson.share)
    return Refused(key, lesson.position, recipe, reason, kind, *told)


class Quarantine:
    """The table of what was refused; a thing stands in it once, however often the log is read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, items: Sequence[Refused]) -> None:
        """Keep what is not yet kept."""
        if not items:
            return
        table = db.quarantine
        fresh = {item.key: item for item in reversed(items)}  # the first reason counts
        with self._database.writing() as connection:
            keys = list(fresh)
            known: set[str] = set()
            for start in range(0, len(keys), _CHUNK):
                query = select(table.c.key).where(table.c.key.in_(keys[start : start + _CHUNK]))
                known.update(connection.execute(query).scalars())
            if rows := [_row(item) for key, item in fresh.items() if key not in known]:
                connection.execute(insert(table), rows)

    def all(self, *, limit: int = 1_000, state: str | None = None, recipe: str | None = None) -> list[Refused]:
        """The latest, newest first."""
        table = db.quarantine
        query = select(table).order_by(table.c.position.desc(), table.c.key).limit(limit)
        if state is not None:
            query = query.where(table.c.state == state)
        if recipe is not None:
            query = query.where(table.c.recipe == recipe)
        with self._database.reading() as connection:
            return [_read(row) for row in connection.execute(query)]

    def one(self, key: str) -> Refused:
        """One of them by its key; raises `NotFound`."""
        with self._database.reading() as connection:
            row = connection.execute(select(db.quarantine).where(db.quarantine.c.key == key)).first()
        if row is None:
            raise NotFound(f"nothing in quarantine is called {key[:120]}: `recsys quarantine list` shows what is")
        return _read(row)

    def settle(self, key: str, *, state: str, by: str, why: str) -> None:
        """Write down what became of one; of an unknown key nothing."""
        table = db.quarantine
        with self._database.writing() as connection:
            row = connection.execute(select(table).where(table.c.key == key)).first()
            if row is None:
                return
            text = canonical(json.loads(row.text) | {"by": by, "why": why})
            connection.execute(update(table).where(table.c.key == key).values(state=state, text=text))

    def count(self) -> int:
        """How many things stand put aside, nobody having settled them."""
        return sum(self.counts().values())

    def counts(self, *, state: str = KEPT) -> dict[str, int]:
        """recipe ("" for all) → how many stand so."""
        table = db.quarantine
        query = select(table.c.recipe, func.count()).where(table.c.state == state).group_by(table.c.recipe)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def _row(item: Refused) -> dict[str, object]:
    text = {"kind": item.kind, "decision": item.decision_id, "slot": item.slot, "stage": item.stage}
    text |= {"happened": item.happened, "share": item.share, "by": item.by, "why": item.why}
    return {
        "key": item.key,
        "position": item.position,
        "recipe": item.recipe,
        "reason": item.reason,
        "state": item.state,
        "text": canonical(text),
    }


def _read(row: Row[tuple[object, ...]]) -> Refused:
    text = json.loads(row.text)
    return Refused(
        row.key,
        row.position,
        row.recipe,
        row.reason,
        text.get("kind", "poison"),
        text.get("decision", ""),
        text.get("slot", 0),
        text.get("stage", ""),
        text.get("happened", False),
        text.get("share", 1.0),
        row.state,
        text.get("by", ""),
        text.get("why", ""),
    )
