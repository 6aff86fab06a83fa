"""A day unlike those before it is seen: in features, scores, shares, rewards and the age of facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from recsys.vocabulary import Body, Decision, Fact
from serving.watching import Reading, Thresholds, days_of, readings, worst
from tests.bandit_worlds import REWARDS
from tests.builders import START, events
from tests.conftest import Recsys
from tests.poison_worlds import append, clean, opened, reports

DAYS, EACH = 6, 60


def lived(*, shift: float = 0.0, old_facts: int = 0, liked: str = "pot") -> list[Body]:
    """Six days; on the last one a feature is shifted, facts are old, and another product is liked."""
    told: list[Body] = []
    for day in range(DAYS):
        last = day == DAYS - 1
        for n in range(EACH):
            drawn, _ = clean(day * 1_000 + n)
            values = (drawn.context.values[0] + shift * last, *drawn.context.values[1:])
            at = START + timedelta(days=day, minutes=n)
            aged = timedelta(days=old_facts * last, hours=1)
            facts = {name: Fact(fact.value, at - aged, fact.source) for name, fact in drawn.facts.items()}
            made = replace(drawn, made_at=at, facts=facts, context=replace(drawn.context, values=values))
            told += [made, *reports(made, seed=n, liked=liked if last else "pot")]
    return told


def watched(bodies: list[Body]) -> list[Reading]:
    closing, _ = clean(9)
    end: Decision = replace(closing, made_at=START + timedelta(days=60), decision_id="end")
    found = readings(days_of(events([*bodies, end]), rewards=REWARDS))
    return [each for each in found if each.day != end.made_at.date()]


def lit(found: list[Reading]) -> set[tuple[str, str, date]]:
    return {(each.kind, each.name, each.day) for each in found if each.light != "green"}


LAST = (START + timedelta(days=DAYS - 1)).date()


def test_mrm_5_days_alike_are_green_and_each_planted_change_is_named() -> None:
    assert lit(watched(lived())) == set()
    assert worst(watched(lived())) == "green"
    shifted = watched(lived(shift=2.0))
    assert lit(shifted) == {("feature", "payday", LAST)}
    assert worst(shifted) == "red"
    stale = lit(watched(lived(old_facts=5)))
    assert {kind for kind, _, _ in stale} == {"freshness"}
    assert {day for _, _, day in stale} == {LAST}


def test_rewards_are_those_of_the_rounds_made_on_the_day() -> None:
    found = {each.day: each for each in watched(lived(liked="nobody")) if each.kind == "reward"}
    assert len(found) == DAYS
    before = found[LAST].before
    assert before is not None
    assert found[LAST].value < 0.6 * before


def test_thresholds_are_declared() -> None:
    assert [Thresholds(drift=(1.0, 2.0)).light("drift", x) for x in (0.9, 1.0, 2.0)] == ["green", "amber", "red"]
    assert pytest.approx(0.0) == next(each for each in watched(lived()) if each.name == "savings").moved


def test_the_command_tells_the_light_of_the_whole(home: Path, recsys: Recsys) -> None:
    made = opened(home)
    append(made, lived(shift=2.0), after=timedelta(days=DAYS))
    made.database.close()
    told = json.loads(recsys("watch", "--json").out)
    assert told["light"] == "red"
    assert "red    feature payday" in recsys("watch").out
