"""A PostgreSQL log of many events: what it takes on disk, and what appends and tails cost beside an empty one.

EVENTS=1000000 is another number (of 10,000,000; 100,000,000 take 73 GB). They lie over DAYS=100 days, one decision to
three outcomes, and come in by COPY. Then, in the same run on the same server: groups of 64 appended, pages of 2,000
read from the end, decisions found by their ids, and a day that has been kept long enough.
Run: POSTGRES=postgresql://postgres@127.0.0.1:5432/postgres python -m tests.benchmarks postgres-size
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import randbytes
from statistics import median

from sqlalchemy import create_engine, make_url, text

from recsys import records
from recsys.clocks import FixedClock
from recsys.database import Database
from recsys.eventlog import Entry, EventLog
from recsys.partitions import day_of, drop, open_day, partitions
from recsys.terms import load
from tests import builders
from tests.builders import START

SERVER = os.environ.get("POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
EVENTS = int(os.environ.get("EVENTS", "10000000"))
DAYS = int(os.environ.get("DAYS", "100"))
DECISIONS = 4  # one event in so many
GROUPS, GROUP, PAGES = 200, 64, 100
_EVENT = "position, kind, key, digest, token, recorded_at, schema, text"
_KEY = "key, position, recorded_at, digest, token, term"


def main() -> None:
    """Print bytes an event, events loaded a second, and the two rates beside those of an empty log."""
    with _fresh() as empty, _fresh() as full:
        started = time.perf_counter()
        loaded = _load(full, EVENTS)
        took = time.perf_counter() - started
        with full.reading() as connection:
            connection.execute(text("ANALYZE"))
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0
            parts = len(partitions(connection))
        print(f"{loaded:,} events in {parts} partitions, {size / 2**30:.1f} GiB, {size / loaded:,.0f} bytes an event")
        print(f"loaded by COPY in {took:,.0f} s, {loaded / took:,.0f} a second")
        print(f"{'':8} {'append µs':>10} {'tail events/s':>14} {'decision ms':>12} {'position ms':>12}")
        for name, database in (("empty", empty), ("full", full)):
            log = EventLog(database, clock=FixedClock(START + timedelta(days=DAYS)))
            append = _append(log)
            print(
                f"{name:8} {append:>10,.0f} {_tail(log):>14,.0f} {_look_up(log):>12.2f} {_position(log):>12.2f}",
                flush=True,
            )
        _drop(full)


def _load(database: Database, n: int) -> int:
    """COPY n events, a day at a time, as an append would have written them."""
    each = max(DECISIONS, n // DAYS // DECISIONS * DECISIONS)
    term = load().of([])
    decision = replace(builders.decision("x" * 32, token="y" * 16), retention=term)
    encoded, told = (
        records.encode(decision),
        records.encode(builders.outcome("z" * 32, token="y" * 16, decision_id="x" * 32)),
    )
    log = EventLog(database, clock=FixedClock(START))
    log.append([Entry(decision)])  # its parts
    position, raw = 1, database._writer.raw_connection()
    for day in range(DAYS):
        at = records.micros((START + timedelta(days=day)).replace(hour=1))
        with database.writing() as connection:
            open_day(connection, day_of(at))
        rows, keys = [], []
        with raw.cursor() as cursor:
            for start in range(0, each, 100_000):
                rows, keys = list[str](), list[str]()
                for _ in range(start, min(each, start + 100_000), DECISIONS):
                    name, token = randbytes(16).hex(), randbytes(8).hex()
                    body = encoded.text.replace("x" * 32, name).replace("\\", "\\\\")
                    for kind, key, said, its in (
                        ("decision", f"decision:{name}", body, term),
                        *(("outcome", f"outcome:{randbytes(16).hex()}", told.text.replace("x" * 32, name), "\\N")
                          for _ in range(DECISIONS - 1)),
                    ):  # fmt: skip
                        position, at = position + 1, at + 50
                        digest = randbytes(16).hex()
                        rows.append(f"{position}\t{kind}\t{key}\t{digest}\t{token}\t{at}\t{records.SCHEMA}\t{said}\n")
                        keys.append(f"{key}\t{position}\t{at}\t{digest}\t{token}\t{its}\n")
                with cursor.copy(f"COPY events ({_EVENT}) FROM STDIN") as copy:
                    copy.write("".join(rows))
                with cursor.copy(f"COPY event_keys ({_KEY}) FROM STDIN") as copy:
                    copy.write("".join(keys))
                raw.commit()
    raw.close()
    return position


def _append(log: EventLog) -> float:
    """Median microseconds a decision, in groups."""
    seconds = []
    for _ in range(GROUPS):
        group = [
            Entry(replace(builders.decision(secrets.token_hex(16)), token=secrets.token_urlsafe(12)))
            for _ in range(GROUP)
        ]
        started = time.perf_counter()
        log.append(group)
        seconds.append(time.perf_counter() - started)
    return median(seconds) / GROUP * 1e6


def _tail(log: EventLog) -> float:
    """Events a second, in pages from near the end."""
    last = log.last_position()
    started, n = time.perf_counter(), 0
    for _ in range(PAGES // 10):
        n += len(log.page(after=last - 2_000))
    return n / (time.perf_counter() - started)


def _look_up(log: EventLog) -> float:
    """Median milliseconds to find a decision by its id."""
    ids = [event.body.decision_id for event in log.page(after=log.last_position() - 200, kinds=("decision",))]  # type: ignore[union-attr]
    return _median([lambda each=each: log.decision(each) for each in ids[:PAGES]])  # type: ignore[misc]


def _position(log: EventLog) -> float:
    """Median milliseconds to find the position before a moment."""
    return _median([lambda: log.position_before(START + timedelta(days=DAYS / 2))] * 10)


def _median(calls: list) -> float:  # type: ignore[type-arg]
    seconds = []
    for call in calls:
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return median(seconds) * 1e3


def _drop(database: Database) -> None:
    """What retention takes for one day that ended."""
    started = time.perf_counter()
    with database.writing() as connection:
        gone = drop(connection, partitions(connection)[0])
    print(f"retention: {sum(gone.values()):,} events of one day gone in {time.perf_counter() - started:.1f} s")


@contextmanager
def _fresh() -> Iterator[Database]:
    name = f"recsys_size_{secrets.token_hex(4)}"
    engine = create_engine(make_url(SERVER).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    database = Database(make_url(SERVER).set(database=name).render_as_string(hide_password=False)).create()
    try:
        yield database
    finally:
        database.close()
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


if __name__ == "__main__":
    main()
