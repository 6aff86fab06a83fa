"""What a bank tells of its customers: late, twice or out of order, and the newest still stands."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.clocks import FixedClock
from recsys.customers import Customers, Told, random_token
from recsys.database import Database, sqlite_url
from recsys.errors import StoreUnavailable
from recsys.eventlog import EventLog
from recsys.vocabulary import Activity, CustomerId, FactValue, PermissionChange, Permissions, Profile
from tests.builders import START, at

ADA, BEN = CustomerId("ada"), CustomerId("ben")
YES, NO = Permissions(in_app=True, push=True), Permissions(objected_at=START)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "recsys.db")).create()
    yield opened
    opened.close()


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database, clock=FixedClock(START))


@pytest.fixture
def customers(database: Database) -> Customers:
    numbers = itertools.count(1)
    return Customers(database, new_token=lambda: f"t-{next(numbers)}")


def told(
    customer: CustomerId = ADA,
    *,
    as_of: datetime = START,
    permissions: Permissions | None = None,
    **facts: FactValue,
) -> Told:
    return Told(customer, as_of, facts, permissions)


def profile(customers: Customers, customer: CustomerId = ADA) -> Profile:
    found = customers.profile(customer)
    assert found is not None
    return found


def spent(activity_id: str, *, customer: CustomerId = ADA, subject: str = "grocery", when: datetime = START) -> Activity:
    return Activity(activity_id, customer, "spending", subject, when, 250)


# -- profiles ----------------------------------------------------------------------------------


def test_nobody_told_us_about_this_customer(customers: Customers) -> None:
    assert customers.profile(ADA) is None
    assert customers.known_tokens([ADA]) == {}


def test_an_introduced_customer_is_the_strictest_case(customers: Customers) -> None:
    introduced = customers.introduce(ADA)
    assert (introduced.token, introduced.facts, introduced.permissions) == ("t-1", {}, Permissions())
    assert customers.introduce(ADA).token == "t-1"
    assert profile(customers).permissions == Permissions()


def test_facts_come_back_with_the_time_since_which_they_hold(customers: Customers, log: EventLog) -> None:
    assert customers.tell([told(balance_pence=12, held=("pot", "flex"), credit_declined_on=None)], log=log) == 1
    found = profile(customers).facts
    assert {name: fact.value for name, fact in found.items()} == {
        "balance_pence": 12,
        "held": ("pot", "flex"),
        "credit_declined_on": None,
    }
    assert {fact.as_of for fact in found.values()} == {START}


def test_older_never_overwrites_newer_fact_by_fact(customers: Customers, log: EventLog) -> None:
    customers.tell([told(as_of=at(2), balance_pence=2)], log=log)
    assert customers.tell([told(as_of=at(1), balance_pence=1, status="active")], log=log) == 1
    assert profile(customers).value("balance_pence") == 2
    assert profile(customers).value("status") == "active"
    assert profile(customers).facts["status"].as_of == at(1)


def test_telling_again_changes_nothing(customers: Customers, log: EventLog) -> None:
    same = [told(balance_pence=2, permissions=YES), told(BEN, status="active")]
    assert customers.tell(same, log=log) == 2
    assert customers.tell(same, log=log) == 0
    assert customers.stale(after=2) == []
    assert log.counts() == {"permissions": 1}


tellings = st.lists(
    st.tuples(
        st.integers(0, 30), st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), st.sampled_from([None, YES, NO])
    ),
    unique_by=lambda row: row[0],
    max_size=6,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(tellings, st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_order_in_which_facts_arrive_does_not_matter(
    rows: list[tuple[int, dict[str, int], Permissions | None]], random: object, size: int
) -> None:
    def state(items: Sequence[Told]) -> tuple[object, ...]:
        database = Database("sqlite:///file::memory:?cache=shared&uri=true") if False else Database("sqlite://")
        return (database, items)

    assert state  # replaced below
