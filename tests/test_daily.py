"""Daily sums: they equal a recount of the log, whatever the stops, and say what a product manager asks of policies."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from recsys import daily
from recsys.daily import Daily
from recsys.database import Database, sqlite_url
from recsys.joining import Joiner
from recsys.rewards import Rewards, load
from recsys.vocabulary import Decision, Event, Round, Verdicts
from recsys.waiting import Closed
from tests.builders import START, at, decision, events, outcome

REWARDS = load(Path(daily.__file__).with_name("default_rewards.toml"))
DAY = START.date()


def lived(n: int = 120) -> list[Event]:
    """Four days of decisions by two recipes, with taps; the log then goes on until every window has closed."""
    bodies = []
    for k in range(n):
        recipe = ("popularity@1", f"bandit@{k}")[k % 2]
        made = at(k % 4, hours=k / n)
        drawn = decision(f"d{k}", made_at=made, policy=recipe, shown=("pot", "cash-isa"), token=f"t{k}")
        bodies.append((made, drawn))
        bodies.append((made, outcome(f"s{k}", token=f"t{k}", kind="seen", decision_id=f"d{k}", happened_at=made)))
        if k % 3 == 0:
            bodies.append((made, outcome(f"o{k}", token=f"t{k}", decision_id=f"d{k}", happened_at=made)))
    closing = at(4) + REWARDS.longest
    bodies.append((closing, decision("last", made_at=closing, policy="popularity@1")))
    return events([body for _, body in sorted(bodies, key=lambda each: each[0])])


def fed(database: Database, log: list[Event], *, upto: int, rewards: Rewards = REWARDS) -> None:
    """A reader as the learner is one: it begins where decisions are still open, reads to a position and stops."""
    sums = Daily(database)
    joiner = Joiner(rewards)
    for event in log:
        if sums.open_from < event.position <= upto:
            for told in joiner.ripen(event):
                if isinstance(told, Closed):
                    sums.closed(told, at=event.position)
                else:
                    sums.told(told, at=event.position)
            if isinstance(event.body, Decision):
                sums.made(event.body, at=event.position)
    sums.save(upto, open_from=joiner.open_from(upto), full=False)


def everything(database: Database) -> dict[tuple[object, ...], tuple[int, float, float]]:
    found = {}
    for kind in ("decided", "slots", "chance", "shown", "first", "checked", "refused", "alone", "stage", "value"):
        for row in daily.by_day(database, kind, since=date(1970, 1, 1), by=("surface", "name", "other")):
            key = (kind, row.day, row.surface, row.name, row.other)
            found[key] = (row.n, round(row.sums.total, 9), round(row.sums.squares, 9))
    return found


def opened(folder: Path) -> Database:
    folder.mkdir()
    return Database(sqlite_url(folder / "recsys.db")).create()


@pytest.mark.parametrize("stops", [(), (7,), (40, 41, 200), tuple(range(10, 330, 30))])
def test_sums_equal_a_recount_whatever_the_stops(tmp_path: Path, stops: tuple[int, ...]) -> None:
    log = lived()
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    fed(whole, log, upto=log[-1].position)
    for stop in (*[each for each in stops if each < log[-1].position], log[-1].position):
        fed(parts, log, upto=stop)
    assert everything(parts) == everything(whole)
    decisions = Counter(
        (event.body.made_at.date(), event.body.policy.partition("@")[0])
        for event in log
        if isinstance(event.body, Decision)
    )
    told = {(row.day, row.name): row.n for row in daily.by_day(whole, "decided", since=DAY)}
    assert told == decisions
    closed = daily.by_day(whole, "value", since=DAY, by=())
    assert sum(row.n for row in closed) == 120
    assert sum(row.sums.total for row in closed) == pytest.approx(
        sum(each.rewards.sum() for each in _rounds(log)), abs=1e-9
    )
    tapped = [row for row in daily.by_day(whole, "stage", since=DAY, by=("other",)) if row.other == "tapped"]
    assert (sum(row.n for row in tapped), sum(row.sums.total for row in tapped)) == (120, 40)
    assert daily.summed_up_to(whole) == log[-1].position


def _rounds(log: list[Event]) -> list[Round]:
    joiner = Joiner(REWARDS)
    return [each for event in log for each in joiner.feed(event) if isinstance(each, Round)]


def test_ops_5_verdicts_are_counted_by_rule_and_who_refused_alone(tmp_path: Path) -> None:
    database = opened(tmp_path / "home")
    allowed = np.array([[True, True], [False, True], [False, False]])
    verdicts = Verdicts(("pot", "cash-isa", "loan"), ("AGE-1", "CRD-1"), ("old enough", "no trouble"), allowed)
    sums = Daily(database)
    for n in range(10):
        made = decision(f"d{n}", candidates=("pot",), shown=("pot",))
        object.__setattr__(made, "verdicts", verdicts)
        sums.made(made, at=n + 1)
    sums.save(10, open_from=0, full=False)
    found = {
        kind: {row.name: row.n for row in daily.by_day(database, kind, since=DAY, by=("name",))}
        for kind in ("checked", "refused", "alone")
    }
    assert found == {
        "checked": {"AGE-1": 30, "CRD-1": 30},
        "refused": {"AGE-1": 20, "CRD-1": 10},
        "alone": {"AGE-1": 10},
    }


def test_a_card_against_the_odds_is_told_from_the_likely_one(tmp_path: Path) -> None:
    database = opened(tmp_path / "home")
    sums = Daily(database)
    for n, shown in enumerate(("pot", "pot", "cash-isa")):
        made = decision(f"d{n}", shown=(shown,), policy="bandit@3")
        row = [0.9, 0.05, 0.05]
        object.__setattr__(made, "pmfs", np.array([row]))
        slot = made.slots[0]
        object.__setattr__(slot, "propensity", row[("pot", "cash-isa", "round-ups").index(shown)])
        sums.made(made, at=n + 1)
    sums.save(3, open_from=0, full=False)
    [drawn] = daily.by_day(database, "slots", since=DAY)
    [chance] = daily.by_day(database, "chance", since=DAY)
    assert (drawn.n, chance.n, chance.name) == (3, 1, "bandit")


def test_a_page_asks_for_days_and_not_for_the_log(tmp_path: Path) -> None:
    database = opened(tmp_path / "home")
    assert daily.last_day(database) is None
    log = lived()
    fed(database, log, upto=log[-1].position)
    last = daily.last_day(database)
    assert last == log[-1].body.made_at.date()  # type: ignore[union-attr]
    recent = daily.by_day(database, "decided", since=last - timedelta(days=1))
    assert {row.day for row in recent} == {last}
