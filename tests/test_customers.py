"""What a bank tells of its customers: late, twice or out of order, and the newest still stands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime

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


def spent(
    activity_id: str, *, customer: CustomerId = ADA, subject: str = "grocery", when: datetime = START
) -> Activity:
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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples of a property: each example has customers of its own."""
    opened = Database(sqlite_url(tmp_path_factory.mktemp("shared") / "recsys.db")).create()
    yield opened
    opened.close()


numbers = itertools.count()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(tellings, st.integers(0, 719), st.integers(1, 3))
def test_the_order_and_the_batches_in_which_facts_arrive_do_not_matter(
    shared: Database, rows: list[tuple[int, dict[str, int], Permissions | None]], shuffle: int, size: int
) -> None:
    customers, log = Customers(shared), EventLog(shared, clock=FixedClock(START))
    states = []
    shuffled = list(itertools.islice(itertools.permutations(rows), 720))
    for order, step in ((rows, 1), (shuffled[shuffle % len(shuffled)], size)):
        customer = CustomerId(f"c-{next(numbers)}")
        items = [Told(customer, at(day), facts, permissions) for day, facts, permissions in order]
        for start in range(0, len(items), step):
            customers.tell(items[start : start + step], log=log)
        found = customers.profile(customer)
        states.append(None if found is None else (dict(found.facts), found.permissions))
    assert states[0] == states[1]


def test_a_bank_that_sends_many_customers_at_once(customers: Customers, log: EventLog) -> None:
    ids = [CustomerId(f"c-{n}") for n in range(1_200)]
    assert customers.tell([told(each, balance_pence=n) for n, each in enumerate(ids)], log=log) == 1_200
    assert len(customers.known_tokens([*ids, *ids])) == 1_200
    assert profile(customers, ids[777]).value("balance_pence") == 777


# -- permissions -------------------------------------------------------------------------------


def test_a_change_of_permissions_is_in_force_at_once_and_in_the_log(customers: Customers, log: EventLog) -> None:
    customers.tell([told(permissions=YES)], log=log)
    customers.tell([told(as_of=at(1), permissions=YES)], log=log)  # nothing new
    customers.tell([told(as_of=at(2), permissions=NO)], log=log)
    assert profile(customers).permissions == NO
    token = profile(customers).token
    assert [event.body for event in log.read()] == [
        PermissionChange(token, YES, START),
        PermissionChange(token, NO, at(2)),
    ]


def test_an_older_permission_neither_counts_nor_is_logged(customers: Customers, log: EventLog) -> None:
    customers.tell([told(as_of=at(2), permissions=NO)], log=log)
    customers.tell([told(as_of=at(1), permissions=YES)], log=log)
    assert profile(customers).permissions == NO
    assert log.last_position() == 1


def test_facts_without_permissions_leave_them_as_they_are(customers: Customers, log: EventLog) -> None:
    customers.tell([told(permissions=YES)], log=log)
    customers.tell([told(as_of=at(1), status="active")], log=log)
    assert profile(customers).permissions == YES


