"""A PostgreSQL log of many events: what it takes on disk, and what appends and tails cost beside an empty one.

EVENTS=1000000 is another number (of 10,000,000; 100,000,000 take 70 GB). They lie over DAYS=100 days, one decision to
three outcomes, and come in as a restore brings them: by COPY, the indexes of their keys made afterwards. Then, in the
same run on the same server: groups of 64 appended, pages of 2,000 read from the end, decisions found by their ids, and
a day that has been kept long enough.
Run: POSTGRES=postgresql://postgres@127.0.0.1:5432/postgres python -m tests.benchmarks postgres-size
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from random import Random
from statistics import median
from threading import Event, Thread

import psycopg
from sqlalchemy import create_engine, make_url, text

from recsys import records
from recsys.clocks import FixedClock
from recsys.database import Database
from recsys.ended_days import drop
from recsys.eventlog import Entry, EventLog
from recsys.partitions import day_of, open_day, partitions
from recsys.terms import load
from recsys.vocabulary import Decision, Token
from tests import builders
from tests.builders import START

SERVER = os.environ.get("POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
EVENTS = int(os.environ.get("EVENTS", "10000000"))
DAYS = int(os.environ.get("DAYS", "100"))
DECISIONS = 4  # one event in so many
GROUPS, GROUP, PAGES = 200, 64, 100
LOADERS = 2  # processes
_EVENT = "position, kind, key, digest, token, recorded_at, schema, text"
_KEY = "key, position, recorded_at, digest, token, term"
_MADE_LATER = (
    "ALTER TABLE event_keys DROP CONSTRAINT event_keys_pkey",
    "DROP INDEX event_keys_by_position",
)
_MADE_AFTERWARDS = (
    "SET LOCAL maintenance_work_mem = '2GB'",
    "ALTER TABLE event_keys ADD PRIMARY KEY (key)",
    "CREATE UNIQUE INDEX event_keys_by_position ON event_keys (position)",
)
_SIZES = """
SELECT CASE WHEN c.relname LIKE 'events\\_2%' THEN 'events' ELSE c.relname END || CASE c.relkind WHEN 'i'
THEN ' (an index)' ELSE '' END AS name, sum(pg_relation_size(c.oid))::bigint AS bytes FROM pg_class c
WHERE c.relname LIKE 'event%' AND c.relkind IN ('r', 'i') GROUP BY 1 ORDER BY 2 DESC
"""


def main() -> None:
    """Print bytes an event, events loaded a second, and the two rates beside those of an empty log."""
    with _fresh() as empty, _fresh() as full:
        started = time.perf_counter()
        loaded = _load(full, EVENTS)
        copied = time.perf_counter()
        with full.writing() as connection:
            for statement in _MADE_AFTERWARDS:
                connection.execute(text(statement))
        indexed = time.perf_counter()
        print(f"{loaded:,} events by COPY in {copied - started:,.0f} s, {loaded / (copied - started):,.0f} a second")
        print(f"indexes of their keys in {indexed - copied:,.0f} s")
        with full.reading() as connection:
            connection.execute(text("ANALYZE"))
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0
            parts = len(partitions(connection))
            print(f"{size / 2**30:.1f} GiB in {parts} partitions, {size / loaded:,.0f} bytes an event, of which")
            for name, bytes_ in connection.execute(text(_SIZES)):
                print(f"  {name:24} {bytes_ / loaded:>6,.0f}", flush=True)
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
    """COPY n events, a day at a time, days side by side, as appends would have written them; returns how many."""
    each = max(DECISIONS, n // DAYS // DECISIONS * DECISIONS)
    log = EventLog(database, clock=FixedClock(START))
    log.append([Entry(_decision())])  # its parts
    with database.writing() as connection:
        for statement in _MADE_LATER:
            connection.execute(text(statement))
        for day in range(DAYS):
            open_day(connection, day_of(_start_of(day)))
    with ProcessPoolExecutor(LOADERS) as loaders:
        url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        for day in loaders.map(partial(_load_day, url, each), range(DAYS)):
            if day % 10 == 9:
                print(f"  {(day + 1) * each:,} events", flush=True)
    return DAYS * each + 1


def _load_day(url: str, each: int, day: int) -> int:
    decided, told = (
        records.encode(_decision()).text.replace("\\", "\\\\"),
        records.encode(builders.outcome("z" * 32, token="y" * 16, decision_id="x" * 32)).text,
    )
    random, position, at, term = Random(day), 1 + day * each, _start_of(day), load().of([])
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for start in range(0, each, 40_000):
            rows, keys = list[str](), list[str]()
            for _ in range(start, min(each, start + 40_000), DECISIONS):
                drawn = random.randbytes(40 + 32 * (DECISIONS - 1)).hex()
                name, token = drawn[:32], drawn[32:48]
                outcome = told.replace("x" * 32, name)
                for n in range(DECISIONS):
                    digest, own = drawn[48 + n * 32 : 80 + n * 32], drawn[-32 * n :][:32]
                    kind, key, said, its = (
                        ("outcome", f"outcome:{own}", outcome, "\\N")
                        if n
                        else ("decision", f"decision:{name}", decided.replace("x" * 32, name), term)
                    )
                    position, at = position + 1, at + 50
                    rows.append(f"{position}\t{kind}\t{key}\t{digest}\t{token}\t{at}\t{records.SCHEMA}\t{said}\n")
                    keys.append(f"{key}\t{position}\t{at}\t{digest}\t{token}\t{its}\n")
            with cursor.copy(f"COPY events ({_EVENT}) FROM STDIN") as copy:
                copy.write("".join(rows))
            with cursor.copy(f"COPY event_keys ({_KEY}) FROM STDIN") as copy:
                copy.write("".join(keys))
            connection.commit()
    return day


def _decision() -> Decision:
    return replace(builders.decision("x" * 32), token=Token("y" * 16), retention=load().of([]))


def _start_of(day: int) -> int:
    return records.micros((START + timedelta(days=day)).replace(hour=1))


def _append(log: EventLog) -> float:
    """Median microseconds a decision, in groups."""
    seconds = []
    for _ in range(GROUPS):
        group = [
            Entry(replace(builders.decision(secrets.token_hex(16)), token=Token(secrets.token_urlsafe(12))))
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
    return _median([lambda each=each: log.decision(each) for each in ids[:PAGES]])


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
    """What retention takes for one day that ended, and how long an append had to wait meanwhile."""
    waits, ended = list[float](), Event()

    def appending() -> None:
        log = EventLog(database, clock=FixedClock(START + timedelta(days=DAYS)))
        while not ended.wait(0.02):
            started = time.perf_counter()
            log.append([Entry(builders.decision(secrets.token_hex(16)))])
            waits.append(time.perf_counter() - started)

    with database.reading() as connection:
        oldest = partitions(connection)[0]
    beside = Thread(target=appending)
    beside.start()
    started = time.perf_counter()
    gone = drop(database, oldest, over=[load().of([]), None]) or {}  # its first decision, of the parts, has no term
    took = time.perf_counter() - started
    ended.set()
    beside.join()
    print(
        f"retention: {sum(gone.values()):,} events of one day gone in {took:.1f} s; of {len(waits):,} appends beside "
        f"it the longest took {max(waits) * 1e3:.0f} ms, the median {median(waits) * 1e3:.1f}"
    )


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
