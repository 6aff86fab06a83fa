"""A campaign reaches everybody once, through the rules and the log, however often it is killed."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recsys.clocks import SimulatedClock
from recsys.customers import Told
from recsys.vocabulary import CustomerId, Decision, Permissions
from serving import campaign, settings
from serving.bootstrap import compose, random_id, recommender_of
from serving.erasure import erase
from tests.builders import START
from tests.conftest import Recsys
from tests.service import ADULT, apply_products, started

PUSHES = Permissions(in_app=True, push=True)


@pytest.fixture(autouse=True)
def clock(home: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    """A Monday, nine in the morning: what may be sent depends on the hour."""
    monkeypatch.setenv("RECSYS_CLOCK", "simulated")
    return SimulatedClock(settings.load(home=home).clock_file, start=START)


def peopled(home: Path, *, n: int) -> None:
    """A home of adults; every third does not want pushes."""
    apply_products(home)
    made = compose(settings.load(home=home))
    now = made.clock.now()
    told = [
        Told(CustomerId(f"c-{i:04}"), now, dict(ADULT), Permissions(in_app=True) if i % 3 == 0 else PUSHES)
        for i in range(n)
    ]
    made.customers.tell(told, log=made.log)
    made.database.close()


def messages(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def decided(home: Path) -> list[Decision]:
    made = compose(settings.load(home=home))
    found = [event.body for event in made.log.read(kinds=("decision",)) if isinstance(event.body, Decision)]
    made.database.close()
    return found


def n_decided(home: Path) -> int:
    with contextlib.closing(sqlite3.connect(home / "recsys.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM events WHERE kind = 'decision'").fetchone()[0])


def test_everybody_who_may_be_asked_gets_one_message_and_a_second_run_adds_none(
    home: Path, tmp_path: Path, recsys: Recsys, clock: SimulatedClock
) -> None:
    peopled(home, n=30)
    out = tmp_path / "push.jsonl"
    line = ("recommend", "--batch", "--campaign", "isa-week", "--out", out, "--json")
    first = json.loads(recsys(*line).out)
    assert first["customers"] == 30
    assert first["messages"] == len(messages(out)) > 10
    told = {str(each["customer_id"]) for each in messages(out)}
    assert not told & {f"c-{i:04}" for i in range(0, 30, 3)}  # MKT-6: no permission for pushes, no push
    logged = {each.decision_id: each for each in decided(home)}
    assert len(logged) == 30
    for each in messages(out):
        decision = logged[str(each["decision_id"])]
        assert [slot["product_id"] for slot in each["slate"]] == [s.product_id for s in decision.shown]  # type: ignore[attr-defined]
        assert decision.surface == "push"

    again = json.loads(recsys(*line).out)
    assert (again["decided_before"], again["messages"]) == (30, first["messages"])
    assert len(decided(home)) == 30
    clock.set(START.replace(minute=1))
    made = compose(settings.load())
    objector = str(messages(out)[0]["customer_id"])
    made.customers.tell([Told(CustomerId(objector), made.clock.now(), {}, Permissions())], log=made.log)
    made.database.close()
    recsys(*line)
    assert objector not in {each["customer_id"] for each in messages(out)}  # MKT-4: from then on


def test_ers_1_who_is_forgotten_leaves_the_messages_of_campaigns(home: Path, tmp_path: Path, recsys: Recsys) -> None:
    peopled(home, n=12)
    out = tmp_path / "push.jsonl"
    recsys("recommend", "--batch", "--campaign", "isa-week", "--out", out)
    before = messages(out)
    gone = str(before[0]["customer_id"])
    done = json.loads(recsys("erase", gone, "--yes", "--json").out)["erasures"][0]
    stores = {each["store"]: each["result"] for each in done["stores"]}
    assert stores["messages"] == "1 of 1 files rewritten"
    assert messages(out) == before[1:]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["push.jsonl"]
    half = tmp_path / ".push.jsonl.staged"  # of a campaign that was killed long ago
    half.write_text(json.dumps({"customer_id": "c-0002"}))
    os.utime(half, (0, 0))
    out.unlink()
    done = json.loads(recsys("erase", "c-0002", "--yes", "--json").out)["erasures"][0]
    told = next(each["result"] for each in done["stores"] if each["store"] == "messages")
    assert told == "0 of 1 files rewritten; 1 are not there any more: erase where they went"
    assert not half.exists()


@pytest.mark.parametrize("moment", ["before they are decided", "after they were decided"])
def test_ers_4_who_is_forgotten_while_a_campaign_runs_gets_no_message(
    home: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    peopled(home, n=12)
    made, out, gone = compose(settings.load(home=home)), tmp_path / "push.jsonl", CustomerId("c-0001")
    layers = made.layers()
    recommender = recommender_of(made, layers=lambda: layers, new_id=random_id)
    forgotten = []

    def forget(*_: object) -> None:
        if not forgotten:
            forgotten.append(erase(made, gone))

    if moment.startswith("before"):
        real = campaign._decide

        def decide(*given: Any, **more: Any) -> None:
            forget()
            real(*given, **more)

        monkeypatch.setattr(campaign, "_decide", decide)
    asked = campaign.Campaign("isa-week")
    told = forget if moment.startswith("after") else (lambda _: None)
    sent = campaign.run(made, asked, recommender=recommender, out=out, told=told)
    made.database.close()
    assert "under way" in forgotten[0].stores["messages"]
    assert sent.customers == 11
    assert gone not in out.read_text()


def test_in_quiet_hours_a_campaign_waits_and_spends_nobodys_one_message(  # MKT-7
    home: Path, tmp_path: Path, recsys: Recsys, clock: SimulatedClock
) -> None:
    peopled(home, n=30)
    line = ("recommend", "--batch", "--campaign", "isa-week", "--out", tmp_path / "push.jsonl", "--json")
    clock.set(START.replace(hour=22))
    told = recsys(*line)
    assert told.code == 2
    assert "MKT-7.quiet-hours: nothing goes out on push from 21:00 to 08:00 in London" in told.err
    assert not decided(home)
    assert not (tmp_path / "push.jsonl").exists()
    assert json.loads(recsys(*line, "--surface", "home").out)["customers"] == 30  # where it is not quiet, it runs
    clock.set(START.replace(day=3, hour=8))
    assert json.loads(recsys(*line).out)["messages"] > 10  # of 20 who may be asked; "nothing" is drawn too


@pytest.mark.processes
def test_a_campaign_killed_again_and_again_sends_nobody_a_second_message(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "push.jsonl"
    peopled(home, n=600)
    line = ("recommend", "--batch", "--campaign", "isa-week", "--out", str(out))
    reached = set()
    for _ in range(2):
        goal = n_decided(home) + 150
        with started(home, *line, RECSYS_CLOCK="simulated") as child:
            end = time.monotonic() + 60
            while child.process.poll() is None and n_decided(home) < goal and time.monotonic() < end:
                time.sleep(0.01)
            child.kill()
        reached.add(n_decided(home))
    assert any(0 < n < 600 for n in reached)
    with started(home, *line, RECSYS_CLOCK="simulated") as child:
        assert child.process.wait(120) == 0
    tokens = Counter(str(each.token) for each in decided(home))
    assert len(tokens) == 600
    assert set(tokens.values()) == {1}
    customers = Counter(str(each["customer_id"]) for each in messages(out))
    assert set(customers.values()) == {1}
    assert {str(each["decision_id"]) for each in messages(out)} <= {each.decision_id for each in decided(home)}


def test_what_cannot_be_asked_is_said(home: Path, recsys: Recsys) -> None:
    assert "say --batch" in recsys("recommend", "--campaign", "x", "--out", "o.jsonl").err
    assert "named by letters" in recsys("recommend", "--batch", "--campaign", "a b", "--out", "o.jsonl").err
