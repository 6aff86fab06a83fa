"""What switches and overrides promise, on SQLite and on PostgreSQL alike (OPS-1, MRM-6)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from recsys import database as db
from recsys.clocks import FixedClock
from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration, NotFound
from recsys.eventlog import EventLog
from recsys.orders import Orders
from recsys.steering import LONGEST, UNREADABLE
from recsys.vocabulary import Override, Switch
from tests.builders import START, at
from tests.laws.conftest import Store

KNOWN = {"product": {"pot", "loan"}, "family": {"credit"}, "surface": {"home", "search"}, "policy": {"bandit"}}
OFF = Switch("product", "loan", off=True, reason="being mended", by="grace", expires_at=at(1))
BOOST = Override("isa-week", "boost", "pot", 2.0, "season", "ada", at(30))
Open = Callable[[], Orders]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def opened(store: Store, clock: FixedClock, tmp_path: Path) -> Iterator[Open]:
    """A process over the store: each call is another one, all of one home."""
    databases = []

    def open_() -> Orders:
        database = Database(store.url)
        databases.append(database)
        if not (tmp_path / "made").exists():
            database.create()
            (tmp_path / "made").touch()
        orders = Orders(database, log=EventLog(database, clock=clock), clock=clock, file=tmp_path / "steering.json")
        orders.refresh()
        return orders

    yield open_
    for database in databases:
        database.close()


def words(orders: Orders) -> list[object]:
    return [event.body for event in orders._log.read()]


def test_ops_1_a_switch_is_seen_by_another_process_and_every_word_stands_in_the_log(
    opened: Open, clock: FixedClock
) -> None:
    one, other = opened(), opened()
    told = one.switch(OFF, known=KNOWN)
    other.refresh()
    assert other.current.off(START) == (told,) == one.current.off(START)
    clock.set(at(hours=1))
    one.switch(replace(OFF, off=False, reason="mended"), known=KNOWN)
    clock.set(at(hours=2))
    one.switch(OFF, known=KNOWN)
    other.refresh()
    assert [(s.off, s.changed_at) for s in words(one)] == [(True, START), (False, at(hours=1)), (True, at(hours=2))]
    assert len(other.current.off(at(hours=2))) == 1
    assert len(other.history()[0]) == 1


def test_ops_1_a_switch_ends_exactly_at_its_time(opened: Open) -> None:
    orders = opened()
    orders.switch(OFF, known=KNOWN)
    assert orders.current.off(at(1) - timedelta(microseconds=1))
    assert not orders.current.off(at(1))


def test_mrm_6_an_override_has_no_effect_once_it_has_expired_or_is_withdrawn(opened: Open, clock: FixedClock) -> None:
    orders = opened()
    orders.override(BOOST, known=KNOWN)
    named = ("isa-week:boost:2.0:pot",)
    assert orders.current.moves({"pot"}, surface="home", at=at(30) - timedelta(microseconds=1)) == named
    assert orders.current.moves({"pot"}, surface="home", at=at(30)) == ()
    assert orders.current.moves({"loan"}, surface="home", at=START) == ()
    clock.set(at(2))
    ended = orders.withdraw("isa-week", by="grace", reason="enough of it")
    assert (ended.ends_at, ended.by) == (at(2), "grace")
    assert orders.current.moves({"pot"}, surface="home", at=at(2)) == ()
    assert orders.withdraw("isa-week", by="eve", reason="again") == ended
    assert words(orders) == [BOOST, ended]
    with pytest.raises(Conflict):
        orders.override(replace(BOOST, override_id="isa-week", strength=3.0), known=KNOWN)
    with pytest.raises(NotFound):
        orders.withdraw("nothing", by="eve", reason="because")


def test_mrm_6_the_same_override_again_changes_nothing(opened: Open) -> None:
    orders = opened()
    orders.override(BOOST, known=KNOWN)
    number = orders.current.number
    orders.override(BOOST, known=KNOWN)
    assert orders.current.number == number
    assert words(orders) == [BOOST]


def test_mrm_6_search_is_never_pushed_and_a_surface_is_kept_to(opened: Open) -> None:
    orders = opened()
    orders.override(replace(BOOST, surface="home"), known=KNOWN)
    orders.override(replace(BOOST, override_id="everywhere"), known=KNOWN)
    moves = {
        surface: orders.current.moves({"pot"}, surface=surface, at=START) for surface in ("home", "push", "search")
    }
    assert [len(names) for names in moves.values()] == [2, 1, 0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scope": "galaxy"}, "is no scope"),
        ({"subject": "lona"}, "no product is called"),
        ({"scope": "family", "subject": "loan"}, "no family is called"),
        ({"scope": "policy", "subject": "bandot@7"}, "no policy is called"),
        ({"scope": "everything"}, "has no subject"),
        ({"reason": "  "}, "say why"),
        ({"expires_at": None}, "needs an end"),
        ({"expires_at": START}, "in the future"),
    ],
)
def test_ops_1_a_switch_that_cannot_be_meant_is_refused(
    opened: Open, changes: dict[str, object], sentence: str
) -> None:
    orders = opened()
    with pytest.raises(InvalidConfiguration, match=sentence):
        orders.switch(replace(OFF, **changes), known=KNOWN)  # type: ignore[arg-type]
    assert words(orders) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"override_id": "No Id"}, "an override's id"),
        ({"action": "hide"}, "is no override"),
        ({"product_id": "pott"}, "no product is called"),
        ({"surface": "hall"}, "no surface is called"),
        ({"surface": "search"}, "nothing is pinned or boosted in search"),
        ({"reason": ""}, "say why"),
        ({"expires_at": START}, "in the future"),
        ({"expires_at": START + LONGEST + timedelta(microseconds=1)}, "at most 90 days"),
        ({"strength": 1.0}, "not by 1"),
        ({"strength": 10.5}, "multiplies a probability by"),
        ({"strength": float("nan")}, "multiplies a probability by"),
    ],
)
def test_mrm_6_an_override_that_cannot_be_meant_is_refused(
    opened: Open, changes: dict[str, object], sentence: str
) -> None:
    orders = opened()
    with pytest.raises(InvalidConfiguration, match=sentence):
        orders.override(replace(BOOST, **changes), known=KNOWN)  # type: ignore[arg-type]
    assert words(orders) == []


def test_ops_1_without_the_database_memory_and_then_the_file_are_obeyed(
    opened: Open, store: Store, tmp_path: Path
) -> None:
    orders = opened()
    orders.switch(OFF, known=KNOWN)
    orders.override(BOOST, known=KNOWN)
    others = [opened() for _ in range(3)]
    for other in others:
        other.current = UNREADABLE  # as a process begins, with no connection yet
        other._database.close()
    restarted, misled, alone = others
    with store.gone():
        for each in (orders, restarted):
            each.refresh()
            assert each.current.off(START)
            assert each.current.moves({"pot"}, surface="home", at=START)
        (tmp_path / "steering.json").write_text("damaged")
        misled.refresh()
        (tmp_path / "steering.json").unlink()
        alone.refresh()
        assert misled.current is alone.current is UNREADABLE
        assert alone.current.everything_off(START)
    for each in others:
        each.refresh()
        assert each.current == orders.current


def test_ops_1_a_process_that_follows_sees_a_switch_soon(opened: Open) -> None:
    one, other = opened(), opened()
    other.follow(every=0.02)
    one.switch(OFF, known=KNOWN)
    waiting = threading.Event()
    for _ in range(250):
        if other.current.off(START):
            break
        waiting.wait(0.02)
    other.close()
    assert other.current.off(START)


def test_orders_given_at_once_are_all_kept(opened: Open) -> None:
    processes = [opened() for _ in range(4)]

    def give(orders: Orders, number: int) -> None:
        for each in range(5):
            orders.override(replace(BOOST, override_id=f"o-{number}-{each}"), known=KNOWN)

    threads = [threading.Thread(target=give, args=(orders, n)) for n, orders in enumerate(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = opened()
    assert last.current.number == 20
    assert len(last.current.overrides) == len(words(last)) == 20


def test_the_file_holds_what_the_database_holds(opened: Open, tmp_path: Path) -> None:
    orders = opened()
    orders.switch(OFF, known=KNOWN)
    number, rows = json.loads((tmp_path / "steering.json").read_text().split("\n")[1])
    assert number == 1
    assert [kind for kind, _ in rows] == ["switch"]


def test_ops_1_an_order_that_cannot_be_read_silences_no_other(opened: Open, store: Store) -> None:
    one, other = opened(), opened()
    told = one.switch(OFF, known=KNOWN)
    database = Database(store.url)
    with database.writing() as connection:
        row = {"key": "switch:product:evil", "kind": "switch", "change": 10_000, "text": '{"bad'}
        connection.execute(insert(db.steering), row)
    database.close()
    for orders in (one, other, opened()):
        orders.refresh()
        assert orders.current.off(START) == (told,)
    again = one.switch(replace(OFF, subject="pot"), known=KNOWN)
    other.refresh()
    assert again in other.current.off(START)