def test_a_permission_stands_in_the_profile_and_in_the_log_or_in_neither(
    customers: Customers, database: Database, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers.tell([told(permissions=YES)], log=log)

    def broken(*_: object) -> None:
        raise StoreUnavailable("the log cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(log, "append_in", broken)
        with pytest.raises(StoreUnavailable):
            customers.tell([told(as_of=at(1), permissions=NO, status="closed")], log=log)
    assert profile(customers).permissions == YES
    assert profile(customers).value("status") is None
    with database.writing() as connection:  # and the other way round: the profiles fail after the log was written
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE UPDATE ON profiles BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with pytest.raises(StoreUnavailable):
        customers.tell([told(as_of=at(1), permissions=NO)], log=log)
    assert log.last_position() == 1


# -- activities --------------------------------------------------------------------------------


def test_an_activity_counts_once(customers: Customers) -> None:
    assert customers.add_activities([spent("a-1"), spent("a-2")]) == ["accepted", "accepted"]
    again = customers.add_activities([spent("a-1"), spent("a-2", subject="travel"), spent("a-3")])
    assert again == ["duplicate", "conflict", "accepted"]
    token = customers.known_tokens([ADA])[ADA]
    assert [each.subject for each in customers.subjects_before([token])[token]] == ["grocery"] * 3


def test_repeats_inside_one_batch(customers: Customers) -> None:
    twice = [spent("a-1"), spent("a-1"), spent("a-2"), spent("a-2", subject="travel"), spent("a-2")]
    assert customers.add_activities(twice) == ["accepted", "duplicate", "accepted", "conflict", "duplicate"]
    token = customers.known_tokens([ADA])[ADA]
    assert [each.subject for each in customers.subjects_before([token])[token]] == ["grocery", "grocery"]


def test_an_empty_batch_is_no_error(customers: Customers, log: EventLog) -> None:
    assert customers.add_activities([]) == []
    assert customers.tell([], log=log) == 0
    customers.put_vectors([], bundle="b")


def test_a_history_is_the_latest_subjects_oldest_first(customers: Customers) -> None:
    customers.add_activities([spent(f"a-{n}", subject=f"s{n}", when=at(-n)) for n in range(6)])
    (stale,) = customers.stale(after=0, history=3)
    assert stale.subjects == ("s2", "s1", "s0")


# -- what the encoder follows ------------------------------------------------------------------


def test_whoever_follows_the_changes_misses_nobody(customers: Customers, log: EventLog) -> None:
    dice = np.random.default_rng(3)
    behind: dict[CustomerId, int] = {}
    after, version = 0, 0
    for day in range(40):
        for n in dice.integers(0, 9, size=3):
            customer, version = CustomerId(f"c-{n}"), version + 1
            if dice.random() < 0.5:
                customers.tell([told(customer, as_of=at(day, hours=float(version)), balance_pence=version)], log=log)
            else:
                customers.add_activities([spent(f"a-{version}", customer=customer, subject=str(version))])
            behind[customer] = version
        for stale in customers.stale(after=after, limit=2):
            after = stale.change
            balance = stale.profile.value("balance_pence")
            known = [int(subject) for subject in stale.subjects] + [balance if isinstance(balance, int) else 0]
            if max(known) == behind.get(stale.profile.customer_id):
                del behind[stale.profile.customer_id]
    while page := customers.stale(after=after, limit=2):
        after = page[-1].change
        for stale in page:
            behind.pop(stale.profile.customer_id, None)
    assert behind == {}


def test_vectors_lie_beside_the_profile_with_the_bundle_that_made_them(customers: Customers, log: EventLog) -> None:
    customers.tell([told(status="active")], log=log)
    (stale,) = customers.stale(after=0)
    vector = np.array([0.6, -0.8], dtype=np.float32)
    for bundle in ("old", "new"):
        customers.put_vectors([(stale.profile.token, stale.change, vector)], bundle=bundle)
    found = profile(customers)
    assert found.bundle == "new"
    assert found.vector is not None
    np.testing.assert_array_equal(found.vector, vector, strict=True)


def test_a_customer_who_is_gone_gets_no_vector(customers: Customers, database: Database) -> None:
    token = customers.introduce(ADA).token
    customers.put_vectors([(token, 1, np.ones(2, dtype=np.float32))], bundle="b")
    assert profile(customers).vector is None


def test_tokens_say_nothing_of_the_customer_and_do_not_repeat() -> None:
    made = {random_token() for _ in range(500)}
    assert len(made) == 500
    assert {len(token) for token in made} == {16}


def test_two_processes_give_one_customer_one_token(database: Database) -> None:
    second = Database(database.url.render_as_string())
    one, two = Customers(database), Customers(second)
    assert one.tokens([ADA, BEN])[BEN] == two.tokens([BEN, ADA])[BEN]
    second.close()
