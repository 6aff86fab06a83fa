"""Records are kept as long as the class of what they showed asks, and then they are gone (RET-1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys import terms
from recsys.clocks import FixedClock
from recsys.customers import Customers
from recsys.database import Database
from recsys.errors import InvalidConfiguration
from recsys.eventlog import Entry, EventLog
from recsys.expiring import expire
from recsys.quarantine import Quarantine, Refused
from recsys.terms import parse, term_of
from recsys.vocabulary import Activity, CustomerId, Decision, Display, Outcome
from serving.housekeeping import keep_house
from tests import builders
from tests.builders import START
from tests.service import App, running
from tests.steered import soon

DAY = timedelta(days=1)
ENDS = {  # class → the first moment at which a decision of START may be gone
    "none": datetime(2029, 3, 2, 9, tzinfo=UTC),
    "investment": datetime(2031, 3, 2, 9, tzinfo=UTC),
    "savings": datetime(2032, 3, 2, 9, tzinfo=UTC),
    "pension": datetime(2125, 1, 1, tzinfo=UTC),
}


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
def kept(database: Database, clock: FixedClock) -> Iterator[EventLog]:
    """A log with one decision of each class, each with what was displayed, and an outcome years later."""
    log = EventLog(database, clock=clock)
    for regulated in ENDS:
        made = builders.decision(f"d-{regulated}", token=f"t-{regulated}")
        log.append([Entry(replace(made, retention=terms.load().of([regulated])))])
        log.append([Entry(Display(made.decision_id, START, ("pot",)))])
    clock.set(START + 400 * DAY)
    for regulated in ENDS:
        its = builders.outcome(f"o-{regulated}", token=f"t-{regulated}", decision_id=f"d-{regulated}")
        log.append([Entry(replace(its, happened_at=START + 400 * DAY))])
    log.append([Entry(builders.outcome("last", token="t-last", decision_id="d-pension"))])
    return log


def left(log: EventLog) -> dict[str, set[str]]:
    """What is left of each class: d(ecision), s(hown), o(utcome)."""
    found: dict[str, set[str]] = {}
    for event in log.read():
        match event.body:
            case Decision() as body:
                found.setdefault(body.decision_id[2:], set()).add("d")
            case Display() as body:
                found.setdefault(body.decision_id[2:], set()).add("s")
            case Outcome() as body if body.outcome_id != "last":
                found.setdefault(str(body.decision_id)[2:], set()).add("o")
    return found


def test_ret_1_each_class_goes_on_its_day_and_not_before(database: Database, kept: EventLog) -> None:
    whole = {"d", "s", "o"}
    assert left(kept) == dict.fromkeys(ENDS, whole)
    for ends in sorted(ENDS.values())[:3]:
        expire(database, log=kept, terms=terms.load(), now=ends)
        assert left(kept) == {each: whole for each in ENDS if ENDS[each] >= ends}
        gone = expire(database, log=kept, terms=terms.load(), now=ends + timedelta(microseconds=1))
        assert gone.counts == {"decisions": 1, "reports": 2, "activities": 0}
        assert left(kept) == {each: whole for each in ENDS if ENDS[each] > ends}
        assert not expire(database, log=kept, terms=terms.load(), now=ends + timedelta(microseconds=1))
    expire(database, log=kept, terms=terms.load(), now=START + 365 * 99 * DAY)
    assert left(kept) == {"pension": whole}


def test_ret_1_positions_go_on_where_they_were(database: Database, clock: FixedClock) -> None:
    log = EventLog(database, clock=clock)
    log.append([Entry(builders.decision("d-1")), Entry(builders.decision("d-2"))])
    clock.set(START + 365 * 10 * DAY)
    expire(database, log=log, terms=terms.load(), now=clock.now())
    [receipt] = log.append([Entry(builders.decision("d-3"))])
    assert receipt.position == 3
    assert [event.position for event in log.read()] == [2, 3]
    expire(database, log=log, terms=terms.load(), now=clock.now())
    assert [event.position for event in log.read()] == [3]


def test_ret_1_a_run_that_was_killed_goes_on(
    database: Database, kept: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = ENDS["savings"] + DAY
    with monkeypatch.context() as patch:
        patch.setattr("recsys.expiring.ReadMark.write", _stumble)
        with pytest.raises(ZeroDivisionError):
            expire(database, log=kept, terms=terms.load(), now=now)
    expire(database, log=kept, terms=terms.load(), now=now)
    assert set(left(kept)) == {"pension"}


def _stumble(*_: object) -> None:
    raise ZeroDivisionError


def test_ret_1_a_record_keeps_the_term_it_was_made_under(database: Database, kept: EventLog) -> None:
    longer = parse(terms.DEFAULT.read_text().replace('"3y"', '"8y"'), where="longer.toml")
    expire(database, log=kept, terms=terms.load(), now=START + DAY)  # the shorter terms are known to this home
    gone = expire(database, log=kept, terms=longer, now=ENDS["none"] + DAY)
    assert gone.counts["decisions"] == 1
    assert "none" not in left(kept)


def test_ret_1_clicks_and_what_came_without_us_go_after_thirteen_months(database: Database, clock: FixedClock) -> None:
    log, customers = EventLog(database, clock=clock), Customers(database)
    ann = CustomerId("ann")
    customers.add_activities([Activity("a-1", ann, "opened_app", "home", START)])
    log.append([Entry(builders.outcome("o-1")), Entry(builders.decision("d-1"))])
    log.append([Entry(builders.outcome("o-2", decision_id="d-1"))])
    Quarantine(database).put([Refused("event:1", 1, "", "odd", "outcome")])
    token = customers.tokens([ann])[ann]
    for at, n in ((datetime(2027, 4, 2, 9, tzinfo=UTC), 1), (datetime(2027, 4, 2, 9, 1, tzinfo=UTC), 0)):
        expire(database, log=log, terms=terms.load(), now=at)
        assert len(customers.activities_of(token)) == n
        assert log.counts()["outcome"] == 1 + n
        assert len(Quarantine(database).all(limit=9, state=None)) == n


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path) as running_app:
        yield running_app


def test_ret_1_a_decision_says_how_long_it_is_kept_and_the_service_lets_go_of_it(app: App) -> None:
    app.tell()
    told = app.recommend(surface="savings", slots=1, candidates=["cash-isa"])
    [shown] = told["slate"]
    regulated = app.service.offers.current.catalogue.product(shown["product_id"]).regulated_class
    assert regulated == "isa"
    assert app.receipt(told["decision_id"])["retention"] == terms.load().by_class[regulated].text
    app.clock.set(START + 365 * 7 * DAY)
    app.recommend("somebody")
    soon(lambda: keep_house(app.service.home))  # the service keeps house by itself, too
    assert app.get(f"/v1/decisions/{told['decision_id']}", key="auditor").status_code == 404


def test_ret_1_the_longest_term_of_what_was_shown_counts() -> None:
    known = terms.load()
    assert known.of(["none", "investment"]) == "5y"
    assert known.of(["pension", "savings"]) == "indefinite"
    assert known.of([]) == "6y"
    assert term_of("13mo").before(datetime(2028, 3, 31, tzinfo=UTC)) == datetime(2027, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('none = "3y"', "", r"by_class: none is missing; give a text"),
        ('isa = "6y"', 'isa = "6 years"', r'by_class: isa is "6 years"; say "6y", "13mo" or "indefinite" \(line \d+\)'),
        ('isa = "6y"', 'isa = "0y"', "isa is"),
        ('isa = "6y"', 'isa = "6y"\nloan = "1y"', "does not know the key loan"),
        ("[by_class]", "", "by_class is missing"),
    ],
)
def test_ret_1_a_wrong_policy_file_is_refused_with_its_line(old: str, new: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        parse(terms.DEFAULT.read_text().replace(old, new), where="terms.toml")


def test_trn_4_a_decision_keeps_the_notice_that_was_in_force_when_it_was_made(tmp_path: Path) -> None:
    with running(tmp_path, privacy_notice="2026-03") as app:
        first = app.recommend("ann", surface="savings")["decision_id"]
    with running(tmp_path, privacy_notice="2026-04") as app:
        second = app.recommend("ann", surface="savings")["decision_id"]
        notices = [app.receipt(each)["versions"]["privacy_notice"] for each in (first, second)]
        assert notices == ["2026-03", "2026-04"]
