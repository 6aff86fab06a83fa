"""An objection outlives the person's erasure, and names nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from recsys import database as db
from recsys.clocks import FixedClock
from recsys.customers import Customers, Told
from recsys.database import Database, sqlite_url
from recsys.eventlog import EventLog
from recsys.suppression import Suppressions
from recsys.vocabulary import CustomerId, PermissionChange, Permissions
from tests.builders import START, at

ADA, BEN = CustomerId("ada"), CustomerId("ben")
YES, NO = Permissions(in_app=True, push=True), Permissions(objected_at=at(1))


class Bank:
    """A store of customers with a feed that tells of permissions."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.customers = Customers(database)
        self.log = EventLog(database, clock=FixedClock(START))

    def tell(self, permissions: Permissions | None, *, days: float, customer: CustomerId = ADA) -> Permissions:
        """Tell, and what the customer then allows."""
        self.customers.tell([Told(customer, at(days), {"status": "active"}, permissions)], log=self.log)
        found = self.customers.profile(customer)
        assert found is not None
        return found.permissions

    def erase(self, customer: CustomerId = ADA) -> None:
        """Forget the customer, as an erasure does: the mapping and the profile go."""
        with self.database.writing() as connection:
            token = connection.execute(select(db.tokens.c.token).where(db.tokens.c.customer_id == customer)).scalar()
            connection.execute(delete(db.profiles).where(db.profiles.c.token == token))
            connection.execute(delete(db.tokens).where(db.tokens.c.token == token))

    def kept(self) -> list[tuple[str, int, int]]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(db.suppressions))]


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    database = Database(sqlite_url(tmp_path / "x.db")).create()
    yield Bank(database)
    database.close()


def test_mkt_5_a_new_import_after_an_erasure_cannot_market_again(bank: Bank) -> None:
    bank.tell(YES, days=0)
    bank.tell(NO, days=1)
    bank.erase()
    assert bank.tell(YES, days=30) == NO
    for night in range(31, 35):  # the import comes again every night
        assert bank.tell(YES, days=night) == NO
    changes = [event.body for event in bank.log.read() if isinstance(event.body, PermissionChange)]
    assert changes[-1].permissions == NO  # and what is learned hears of it under the new token
    assert len({change.token for change in changes}) == 2


def test_mkt_5_a_second_erasure_does_not_lift_it_either(bank: Bank) -> None:
    bank.tell(NO, days=1)
    for day in (10, 20):
        bank.erase()
        assert bank.tell(YES, days=day) == NO


def test_mkt_5_only_a_person_lifts_what_met_somebody_anew(bank: Bank) -> None:
    bank.tell(NO, days=1)
    bank.erase()
    assert bank.tell(YES, days=2) == NO
    assert Suppressions(bank.database).lift(ADA)
    assert not Suppressions(bank.database).lift(ADA)
    assert bank.tell(YES, days=3) == YES


def test_an_objection_that_the_bank_withdraws_of_a_known_customer_is_over(bank: Bank) -> None:
    bank.tell(NO, days=1)
    assert bank.tell(YES, days=2) == YES
    assert bank.kept() == []
    bank.erase()
    assert bank.tell(YES, days=3) == YES


def test_an_objection_and_its_withdrawal_may_come_in_one_batch(bank: Bank) -> None:
    told = [Told(ADA, at(2), {}, YES), Told(ADA, at(1), {}, NO), Told(BEN, at(1), {}, NO)]
    bank.customers.tell(told, log=bank.log)
    bank.customers.tell(told, log=bank.log)
    assert len(bank.kept()) == 1
    bank.erase(BEN)
    assert bank.tell(YES, days=3, customer=BEN) == NO
    assert bank.tell(YES, days=3) == YES


def test_mkt_5_what_is_kept_names_nobody(bank: Bank) -> None:
    bank.tell(NO, days=1)
    [(name, objected_at, sealed)] = bank.kept()
    assert len(bytes.fromhex(name)) == 32
    assert name != hashlib.sha256(ADA.encode()).hexdigest()
    assert (objected_at, sealed) == (int(at(1).timestamp() * 1e6), 0)
    elsewhere = Database("sqlite://").create()
    assert Suppressions(elsewhere).ledger([ADA]) is not None
    assert not Suppressions(elsewhere).lift(ADA)
    elsewhere.close()


def test_facts_alone_ask_for_no_objection(bank: Bank) -> None:
    bank.tell(NO, days=1)
    bank.erase()
    assert bank.tell(None, days=2) == Permissions()
    assert bank.tell(YES, days=3) == NO
