"""One process among several: the learner, the encoder. The dead give way by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from recsys.database import Database
from recsys.leases import Lease


def test_one_of_two_holds_it_and_may_renew(database: Database) -> None:
    one, two = Lease(database, name="learner"), Lease(database, name="learner")
    assert [one.held(), two.held(), one.held(), two.held()] == [True, False, True, False]


def test_names_do_not_stand_in_each_others_way(database: Database) -> None:
    assert Lease(database, name="learner").held()
    assert Lease(database, name="encoder").held()


def test_a_holder_that_died_loses_it_when_it_runs_out(database: Database) -> None:
    dead = Lease(database, name="learner", lasting=timedelta(0))
    heir = Lease(database, name="learner")
    assert dead.held()
    assert heir.held()
    assert not dead.held()  # back from the dead, it finds another


def test_releasing_lets_a_successor_in_at_once(database: Database) -> None:
    one, two = Lease(database, name="learner"), Lease(database, name="learner")
    assert one.held()
    two.release()  # not its own to give
    assert not two.held()
    one.release()
    assert two.held()
    assert not one.held()


def test_of_many_who_ask_at_once_one_gets_it(database: Database) -> None:
    leases = [Lease(database, name="learner") for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda lease: lease.held(), leases)) == 1
