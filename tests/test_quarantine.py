"""What was refused is kept once, with its reason; read marks say how far a process came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.database import Database, sqlite_url
from recsys.quarantine import Quarantine, Refused, refused
from recsys.readmarks import ReadMark
from recsys.vocabulary import Lesson
from tests.builders import at, decision


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path / "recsys.db")).create()
    yield opened
    opened.close()


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
