"""What reservations promise, on SQLite and on PostgreSQL alike: no cap is overrun, and nothing is half written."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, text

from recsys import database as db
from recsys.clocks import FixedClock
from recsys.commit import GroupCommit
from recsys.contact import Reservation
from recsys.contactfile import load
from recsys.customers import Customers, Told
from recsys.database import Database
from recsys.entries import Entry, Receipt, Request, Status
from recsys.errors import Conflict
from recsys.eventlog import EventLog
from recsys.records import encode
from recsys.touches import mark_of
from recsys.vocabulary import Activity, CustomerId, Decision, Display, Permissions, Profile
from tests.builders import START, at, decision, outcome
from tests.contact_worlds import BANK
from tests.laws.conftest import Store

GB = load()
ANN, BOB = CustomerId("ann"), CustomerId("bob")
PUSHED = tuple(each.product_id for each in BANK.products if "push" in each.surfaces)
CAPS = {timedelta(days=1): 1, timedelta(days=7): 3}


@dataclass
class Caller:
    """One caller: reads a profile, asks the policy, and has what it decided written."""

    customers: Customers
    commit: GroupCommit
    receipts: list[Receipt] = field(default_factory=list)

    def push(self, customer: CustomerId, decision_id: str, *, now: datetime) -> None:
        """Push a product that may be pushed, deciding anew where that changed meanwhile."""
        for redraws in range(5):
            [profile] = self.customers.profiles([customer]).values()
            told = GB.verdicts(profile.contact, products=BANK.products, surface="push", at=now)
            open_ = [product for product in told.eligible() if product in PUSHED]
            if not open_:
                return
            entry = pushing(profile, f"{decision_id}-{redraws}", product=open_[redraws % len(open_)], now=now)
            [receipt] = self.commit.append([entry])
            self.receipts.append(receipt)
            if receipt.status is Status.APPENDED:
                return


def pushing(profile: Profile, decision_id: str, *, product: str = "pot", now: datetime = START) -> Entry:
    """A decision to push, with what it was made with."""
    body = decision(
        decision_id, token=profile.token, made_at=now, surface="push", shown=(product,), candidates=(product,)
    )
    return Entry(body, None, reserving(profile))


def reserving(profile: Profile) -> Reservation:
    return Reservation(profile.told, profile.contact.version, GB, BANK.products, "personalised")


def introduced(customers: Customers, customer: CustomerId = ANN) -> Profile:
    customers.introduce(customer)
    return known(customers, customer)


def known(customers: Customers, customer: CustomerId = ANN) -> Profile:
    profile = customers.profile(customer)
    assert profile is not None
    return profile


def sends(log: EventLog, token: str) -> list[datetime]:
    bodies = [event_.body for event_ in log.read(kinds=["decision"])]
    return sorted(each.made_at for each in bodies if isinstance(each, Decision) and each.token == token and each.shown)


def assert_within_caps(log: EventLog, token: str) -> None:
    """Over every window that ends at a message, no more of them than the policy says."""
    times = sends(log, token)
    for window, most in CAPS.items():
        for end in times:
            assert sum(end - window < each <= end for each in times) <= most


@pytest.fixture
def customers(database: Database) -> Customers:
    return Customers(database)


# -- caps hold -----------------------------------------------------------------------------------


def test_mkt_7_caps_hold_under_eight_callers_of_two_workers(store: Store, database: Database) -> None:
    clock = FixedClock(START)
    opened = [database, Database(store.url)]
    logs = [EventLog(each, clock=clock, memory=GB.memory) for each in opened]
    commits = [GroupCommit(log) for log in logs]
    customers = Customers(database)
    tokens = [introduced(customers, each).token for each in (ANN, BOB)]
    callers = [Caller(Customers(opened[n % 2]), commits[n % 2]) for n in range(8)]
    start = threading.Barrier(8)

    def ask(n: int) -> None:
        for step in range(24):
            start.wait()
            if n == 0:
                clock.set(START + step * timedelta(hours=11, minutes=59))  # within waking hours every second time
            start.wait()
            for customer in (ANN, BOB):
                callers[n].push(customer, f"{customer}-{step}-{n}", now=clock.now())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    for each in commits:
        each.close()
    statuses = [receipt.status for caller in callers for receipt in caller.receipts]
    for token in tokens:
        assert_within_caps(logs[0], token)
        assert len(sends(logs[0], token)) >= 5  # eleven days at three a week
    assert statuses.count(Status.CAPPED) > 0  # they did get in each other's way
    opened[1].close()


def push_blindly(url: str, name: str, tokens: list[str]) -> None:
    """A process that never looks at what was sent meanwhile: only the reservation keeps it within the caps."""
    opened = Database(url)
    log = EventLog(opened, clock=FixedClock(START), memory=GB.memory)
    for n in range(40):
        for token in tokens:
            profile = Profile(CustomerId(""), token)  # type: ignore[arg-type]
            product = PUSHED[n % len(PUSHED)]
            entry = pushing(profile, f"{name}-{token}-{n}", product=product, now=START + n * timedelta(hours=6))
            log.append([entry])
    opened.close()


@pytest.mark.processes
def test_mkt_7_caps_hold_across_processes(store: Store, database: Database, log: EventLog) -> None:
    customers = Customers(database)
    tokens = [str(introduced(customers, each).token) for each in (ANN, BOB)]
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=push_blindly, args=(store.url, f"w{n}", tokens)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    for token in tokens:
        assert_within_caps(log, token)
        assert len(sends(log, token)) >= 3


def test_mkt_7_decisions_for_one_customer_that_share_a_commit_share_a_cap(customers: Customers, log: EventLog) -> None:
    profile = introduced(customers)
    receipts = log.append([pushing(profile, f"d-{n}") for n in range(5)])
    assert [receipt.status for receipt in receipts] == [Status.APPENDED] + [Status.CAPPED] * 4
    assert log.counts() == {"decision": 1}
    assert [touch[2] for touch in known(customers).contact.touches["sent"]] == [mark_of("d-0")]


def test_dut_3_a_dismissal_between_reading_and_writing_is_honoured(customers: Customers, log: EventLog) -> None:
    profile = introduced(customers)
    log.append([Entry(outcome("o-1", token=profile.token, kind="dismissed"))])
    shown = [
        Entry(decision(f"d-{each}", token=profile.token, shown=(each,), candidates=(each,)), None, reserving(profile))
        for each in ("pot", "cash-isa", "round-ups")  # the product, its family, another
    ]
    assert [r.status for r in log.append(shown)] == [Status.CAPPED, Status.CAPPED, Status.APPENDED]


def test_a_refused_decision_leaves_no_trace_and_its_request_may_come_again(customers: Customers, log: EventLog) -> None:
    profile = introduced(customers)
    log.append([pushing(profile, "d-1")])
    late = pushing(profile, "d-2", product="cash-isa")
    asked = Request("app", "r-1", "body")
    [receipt] = log.append([Entry(late.body, asked, late.reservation)])
    assert (receipt.status, receipt.position) == (Status.CAPPED, 0)
    assert log.asked("app", "r-1") is None
    assert log.decisions(["d-2"]) == {}
    quiet = decision("d-2", token=profile.token, shown=(), candidates=(), surface="push")
    [receipt] = log.append([Entry(quiet, asked, reserving(known(customers)))])
    assert (receipt.status, receipt.position) == (Status.APPENDED, 2)


# -- what was decided with still stands ----------------------------------------------------------


@pytest.mark.parametrize("what", ["facts", "permissions"])
def test_ops_3_a_decision_made_with_facts_that_changed_is_not_written(
    customers: Customers, log: EventLog, what: str
) -> None:
    customers.tell([Told(ANN, START, {"status": "active"}, Permissions(in_app=True))], log=log)
    before = known(customers)
    facts = {"status": "bereaved"} if what == "facts" else {}
    permissions = Permissions(objected_at=START) if what == "permissions" else None
    customers.tell([Told(ANN, at(1), facts, permissions)], log=log)
    body = decision("d-1", token=before.token)
    assert log.append([Entry(body, None, reserving(before))])[0].status is Status.STALE
    assert log.append([Entry(body, None, reserving(known(customers)))])[0].status is Status.APPENDED


def test_an_activity_moves_the_encoder_and_no_decision(customers: Customers, log: EventLog) -> None:
    customers.tell([Told(ANN, START, {"status": "active"})], log=log)
    before = known(customers)
    customers.add_activities([Activity("a-1", ANN, "spending", "grocery", START)])
    assert len(customers.stale(after=1)) == 1
    assert log.append([Entry(decision(token=before.token), None, reserving(before))])[0].status is Status.APPENDED


def test_telling_the_same_again_moves_nothing(customers: Customers, log: EventLog) -> None:
    same = [Told(ANN, START, {"status": "active"}, Permissions(in_app=True))]
    customers.tell(same, log=log)
    before = known(customers).told
    customers.tell(same, log=log)
    assert known(customers).told == before


def test_a_decision_for_a_customer_who_was_deleted_is_not_written(
    database: Database, customers: Customers, log: EventLog
) -> None:
    profile = introduced(customers)
    log.append([pushing(profile, "d-1")])
    with database.writing() as connection:
        connection.execute(db.tokens.delete().where(db.tokens.c.token == profile.token))
    assert log.append([pushing(profile, "d-2")])[0].status is Status.STALE
    log.append([Entry(outcome("late", token=profile.token, kind="dismissed"))])
    with database.reading() as connection:
        assert connection.execute(db.contacts.select()).all() == []


# -- counting ------------------------------------------------------------------------------------


def test_displays_and_seen_outcomes_reach_the_customer_of_the_decision_once(
    customers: Customers, log: EventLog
) -> None:
    ann, bob = introduced(customers), introduced(customers, BOB)
    log.append([Entry(decision("d-1", token=ann.token)), Entry(decision("d-2", token=bob.token))])
    display = Display("d-1", at(hours=1), ("pot", "cash-isa"))
    seen = outcome("o-1", token=ann.token, kind="seen", decision_id="d-1", happened_at=at(hours=1))
    for _ in range(2):  # the second time all of it is a duplicate
        log.append([Entry(display), Entry(seen)])
    assert sorted(touch[1] for touch in known(customers).contact.touches["seen"]) == ["cash-isa", "pot"]
    assert known(customers).contact.version == 1
    assert known(customers, BOB).contact.touches == {}


def test_a_display_may_come_with_its_decision(customers: Customers, log: EventLog) -> None:
    ann = introduced(customers)
    log.append([Entry(decision("d-1", token=ann.token)), Entry(Display("d-1", START, ("pot",)))])
    assert len(known(customers).contact.touches["seen"]) == 1


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """What the writing engine is told."""
    said: list[str] = []

    def heard(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(database._writer, "before_cursor_execute", heard)
    yield said
    event.remove(database._writer, "before_cursor_execute", heard)


def test_a_thousand_outcomes_are_a_handful_of_statements(
    customers: Customers, log: EventLog, statements: list[str]
) -> None:
    ids = [CustomerId(f"c-{n}") for n in range(1_000)]
    tokens = customers.tokens(ids)
    told = [Entry(outcome(f"o-{n}", token=tokens[each], kind="seen")) for n, each in enumerate(ids)]
    statements.clear()
    log.append(told)
    about_contact = [each for each in statements if "contacts" in each]
    assert len(about_contact) <= (3 if log._database.dialect == "sqlite" else 5)
    assert all(len(each.contact.touches["seen"]) == 1 for each in customers.profiles(ids).values())


def test_an_append_that_concerns_nobody_asks_nothing_more(log: EventLog, statements: list[str]) -> None:
    log.append([Entry(decision()), Entry(outcome(kind="tapped"))])
    assert not [each for each in statements if "contacts" in each]


# -- nothing is half written ---------------------------------------------------------------------


def push_for_ever(url: str) -> None:
    """A worker that pushes to one new customer after another until it is killed."""
    opened = Database(url)
    customers, commit = Customers(opened), GroupCommit(EventLog(opened, clock=FixedClock(START), memory=GB.memory))
    for n in count():
        commit.append([pushing(introduced(customers, CustomerId(f"c-{n}")), f"d-{n}")])


@pytest.mark.processes
def test_a_worker_killed_before_it_answers_leaves_the_message_and_its_reservation_or_neither(
    store: Store, database: Database, log: EventLog
) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=push_for_ever, args=(store.url,))
    worker.start()
    deadline = time.monotonic() + 60
    while log.last_position() < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(30)
    with database.writing():  # whatever the server still did for it is over
        decided = {each.body.token: each.body.decision_id for each in log.read() if isinstance(each.body, Decision)}
    assert len(decided) >= 20
    customers = Customers(database)
    profiles = customers.profiles([CustomerId(f"c-{n}") for n in range(len(decided) + 2)]).values()
    reserved = {each.token: each.contact.touches["sent"][0][2] for each in profiles if each.contact.version}
    assert reserved == {token: mark_of(decision_id) for token, decision_id in decided.items()}


def test_what_fails_after_a_reservation_takes_it_back(database: Database, customers: Customers, log: EventLog) -> None:
    profile = introduced(customers)

    def break_off() -> None:
        with database.writing() as connection:
            entry = pushing(profile, "d-1")
            log.append_in(connection, [(entry, encode(entry.body))])
            raise Conflict("the caller changed its mind")

    with pytest.raises(Conflict):
        break_off()
    assert known(customers).contact.version == 0
    assert log.append([pushing(profile, "d-1")])[0].status is Status.APPENDED


# -- older databases -----------------------------------------------------------------------------


def test_a_database_of_the_first_schema_is_brought_up_to_date(
    database: Database, customers: Customers, log: EventLog
) -> None:
    customers.tell([Told(ANN, START, {"status": "active"})], log=log)
    with database.writing() as connection:
        connection.execute(text("DROP TABLE contacts"))
        connection.execute(text("ALTER TABLE profiles DROP COLUMN told"))
        connection.execute(text("UPDATE meta SET value = '1' WHERE name = 'schema'"))
    database.create()
    assert known(customers).value("status") == "active"
    assert known(customers).told == 0
    assert log.append([pushing(known(customers), "d-1")])[0].status is Status.APPENDED
