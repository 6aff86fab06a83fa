"""The log as Parquet, a file a table and day, for SQL in a warehouse.

A day holds what was recorded on it, and the rounds whose last window closed on it. It is written when the
log has gone on past it, in log order, so that writing it again gives the same bytes; a file that is
already there with these bytes is left alone. Memory is one day's rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from recsys.eventlog import EventLog
from recsys.joining import Joiner
from recsys.rewards import Rewards
from recsys.vocabulary import NOTHING, Decision, Event, Outcome, Round
from serving.export_schema import TABLES

Row = dict[str, Any]
_VERSIONS = ("catalogue", "rule_pack", "rewards", "recipe", "snapshot", "bundle")


@dataclass(slots=True)
class Written:
    """What an export came to."""

    days: set[date] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    files: int = 0  # new or changed
    same: int = 0  # were there already

    def add(self, other: Written) -> None:
        """Take in what another part came to."""
        self.days |= other.days
        self.rows = {table: n + other.rows[table] for table, n in self.rows.items()}
        self.files, self.same = self.files + other.files, self.same + other.same


def export(
    log: EventLog,
    *,
    out: Path,
    rewards: Rewards,
    since: date | None = None,
    until: date | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the days in [since, until) that are over."""
    written = Written()
    for day, rows in _days(log, rewards=rewards, since=since, until=until, told=told):
        written.days.add(day)
        for table, made in rows.items():
            written.rows[table] += len(made)
            new = put(out / table / f"day={day}" / "part.parquet", parquet(table, made))
            written.files += new
            written.same += not new
    return written


def _days(
    log: EventLog, *, rewards: Rewards, since: date | None, until: date | None, told: Callable[[int], None]
) -> Iterator[tuple[date, dict[str, list[Row]]]]:
    """Each day that is over, with its rows by table; a day on which nothing happened is not there."""
    joiner, last = Joiner(rewards), log.last_position()
    waiting: dict[date, dict[str, list[Row]]] = {}
    start = 0 if since is None else log.position_before(_midnight(since) - rewards.longest - timedelta(days=1))

    def rows_of(day: date) -> dict[str, list[Row]]:
        return waiting.setdefault(day, {table: [] for table in TABLES})

    for event in log.read(after=start, until=last):
        today = event.recorded_at.date()
        for each in joiner.feed(event):
            if isinstance(each, Round):
                closed = each.decision.made_at + rewards.longest
                rows_of(closed.date())["rounds"] += _round_rows(each, closed=closed)
        for day in sorted(day for day in waiting if day < today):
            found = waiting.pop(day)
            if (since is None or since <= day) and (until is None or day < until):
                yield day, found
        if until is not None and today >= until:
            return
        _take(event, rows_of(today))
        told(event.position)


def _take(event: Event, rows: dict[str, list[Row]]) -> None:
    if isinstance(event.body, Decision):
        rows["decisions"].append(_decision_row(event, event.body))
        rows["slots"] += _slot_rows(event.body)
    elif isinstance(event.body, Outcome):
        rows["outcomes"].append(_outcome_row(event, event.body))


def _decision_row(event: Event, d: Decision) -> Row:
    return {
        "decision_id": d.decision_id,
        "position": event.position,
        "recorded_at": event.recorded_at,
        "made_at": d.made_at,
        "token": str(d.token),
        "unit": d.unit,
        "surface": d.surface,
        "mode": d.mode,
        "policy": d.policy,
        "purpose": d.purpose,
        "experiments": [f"{each.experiment_id}={each.variant}" for each in d.experiments],
        "n_slots": d.n_slots,
        "n_shown": len(d.shown),
        "shortfall": d.shortfall,
        **{name: getattr(d.versions, name) for name in _VERSIONS},
        "redraws": d.redraws,
        "latency_us": d.latency_us,
    }


def _slot_rows(d: Decision) -> Iterator[Row]:
    candidates = [candidate.product_id for candidate in d.candidates]
    for slot, pmf in zip(d.slots, d.pmfs.tolist(), strict=True):
        yield {
            "decision_id": d.decision_id,
            "slot": slot.number,
            "product_id": slot.product_id,
            "creative_id": slot.creative_id,
            "propensity": slot.propensity,
            "reasons": [reason.code for reason in slot.reasons],
            "candidates": candidates,
            "pmf": pmf,
        }


def _outcome_row(event: Event, o: Outcome) -> Row:
    return {
        "outcome_id": o.outcome_id,
        "position": event.position,
        "recorded_at": event.recorded_at,
        "happened_at": o.happened_at,
        "decision_id": o.decision_id,
        "token": str(o.token),
        "product_id": o.product_id,
        "kind": o.kind,
        "amount_pence": o.amount_pence,
    }


def _round_rows(each: Round, *, closed: datetime) -> Iterator[Row]:
    d = each.decision
    for row, slot in enumerate(d.slots):
        null = slot.product_id == NOTHING  # it ends the slate, so the rows of all others are those of the rewards
        yield {
            "decision_id": d.decision_id,
            "slot": slot.number,
            "product_id": slot.product_id,
            "unit": d.unit or str(d.token),
            "policy": d.policy,
            "mode": d.mode,
            "surface": d.surface,
            "made_at": d.made_at,
            "closed_at": closed,
            "propensity": slot.propensity,
            "reward": 0.0 if null else float(each.rewards[row]),
            "seen": False if null else bool(each.seen[row]),
            "stages": [] if null else [name for name, marks in each.stages.items() if marks[row]],
        }


def parquet(table: str, rows: list[Row]) -> bytes:
    """Rows of one table as a file; the same rows give the same bytes."""
    _, columns = TABLES[table]
    frame = pl.DataFrame(rows, schema={name: kind for name, (kind, _) in columns.items()}, orient="row")
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; whether it is new or changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by an export that was killed
        if not _running(left.suffix[1:]):
            left.unlink(missing_ok=True)
    if path.exists() and path.read_bytes() == content:
        return False
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_bytes(content)
    staged.replace(path)
    return True


def _running(process: str) -> bool:
    """Whether a process of this number is there."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
