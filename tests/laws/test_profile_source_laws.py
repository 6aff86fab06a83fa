"""Laws of profile sources: our own database, and a Feast store on SQLite and on Redis beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recsys import features
from recsys.clocks import FixedClock
from recsys.customers import Customers, Told
from recsys.database import Database, sqlite_url
from recsys.erasures import Erasures
from recsys.eventlog import EventLog
from recsys.facts import FACTS, Kind
from recsys.vocabulary import CustomerId, Fact, FactValue, Permissions, Profile
from serving.feature_store_profiles import FeatureStoreProfiles
from serving.profiles import OwnProfiles, ProfileSource
from tests.builders import START, at
from tests.feasts import Feast, feast_on

EVERY: Mapping[str, FactValue] = {
    name: {
        Kind.TRUTH: True,
        Kind.WHOLE: 120_000,
        Kind.NUMBER: 2.5,
        Kind.TEXT: fact.choices[0] if fact.choices else "GB",
        Kind.DATE: "2026-02-27",
        Kind.MOMENT: "2026-04-01T00:00:00+01:00",
        Kind.TEXTS: fact.choices[:2] or ("pot", "loan"),
    }[fact.kind]
    for name, fact in FACTS.items()
}


@dataclass
class Bank:
    """A bank that tells facts where it keeps them: to us, or to its feature store."""

    source: ProfileSource
    customers: Customers
    log: EventLog
    erasures: Erasures
    feast: Feast | None
    ada: CustomerId  # of this test alone: a store outlives a test
    ben: CustomerId

    def tells(self, customer: CustomerId, *, as_of: datetime = START, **facts: FactValue) -> None:
        if self.feast is None:
            self.tells_us(customer, as_of=as_of, **facts)
        else:
            self.customers.introduce(customer)
            self.feast.tells(customer, facts, as_of=as_of)

    def tells_us(self, customer: CustomerId, *, as_of: datetime = START, **facts: FactValue) -> None:
        self.customers.tell([Told(customer, as_of, facts)], log=self.log)

    def knows(self, customer: CustomerId) -> Profile:
        return self.source.profiles([customer])[customer]


@pytest.fixture(scope="module", params=["own", "sqlite", "redis"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feast | None]:
    if request.param == "own":
        yield None
        return
    with feast_on(request.param, folder=tmp_path_factory.mktemp("feast")) as feast:
        yield feast


@pytest.fixture
def bank(kept: Feast | None, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bank]:
    database = Database(sqlite_url(tmp_path / "recsys.db")).create()
    clock = FixedClock(at(days=1))
    customers = Customers(database)
    source: ProfileSource = OwnProfiles(customers)
    if kept is not None:
        source = FeatureStoreProfiles(customers, kept.facts, clock)
    log = EventLog(database, clock=clock)
    ada, ben = (CustomerId(f"{name}-{request.node.name}") for name in ("ada", "ben"))
    yield Bank(source, customers, log, Erasures(database, log=log, clock=clock), kept, ada, ben)
    database.close()


def test_a_customer_nobody_told_us_about_is_the_strictest_case(bank: Bank) -> None:
    assert bank.source.profile(bank.ada) is None
    assert bank.source.profiles([bank.ada]) == {}
    introduced = bank.source.introduce(bank.ada)
    assert (dict(introduced.facts), introduced.permissions) == ({}, Permissions())
    known = bank.source.profile(bank.ada)
    assert known is not None
    assert known.token == introduced.token


def test_every_fact_comes_back_as_it_was_told_with_the_time_since_which_it_holds(bank: Bank) -> None:
    bank.tells(bank.ada, **EVERY)
    assert dict(bank.knows(bank.ada).facts) == {name: Fact(value, START) for name, value in EVERY.items()}


def test_ops_6_absent_known_to_be_none_and_empty_are_three_things(bank: Bank) -> None:
    bank.tells(bank.ada, next_payday_on=None, held=(), savings_pence=0)
    known = bank.knows(bank.ada)
    assert {name: fact.value for name, fact in known.facts.items()} == {
        "next_payday_on": None,
        "held": (),
        "savings_pence": 0,
    }
    made = dict(zip(features.CUSTOMER_NAMES, features.customer_features(known, at=START), strict=True))
    assert (made["no_savings"], made["missing"]) == (1.0, 4 / 6)


def test_each_fact_grows_old_by_its_own_time(bank: Bank) -> None:
    bank.tells(bank.ada, as_of=at(days=-3), balance_pence=5)
    bank.tells(bank.ada, as_of=START, residence="GB")
    facts = bank.knows(bank.ada).facts
    assert (facts["balance_pence"].as_of, facts["residence"].as_of) == (at(days=-3), START)


def test_several_customers_keep_their_own_facts_and_order(bank: Bank) -> None:
    bank.tells(bank.ada, balance_pence=1)
    bank.tells(bank.ben, balance_pence=2)
    profiles = bank.customers.profiles([bank.ben, bank.ada])
    told = bank.source.completed([profiles[bank.ben], profiles[bank.ada]])
    assert [each.facts["balance_pence"].value for each in told] == [2, 1]


def test_permissions_are_ours_alone(bank: Bank) -> None:
    bank.customers.tell([Told(bank.ada, START, {}, Permissions(in_app=True))], log=bank.log)
    bank.tells(bank.ada, balance_pence=1)
    assert bank.knows(bank.ada).permissions == Permissions(in_app=True)


def test_what_was_told_to_us_stands_where_it_is_newer(bank: Bank) -> None:
    bank.tells(bank.ada, balance_pence=1, savings_pence=1)
    bank.tells_us(bank.ada, as_of=START + timedelta(hours=1), balance_pence=2)
    bank.tells_us(bank.ada, as_of=START - timedelta(hours=1), savings_pence=2)
    facts = bank.knows(bank.ada).facts
    assert (facts["balance_pence"].value, facts["savings_pence"].value) == (2, 1)


# -- of a feature store alone -------------------------------------------------------------------


@pytest.fixture
def feast_bank(bank: Bank) -> Bank:
    if bank.feast is None:
        pytest.skip("our own database refuses such values when they are told")
    return bank


def test_ops_6_a_value_that_does_not_fit_or_lies_in_the_future_counts_as_not_known(
    feast_bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    feast_bank.tells(feast_bank.ada, status="frozen canary", savings_pence=-1, residence="GB")
    feast_bank.tells(feast_bank.ada, as_of=at(days=2), balance_pence=1)
    assert set(feast_bank.knows(feast_bank.ada).facts) == {"residence"}
    feast_bank.knows(feast_bank.ada)
    assert sorted(record.getMessage().split(";")[0] for record in caplog.records) == [
        "feature store: fact balance_pence: its balance_pence_as_of lies in the future",
        "feature store: fact savings_pence: must be at least 0",
        "feature store: fact status: expected active, dormant, bereaved, closed or fincrime_hold",
    ]
    assert "canary" not in caplog.text


def test_ers_4_what_a_store_knew_before_a_person_was_forgotten_is_not_used(feast_bank: Bank) -> None:
    feast_bank.tells(feast_bank.ada, balance_pence=1)
    feast_bank.erasures.begin(feast_bank.ada, erasure_id="e-1")
    introduced = feast_bank.source.introduce(feast_bank.ada)
    assert introduced.facts == {}
    feast_bank.tells(feast_bank.ada, as_of=at(days=1, hours=1 / 60), balance_pence=2)
    assert feast_bank.knows(feast_bank.ada).facts["balance_pence"].value == 2
