"""Durable appends through the event log against a bare durable insert of rows of the same size, in one run.

The reference is sqlite3 alone (WAL, synchronous FULL, one transaction a group, one text column).
"""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from recsys import records
from recsys.clocks import WallClock
from recsys.database import Database, sqlite_url
from recsys.eventlog import Entry, EventLog
from recsys.vocabulary import Decision
from tests import builders

GROUPS = (1, 16, 64)
SECONDS = 3.0


def main() -> None:
    """Print microseconds a decision for each group size: ours, the bare insert, and the ratio."""
    decision = builders.decision("d-0")
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Database(sqlite_url(Path(folder) / "log.db")).create(), clock=WallClock())
        bare = _bare(Path(folder) / "bare.db", records.encode(decision).text)
        print(f"record of {len(records.encode(decision).text)} bytes")
        print(f"{'group':>6} {'ours µs':>9} {'bare µs':>9} {'ratio':>6}")
        for size in GROUPS:
            ours = _each(lambda group: log.append([Entry(each) for each in group]), decision, size)
            reference = _each(bare, decision, size)
            print(f"{size:>6} {ours:>9.0f} {reference:>9.0f} {ours / reference:>6.1f}")


def _bare(path: Path, text: str) -> Callable[[Sequence[Decision]], None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT)")

    def insert(group: Sequence[Decision]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (key, text) VALUES (?, ?)", [(d.decision_id, text) for d in group])
        connection.execute("COMMIT")

    return insert


def _each(append: Callable[[Sequence[Decision]], object], decision: Decision, size: int) -> float:
    """Microseconds a decision, over about three seconds."""
    n, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        append([replace(decision, decision_id=secrets.token_hex(16)) for _ in range(size)])
        n += size
    return (time.perf_counter() - started) / n * 1e6


if __name__ == "__main__":
    main()
