"""On PostgreSQL the log lies in a partition a day: hot statements read one of them, and what ended goes as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.event import listen, remove

from recsys import ended_days, partitions, terms
from recsys.clocks import FixedClock
from recsys.database import Database
from recsys.errors import StoreUnavailable
from recsys.eventlog import Entry, EventLog, Status
from recsys.expiring import expire
from recsys.terms import term_of
from recsys.vocabulary import Decision, Display, PermissionChange, Permissions, Token
from tests import builders
from tests.builders import START
from tests.laws.conftest import Store

DAY = timedelta(days=1)
DAYS = 7
TERMS = terms.load()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def lived(database: Database, clock: FixedClock) -> Iterator[EventLog]:
    """A log of some days: each with decisions, what was displayed, and an outcome of the day before."""
    if database.dialect != "postgresql":
        pytest.skip("SQLite keeps the log in one table")
    log = EventLog(database, clock=clock)
    for day in range(DAYS):
        clock.set(START + day * DAY)
        entries = list[Entry]()
        for n in range(2):
            made = builders.decision(f"d-{day}-{n}", token=f"t-{n}", made_at=clock.now())
            entries += [
                Entry(replace(made, retention=TERMS.of([]))),
                Entry(Display(made.decision_id, clock.now(), ("pot",))),
            ]
            if day:
                its = builders.outcome(f"o-{day}-{n}", token=f"t-{n}", decision_id=f"d-{day - 1}-{n}")
                entries.append(Entry(replace(its, happened_at=clock.now())))
        log.append(entries)
    return log


def read_by(database: Database, statement: str, values: Any) -> tuple[set[str], set[str]]:
    """(the tables that a statement reads, those among them that no index leads to)."""
    with database.reading() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")  # tables as small as these are else read whole
        said = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar()
        connection.exec_driver_sql("SET enable_seqscan = on")
    read, whole, left = set[str](), set[str](), [said[0]["Plan"]]  # type: ignore[index]
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        if "Relation Name" in node:
            read.add(node["Relation Name"])
            if node["Node Type"] == "Seq Scan":
                whole.add(node["Relation Name"])
    return read, whole


def test_hot_statements_use_an_index_and_read_the_partitions_of_their_days_alone(
    database: Database, lived: EventLog
) -> None:
    asked: list[tuple[str, Any]] = []

    def heard(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "event" in statement:
            asked.append((statement, values))

    engines = (database._reader, database._writer)
    for engine in engines:
        listen(engine, "before_cursor_execute", heard)
    last = lived.last_position()
    lived.page(after=last - 3)
    lived.page(after=last - 3, until=last, kinds=("decision",))
    list(lived.glance(after=last - 3))
    lived.decision("d-6-1")
    lived.recorded_at(last)
    lived.append([Entry(builders.outcome("o-new", token="t-1", decision_id="d-6-1"))])
    for engine in engines:
        remove(engine, "before_cursor_execute", heard)
    assert len(asked) > 8
    for statement, values in asked:
        read, whole = read_by(database, statement, values)
        assert not whole, statement
        assert read <= {"event_keys", "events_20260308"}, statement


def test_ret_1_a_day_that_ended_goes_as_a_table_and_takes_what_was_reported_of_it(
    database: Database, lived: EventLog, clock: FixedClock
) -> None:
    term = term_of(TERMS.of([]))
    ended = term.after((START + 4 * DAY).replace(hour=0))
    assert ended is not None
    with database.reading() as connection:
        assert len(partitions.partitions(connection)) == DAYS
    gone = expire(database, log=lived, terms=TERMS, now=ended + timedelta(hours=1))
    assert gone.counts == {"decisions": 8, "reports": 16, "activities": 0}  # 8 displays, 8 outcomes a day later
    with database.reading() as connection:
        left = partitions.partitions(connection)
        known = connection.execute(select(func.count()).select_from(partitions.event_keys)).scalar()
    assert left[0].name == "events_20260306"
    events = list(lived.read())
    assert known == len(events) == 3 * 6 - 2
    assert {event.body.decision_id[:3] for event in events if isinstance(event.body, Decision)} == {
        f"d-{day}"[:3] for day in range(4, DAYS)
    }
    receipt = lived.append([Entry(builders.outcome("o-1-1", token="t-1", decision_id="d-5-1"))])
    assert receipt[0].status is Status.APPENDED  # its name is free again


def test_ret_1_what_is_kept_for_ever_or_longer_outlives_its_day(database: Database, clock: FixedClock) -> None:
    if database.dialect != "postgresql":
        pytest.skip("SQLite keeps the log in one table")
    log = EventLog(database, clock=clock)
    kept = replace(builders.decision("d-pension", token="t-1"), retention=TERMS.of(["pension"]))
    log.append([Entry(kept)])
    clock.set(START + DAY)
    log.append([Entry(PermissionChange(Token("t-1"), Permissions(in_app=True), clock.now()))])
    log.append([Entry(replace(builders.decision("d-1", token="t-1"), retention=TERMS.of([])))])
    log.append([Entry(builders.outcome("o-pension", token="t-1", decision_id="d-pension"))])
    log.append([Entry(builders.outcome("o-1", token="t-1", decision_id="d-1"))])
    clock.set(START + 2 * DAY)
    log.append([Entry(PermissionChange(Token("t-1"), Permissions(), clock.now()))])
    expire(database, log=log, terms=TERMS, now=START + 4_000 * DAY)
    assert [event.position for event in log.read()] == [1, 2, 4, 6]
    with database.reading() as connection:
        assert len(partitions.partitions(connection)) == 3


def test_ret_1_a_day_whose_going_was_cut_short_goes_the_next_time(
    database: Database, lived: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = term_of(TERMS.of([])).after((START + 2 * DAY).replace(hour=0))
    assert ended is not None

    def cut(*_: object, **__: object) -> None:
        raise StoreUnavailable("somebody reads")

    with monkeypatch.context() as patched:
        patched.setattr(ended_days, "_table_gone", cut)
        expire(database, log=lived, terms=TERMS, now=ended + timedelta(hours=1))
    with database.reading() as connection:
        assert len(partitions.partitions(connection)) == DAYS
    expire(database, log=lived, terms=TERMS, now=ended + timedelta(hours=1))
    left = list(lived.read())
    assert {event.body.decision_id[:3] for event in left if isinstance(event.body, Decision)} == {
        f"d-{day}" for day in range(2, DAYS)
    }
    assert len(left) == 6 * 5 - 2
    with database.reading() as connection:
        assert len(partitions.partitions(connection)) == DAYS - 2
        assert connection.execute(select(func.count()).select_from(partitions.event_keys)).scalar() == len(left)


def test_an_installation_of_one_table_becomes_partitions_in_place(store: Store, database: Database) -> None:
    if database.dialect != "postgresql":
        pytest.skip("SQLite keeps the log in one table")
    clock = FixedClock(START)
    log = EventLog(database, clock=clock)
    log.append([Entry(builders.decision("d-1")), Entry(builders.outcome("o-1", decision_id="d-1"))])
    with database.writing() as connection:  # as schema 6 had it
        for statement in AS_IT_WAS:
            connection.exec_driver_sql(statement)
    newer = Database(store.url).create()
    clock.set(START + DAY)
    again = EventLog(newer, clock=clock)
    assert [event.position for event in again.read()] == [1, 2]
    assert again.decision("d-1").position == 1
    receipts = again.append([Entry(builders.outcome(each, decision_id="d-1")) for each in ("o-1", "o-2")])
    assert [each.status for each in receipts] == [Status.DUPLICATE, Status.APPENDED]
    assert expire(newer, log=again, terms=TERMS, now=START + 4_000 * DAY).counts["decisions"] == 1
    with newer.reading() as connection:
        assert [each.name for each in partitions.partitions(connection)] == ["events_before", "events_20260303"]
    newer.close()


AS_IT_WAS = (
    "CREATE TABLE plain (LIKE events)",
    "INSERT INTO plain SELECT * FROM events",
    "DROP TABLE events",
    "DROP TABLE event_keys",
    "ALTER TABLE plain RENAME TO events",
    "ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (position), ADD CONSTRAINT events_key_key UNIQUE (key)",
    "CREATE INDEX ix_events_token ON events (token)",
    "UPDATE meta SET value = '6' WHERE name = 'schema'",
)
