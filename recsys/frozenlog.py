"""A part of a log, copied: read like the log it was taken from, and never written.

What was recorded in [since, until) stands in two tables, `EVENTS` (one row an event, as records keep it) and
`PARTS` (what many events share). Positions are those of the log, so whatever names them still does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from recsys import records
from recsys.entries import Entry, Receipt
from recsys.errors import Corrupt, Misuse
from recsys.eventlog import EventLog
from recsys.vocabulary import Decision, Event, PermissionChange, Token

EVENTS = {
    "position": pl.Int64,
    "recorded_at": pl.Int64,  # microseconds since 1970, UTC
    "kind": pl.String,
    "key": pl.String,
    "digest": pl.String,
    "token": pl.String,
    "schema": pl.Int64,
    "text": pl.String,
}
PARTS = {"ref": pl.String, "text": pl.String}


def frozen(events: Sequence[Event]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events in order → their rows, and the parts that they share."""
    parts: dict[str, str] = {}
    rows = []
    for event in events:
        record = records.encode(event.body)
        parts |= record.parts
        at = records.micros(event.recorded_at)
        rows.append(
            (event.position, at, record.kind, record.key, record.digest, record.token, records.SCHEMA, record.text)
        )
    return (
        pl.DataFrame(rows, schema=EVENTS, orient="row"),
        pl.DataFrame(sorted(parts.items()), schema=PARTS, orient="row"),
    )


class FrozenLog(EventLog):
    """The copied events; raises `Corrupt` for what cannot be read, `Misuse` for whoever would write."""

    def __init__(self, events: pl.DataFrame, *, parts: pl.DataFrame) -> None:
        if dict(events.schema) != EVENTS or dict(parts.schema) != PARTS:
            raise Corrupt("a copied log has other columns than those of a log")
        self._events = events
        self._positions = events["position"].to_numpy()
        self._recorded = events["recorded_at"].to_numpy()
        self._texts: Mapping[str, str] = dict(parts.iter_rows())
        self._parts: dict[str, Any] = {}

    def append(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Refused."""
        raise Misuse("a copied log is only read: append to the log it was taken from")

    def page(
        self, *, after: int, until: int | None = None, kinds: Sequence[str] = (), limit: int = 2_000
    ) -> list[Event]:
        """At most `limit` events after a position."""
        start = int(np.searchsorted(self._positions, after, side="right"))
        end = len(self._positions) if until is None else int(np.searchsorted(self._positions, until, side="right"))
        rows = self._events.slice(start, end - start)
        if kinds:
            rows = rows.filter(pl.col("kind").is_in(list(kinds)))
        return self._told(rows.head(limit))

    def last_position(self) -> int:
        """The greatest position, 0 for an empty log."""
        return int(self._positions[-1]) if len(self._positions) else 0

    def position_before(self, at: datetime) -> int:
        """The last position recorded before a moment, 0 where there is none."""
        row = int(np.searchsorted(self._recorded, records.micros(at), side="left"))
        return int(self._positions[row - 1]) if row else 0

    def recorded_at(self, position: int) -> datetime:
        """When the event at a position was recorded; 1970 where there is none."""
        row = int(np.searchsorted(self._positions, position, side="left"))
        found = row < len(self._positions) and self._positions[row] == position
        return records.moment(int(self._recorded[row]) if found else 0)

    def digest(self, *, until: int) -> str:
        """Names the copied events up to a position exactly."""
        end = int(np.searchsorted(self._positions, until, side="right"))
        return hashlib.sha256("".join(self._events["digest"].head(end)).encode()).hexdigest()[:32]

    def counts(self, *, after: int = 0) -> dict[str, int]:
        """Events by kind, after a position."""
        later = self._events.filter(pl.col("position") > after)
        return dict(later.group_by("kind").len().sort("kind").iter_rows())

    def decisions(self, decision_ids: Sequence[str]) -> dict[str, Event]:
        """Those of the named decisions that were copied."""
        keys = [records.decision_key(each) for each in decision_ids]
        found = self._told(self._events.filter(pl.col("key").is_in(keys)))
        return {event.body.decision_id: event for event in found if isinstance(event.body, Decision)}

    def at(self, positions: Sequence[int]) -> dict[int, Event]:
        """Those events at the named positions that were copied."""
        found = self._told(self._events.filter(pl.col("position").is_in(list(positions))))
        return {event.position: event for event in found}

    def permissions_of(self, token: Token, *, before: int) -> PermissionChange | None:
        """A customer's last word on permissions before a position, None where none was copied."""
        its = (pl.col("token") == token) & (pl.col("kind") == "permissions") & (pl.col("position") < before)
        for event in self._told(self._events.filter(its).tail(1)):
            if isinstance(event.body, PermissionChange):
                return event.body
        return None

    def sequel(self, decision: Decision) -> list[Event]:
        """What was reported of a decision, in order, as far as it was copied."""
        its = (pl.col("token") == decision.token) & (pl.col("kind") == "outcome")
        rows = self._events.filter((pl.col("key") == records.display_key(decision.decision_id)) | its)
        return [each for each in self._told(rows) if getattr(each.body, "decision_id", None) == decision.decision_id]

    def _told(self, rows: pl.DataFrame) -> list[Event]:
        return [
            Event(
                row["position"],
                records.moment(row["recorded_at"]),
                records.decode(row["kind"], row["text"], token=row["token"], schema=row["schema"], lookup=self._part),
            )
            for row in rows.iter_rows(named=True)
        ]

    def _part(self, ref: str) -> Any:
        if ref not in self._parts:
            if ref not in self._texts:
                raise Corrupt(f"the copied log names the part {ref}, which is missing")
            self._parts[ref] = records.parsed_part(self._texts[ref])
        return self._parts[ref]
