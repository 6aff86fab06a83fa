"""What the event log promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select

from recsys import database as db
from recsys.clocks import FixedClock
from recsys.commit import GroupCommit
from recsys.database import Database
from recsys.errors import Conflict, Corrupt, StoreUnavailable, UnknownDecision
from recsys.eventlog import REQUEST_LIFE, Entry, EventLog, Receipt, Request, Status
from recsys.partitions import forget_keys
from recsys.records import encode
from recsys.vocabulary import Body, Display, Exposed, Switch
from tests.builders import START, at, decision, outcome
from tests.laws.conftest import Store

WRITERS, EACH = 4, 200


def taps(n: int, *, prefix: str = "o") -> list[Entry]:
    return [Entry(outcome(f"{prefix}-{i}")) for i in range(n)]


def write(url: str, name: str) -> None:
    """One writing process."""
    opened = Database(url)
    log = EventLog(opened, clock=FixedClock(START))
    for i in range(EACH):
        log.append([Entry(outcome(f"{name}-{i}"))])
    opened.close()


# -- positions ---------------------------------------------------------------------------------


def test_positions_count_from_one_without_a_gap(log: EventLog) -> None:
    receipts = [*log.append(taps(3)), *log.append([Entry(decision())]), *log.append(taps(2, prefix="p"))]
    assert [receipt.position for receipt in receipts] == [1, 2, 3, 4, 5, 6]
    assert [event.position for event in log.read()] == [1, 2, 3, 4, 5, 6]
    assert log.last_position() == 6
    assert log.counts() == {"outcome": 5, "decision": 1}


def test_events_are_had_again_by_their_positions(store: Store) -> None:
    """On whichever day they were recorded; those that there are not are left out."""
    opened = Database(store.url).create()
    for day in range(3):
        EventLog(opened, clock=FixedClock(at(day))).append([Entry(decision(f"d-{day}")), *taps(1, prefix=f"{day}")])
    log = EventLog(opened, clock=FixedClock(at(3)))
    found = log.at([5, 1, 4, 99])
    assert {position: event.body for position, event in found.items()}.keys() == {1, 4, 5}
    assert [encode(found[each].body).key for each in (1, 4, 5)] == ["decision:d-0", "outcome:1-0", "decision:d-2"]
    assert log.at([]) == {}
    opened.close()


@pytest.mark.processes
def test_a_tail_never_skips_or_repeats_what_several_processes_write(store: Store, log: EventLog) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write, args=(store.url, f"w{n}")) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    while any(writer.is_alive() for writer in writers) or log.last_position() > len(seen):
        page = log.page(after=len(seen), limit=50)
        assert [event.position for event in page] == list(range(len(seen) + 1, len(seen) + len(page) + 1))
        seen += [getattr(event.body, "outcome_id", "") for event in page]
    for writer in writers:
        writer.join(30)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert log.last_position() == WRITERS * EACH
    for name in ("w0", "w1", "w2", "w3"):  # each writer's own order is kept, and nothing is missing
        assert [each for each in seen if each.startswith(f"{name}-")] == [f"{name}-{i}" for i in range(EACH)]


def test_recorded_at_never_runs_backwards(database: Database) -> None:
    clock = FixedClock(at(2))
    log = EventLog(database, clock=clock)
    log.append(taps(1))
    clock.set(at(1))
    log.append(taps(1, prefix="p"))
    clock.set(at(3))
    log.append(taps(1, prefix="q"))
    assert [event.recorded_at for event in log.read()] == [at(2), at(2), at(3)]


def test_the_last_position_before_a_moment_is_found_whatever_has_expired(database: Database) -> None:
    clock = FixedClock(at(1))
    log = EventLog(database, clock=clock)
    for n, minute in enumerate((1, 1, 4, 4, 4, 7, 9)):
        clock.set(at(minute))
        log.append(taps(1, prefix=f"m{n}"))
    gone = [1, 4, 6]
    with database.writing() as connection:
        connection.execute(delete(db.events).where(db.events.c.position.in_(gone)))
        forget_keys(connection, gone)
    kept = [(event.position, event.recorded_at) for event in log.read()]
    assert [position for position, _ in kept] == [2, 3, 5, 7]
    for minute in range(11):
        earlier = [position for position, recorded_at in kept if recorded_at < at(minute)]
        assert log.position_before(at(minute)) == max(earlier, default=0)


def test_reading_from_the_middle_and_by_kind(log: EventLog) -> None:
    log.append([*taps(4), Entry(decision()), *taps(2, prefix="p")])
    assert [event.position for event in log.read(after=2, until=5)] == [3, 4, 5]
    assert [event.position for event in log.read(kinds=["decision"])] == [5]
    assert [event.position for event in log.page(after=0, limit=2)] == [1, 2]


def test_a_glance_sees_exposures_and_outcomes(log: EventLog) -> None:
    log.append(
        [
            Entry(decision(experiments={"e": "b"}, unit="u-1")),
            Entry(Switch("all", "", off=True, reason="drill", by="ada")),
        ]
    )
    log.append(taps(1))
    first, second = log.glance()
    assert isinstance(first.body, Exposed)
    assert (first.body.unit, first.body.experiments[0].variant) == ("u-1", "b")
    assert (second.position, second.body) == (3, outcome("o-0"))


# -- durability --------------------------------------------------------------------------------


def test_what_was_appended_is_there_after_reopening(store: Store) -> None:
    bodies: list[Body] = [decision(request_id="r"), outcome(decision_id="d-1"), Display("d-1", at(hours=1), ("pot",))]
    first = Database(store.url).create()
    EventLog(first, clock=FixedClock(START)).append([Entry(body) for body in bodies])
    first.close()
    second = Database(store.url).create()
    found = list(EventLog(second, clock=FixedClock(START)).read())
    second.close()
    assert [encode(event.body) for event in found] == [encode(body) for body in bodies]


def test_a_newer_schema_is_refused(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(db.meta.update().where(db.meta.c.name == "schema").values(value="99"))
    with pytest.raises(Corrupt, match="schema 99"):
        database.create()


def test_a_part_that_is_missing_is_named(database: Database, other: EventLog) -> None:
    EventLog(database, clock=FixedClock(START)).append([Entry(decision())])
    with database.writing() as connection:
        connection.execute(db.parts.delete())
    with pytest.raises(Corrupt, match="missing"):
        list(other.read())


def test_decisions_that_share_their_configuration_share_their_parts(database: Database, log: EventLog) -> None:
    def parts() -> int:
        with database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(db.parts)).scalar_one())

    log.append([Entry(decision("d-0"))])
    once = parts()
    log.append([Entry(decision(f"d-{i}", token=f"t-{i}")) for i in range(1, 40)])
    assert 0 < once == parts()


# -- repeats and requests ----------------------------------------------------------------------


def test_appending_again_changes_nothing(log: EventLog) -> None:
    first = log.append([Entry(decision()), *taps(2)])
    again = log.append([Entry(decision()), *taps(2)])
    assert [receipt.position for receipt in again] == [receipt.position for receipt in first]
    assert {receipt.status for receipt in again} == {Status.DUPLICATE}
    assert log.last_position() == 3


def test_the_same_id_with_another_content_is_a_conflict(log: EventLog) -> None:
    log.append([Entry(decision()), Entry(outcome("o-1"))])
    receipts = log.append([Entry(decision(surface="savings")), Entry(outcome("o-1", kind="opened")), *taps(1)])
    assert [receipt.status for receipt in receipts] == [Status.CONFLICT, Status.CONFLICT, Status.APPENDED]
    kept = log.decision("d-1").body
    assert encode(kept) == encode(decision())


def test_a_repeat_inside_one_batch_counts_once(log: EventLog) -> None:
    receipts = log.append([Entry(outcome("o-1")), Entry(outcome("o-1")), Entry(outcome("o-1", kind="opened"))])
    assert [receipt.status for receipt in receipts] == [Status.APPENDED, Status.DUPLICATE, Status.CONFLICT]
    assert log.last_position() == 1


def test_racing_requests_with_one_id_come_to_one_decision(log: EventLog, other: EventLog) -> None:
    start = threading.Barrier(8)

    def ask(n: int) -> Receipt:
        start.wait()
        entry = Entry(decision(f"d-{n}", request_id="r-1"), Request("app", "r-1", "same body"))
        return (log, other)[n % 2].append([entry])[0]

    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(ask, range(8)))
    (winner,) = [n for n, receipt in enumerate(receipts) if receipt.status is Status.APPENDED]
    assert log.counts() == {"decision": 1}
    assert log.decision(f"d-{winner}").position == 1
    repeats = [receipt for n, receipt in enumerate(receipts) if n != winner]
    assert {(receipt.status, receipt.decision_id) for receipt in repeats} == {(Status.DUPLICATE, f"d-{winner}")}


def test_a_request_id_belongs_to_its_key_and_its_body(log: EventLog) -> None:
    log.append([Entry(decision("d-1"), Request("app", "r-1", "one body"))])
    other_body, other_key = log.append(
        [
            Entry(decision("d-2"), Request("app", "r-1", "another body")),
            Entry(decision("d-3"), Request("web", "r-1", "another body")),
        ]
    )
    assert (other_body.status, other_body.decision_id) == (Status.CONFLICT, "d-1")
    assert other_key.status is Status.APPENDED
    assert log.asked("app", "r-1") == ("one body", "d-1")
    assert log.asked("app", "r-2") is None


def test_request_ids_are_forgotten_after_a_week(database: Database) -> None:
    clock = FixedClock(START)
    log = EventLog(database, clock=clock)
    log.append([Entry(decision("d-1"), Request("app", "r-1", "body"))])
    clock.set(START + REQUEST_LIFE)
    assert log.forget_requests() == 0
    clock.set(START + REQUEST_LIFE + timedelta(seconds=1))
    assert log.forget_requests() == 1
    assert log.append([Entry(decision("d-2"), Request("app", "r-1", "body"))])[0].status is Status.APPENDED


def test_a_decision_that_is_not_there_is_named(log: EventLog) -> None:
    log.append([Entry(decision("d-1"))])
    assert set(log.decisions(["d-1", "d-9"])) == {"d-1"}
    with pytest.raises(UnknownDecision, match="d-9"):
        log.decision("d-9")


# -- group commit ------------------------------------------------------------------------------


def test_appends_that_arrive_together_share_commits_and_are_visible_when_answered(
    log: EventLog, other: EventLog
) -> None:
    visible: list[bool] = []
    commit = GroupCommit(log)
    futures = []
    for i in range(200):
        future = commit.submit([Entry(outcome(f"o-{i}"))])
        future.add_done_callback(lambda done: visible.append(other.last_position() >= done.result()[0].position))
        futures.append(future)
    positions = [future.result(timeout=30)[0].position for future in futures]
    commit.close()
    assert positions == list(range(1, 201))
    assert visible == [True] * 200
    assert commit.commits <= 50


def test_what_the_coroutines_of_a_loop_bring_together_shares_a_commit(log: EventLog) -> None:
    commit = GroupCommit(log)

    async def together() -> list[list[Receipt]]:
        return await asyncio.gather(*(commit.durable(taps(1, prefix=f"c{n}")) for n in range(20)))

    receipts = asyncio.run(together())
    commit.close()
    assert [receipt.position for [receipt] in receipts] == list(range(1, 21))
    assert commit.commits <= 2  # the thread may have woken before the last was handed over


def test_a_coroutine_hears_that_the_log_closed_before_it_was_handed_over(log: EventLog) -> None:
    commit = GroupCommit(log)

    async def late() -> None:
        waiting = asyncio.ensure_future(commit.durable(taps(1)))
        await asyncio.sleep(0)  # it waits, and is handed over in the next pass
        commit.close()
        await waiting

    with pytest.raises(StoreUnavailable, match="closing"):
        asyncio.run(late())
    assert log.last_position() == 0


def test_each_caller_gets_its_own_receipts(log: EventLog) -> None:
    commit = GroupCommit(log)
    sizes = [1, 3, 2, 5]
    futures = [commit.submit(taps(size, prefix=f"c{n}")) for n, size in enumerate(sizes)]
    assert [len(future.result(timeout=30)) for future in futures] == sizes
    assert commit.append(taps(2, prefix="c2"))[0].status is Status.DUPLICATE
    commit.close()


def test_a_database_that_is_gone_fails_each_caller_and_the_thread_lives_on(
    store: Store, database: Database, log: EventLog
) -> None:
    commit = GroupCommit(log)
    commit.append(taps(1))
    database.close()  # a pool holds no file open
    with store.gone():
        futures = [commit.submit(taps(1, prefix=f"lost-{n}")) for n in range(5)]
        for future in futures:
            with pytest.raises(StoreUnavailable, match="the database cannot be written"):
                future.result(timeout=30)
        with pytest.raises(StoreUnavailable, match="the database cannot be read"):
            log.last_position()
    assert commit.append(taps(1, prefix="back"))[0].position == 2
    commit.close()


@contextmanager
def busy(log: EventLog) -> Iterator[None]:
    """Another writer holds the lock, so that whatever is submitted meanwhile queues up."""
    with log._database.writing():
        yield


def waiting(commit: GroupCommit, *, first: Entry) -> Future[list[Receipt]]:
    """Submit one job and wait until the thread has taken it; what follows will share the next commit."""
    future = commit.submit([first])
    deadline = time.monotonic() + 10
    while not commit._jobs.empty() and time.monotonic() < deadline:
        time.sleep(0.001)
    return future


def test_an_entry_that_cannot_be_written_does_not_cost_its_neighbours_theirs(log: EventLog, other: EventLog) -> None:
    bad = decision("d-bad")
    bad = replace(bad, slots=(replace(bad.slots[0], propensity=float("nan")),))
    commit = GroupCommit(log)
    with busy(other):
        waiting(commit, first=Entry(outcome("first")))
        good = commit.submit(taps(1)), commit.submit(taps(1, prefix="p"))
        refused = commit.submit([Entry(bad)])
    with pytest.raises(ValueError, match="JSON"):
        refused.result(timeout=30)
    assert sorted(future.result(timeout=30)[0].position for future in good) == [2, 3]
    commit.close()


def test_a_caller_who_gave_up_does_not_stop_the_others(log: EventLog, other: EventLog) -> None:
    commit = GroupCommit(log)
    with busy(other):
        under_way = waiting(commit, first=Entry(outcome("first")))
        given_up = commit.submit(taps(1))
        patient = commit.submit(taps(1, prefix="p"))
        assert given_up.cancel()
        assert not under_way.cancel()
    assert patient.result(timeout=30)[0].position == 2
    commit.close()
    assert [event.body for event in log.read()] == [outcome("first"), outcome("p-0")]


def test_closing_writes_what_is_queued_and_refuses_the_rest(log: EventLog) -> None:
    commit = GroupCommit(log)
    futures = [commit.submit(taps(1, prefix=f"c{n}")) for n in range(300)]
    commit.close()
    assert all(future.done() and future.result()[0].status is Status.APPENDED for future in futures)
    assert log.last_position() == 300
    with pytest.raises(StoreUnavailable, match="closing"):
        commit.submit(taps(1))
    commit.close()


def test_a_full_queue_says_so(log: EventLog, other: EventLog) -> None:
    commit = GroupCommit(log, capacity=1)
    with busy(other):
        waiting(commit, first=Entry(outcome("first")))
        commit.submit(taps(1))
        with pytest.raises(StoreUnavailable, match="cannot keep up"):
            commit.submit(taps(1, prefix="p"))
    commit.close()
    assert log.last_position() == 2


def test_nothing_of_a_failed_transaction_stays(database: Database, log: EventLog) -> None:
    def break_off() -> None:
        with database.writing() as connection:
            log.append_in(connection, [(entry, encode(entry.body)) for entry in taps(3)])
            raise Conflict("the caller changed its mind")

    with pytest.raises(Conflict):
        break_off()
    assert log.last_position() == 0
    assert log.append(taps(1))[0].position == 1
