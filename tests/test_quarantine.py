"""What was refused is kept once, with its reason; read marks say how far a process came."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from recsys.database import Database
from recsys.quarantine import Quarantine, Refused, refused
from recsys.readmarks import ReadMark
from recsys.vocabulary import Body, Lesson, Outcome
from serving import settings
from serving.bootstrap import compose
from serving.commands.learn import learner_of
from tests.builders import at, decision
from tests.conftest import Recsys
from tests.poison_worlds import EVERY, append, clean, close, opened, poisoned


def lesson(position: int, *, stage: str = "tapped") -> Lesson:
    body = decision(f"d-{position}")
    return Lesson(body, body.slots[0], 0, stage, happened=True, ripe_at=at(2), position=position)


def test_a_lesson_is_put_aside_once_for_each_recipe_and_stage(database: Database) -> None:
    quarantine = Quarantine(database)
    first = refused(lesson(1), recipe="vowpal", reason="a feature is not finite")
    quarantine.put([first, first])
    quarantine.put([first, refused(lesson(1), recipe="popularity", reason="the same")])
    quarantine.put([refused(lesson(1, stage="opened"), recipe="vowpal", reason="another stage")])
    quarantine.put([])
    assert quarantine.count() == 3
    assert first in quarantine.all()


def test_the_latest_come_first_and_the_reason_is_the_first_one(database: Database) -> None:
    quarantine = Quarantine(database)
    quarantine.put([Refused(f"k-{n}", n, "vowpal", "bad") for n in range(5)])
    quarantine.put([Refused("k-4", 4, "vowpal", "told again otherwise")])
    assert [(item.position, item.reason) for item in quarantine.all(limit=2)] == [(4, "bad"), (3, "bad")]


def test_a_read_mark_is_moved_and_remembered(database: Database) -> None:
    mark = ReadMark(database, name="learner")
    assert mark.read() == (0, {})
    mark.write(7, {"outcomes": 3})
    mark.write(9, {"outcomes": 4})
    assert ReadMark(database, name="learner").read() == (9, {"outcomes": 4})
    assert ReadMark(database, name="encoder").read() == (0, {})


# -- the command --------------------------------------------------------------------------------


def doubted(home: Path) -> list[Refused]:
    """A home whose learner put something of each kind aside."""
    made = opened(home, decisions_per_customer=1)
    drawn, told = clean(3)
    again = replace(drawn, decision_id="again")
    reported: list[Body] = [
        replace(each, outcome_id=f"a-{n}", decision_id="again")
        for n, each in enumerate(told)
        if isinstance(each, Outcome)
    ]
    append(made, [drawn, *told, again, *reported], after=EVERY)
    append(made, [*poisoned("inf"), *poisoned("an outcome of a product never shown")], after=2 * EVERY)
    close(made)
    learner_of(made).catch_up()
    found = made.quarantine.all()
    made.database.close()
    return found


def test_what_stands_in_quarantine_is_listed_shown_released_and_dropped(home: Path, recsys: Recsys) -> None:
    found = doubted(home)
    assert {each.kind for each in found} == {"poison", "doubt", "outcome"}
    listed = json.loads(recsys("quarantine", "list", "--json").out)["quarantine"]
    assert [each["key"] for each in listed] == [each.key for each in found]
    by_kind = {each.kind: each for each in found}
    assert json.loads(recsys("quarantine", "show", by_kind["doubt"].key).out)["reason"] == by_kind["doubt"].reason
    assert by_kind["doubt"].reason in recsys("quarantine", "list").out

    for kind, why in (("poison", "still cannot teach"), ("outcome", "nothing that it could teach")):
        refusal = recsys("quarantine", "release", by_kind[kind].key, "--reason", "why not")
        assert refusal.code == 2
        assert why in refusal.err
    assert "1 dropped" in recsys("quarantine", "drop", by_kind["outcome"].key, "--reason", "a typing error").out

    n = sum(each.kind == "doubt" for each in found)
    assert f"{n:,} released" in recsys("quarantine", "release", "--every-doubt", "--reason", "a busy day").out
    assert recsys("quarantine", "release", by_kind["doubt"].key, "--reason", "again").code == 2
    assert recsys("quarantine", "drop", by_kind["doubt"].key, "--reason", "too late").code == 2
    assert recsys("quarantine", "release", "--reason", "nothing named").code == 2
    assert "nothing in quarantine is called" in recsys("quarantine", "show", "unheard-of").err

    again = compose(settings.load())
    loop = learner_of(again)
    loop.catch_up()
    assert loop.counts()["learned_bandit"] >= n
    assert again.quarantine.counts(state="released") == {"": n}
    assert sum("release_quarantined" in each.action for each in again.trail.read()) == n
    again.database.close()
