"""`recsys evaluate`: what it prints and keeps, what it refuses, and a changed rule pack."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.eligibility import GB_RULES
from recsys.tracking import MemoryTracker
from serving import settings
from serving.bootstrap import compose
from serving.commands import evaluate
from serving.commands.learn import learner_of
from tests.conftest import Recsys
from tests.judged_worlds import world


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    """Where the command writes, instead of MLflow."""
    kept = MemoryTracker()
    monkeypatch.setattr(evaluate, "tracker_of", lambda _: kept)
    return kept


@pytest.fixture
def lived(home: Path) -> Iterator[Path]:
    """A home with a log of 400 rounds and what the recipes learned of it."""
    made = world(home, decisions=400, days=50)
    made.home.database.close()
    loop = learner_of(compose(settings.load()))
    loop.catch_up()
    loop.publish()
    return home


def test_the_log_its_diagnostics_the_numbers_and_a_sentence(
    recsys: Recsys, lived: Path, tracker: MemoryTracker
) -> None:
    done = recsys("evaluate", "--policy", "bandit", "--compare", "uniform", "--surface", "home", "--outcome", "tapped")
    assert done.code == 0, done.err
    log, diagnostics, table, words, _ = re.split(r"\n\n", done.out)
    assert log.startswith("400 rounds on home")
    assert "may have learned from 400 of these 400 rounds" in log
    assert "bandit@1: weights average" in diagnostics
    assert [line.split()[1] for line in table.splitlines()[1:6]] == ["slot_dr", "iips", "uplift", "cascade_dr", "rips"]
    assert "at logged states" in words
    [run] = tracker.runs
    told = json.loads(str(run.files["judged.json"]))
    assert str(run.files["report.txt"]).strip() in done.out
    assert isinstance(run.files["forest.png"], bytes)
    assert run.files["forest.png"].startswith(b"\x89PNG")
    assert run.parameters["log_digest"] == told["log_digest"] == run.tags["log_digest"]
    [row] = [r for r in told["verdicts"] if (r["policy"], r["estimator"]) == ("bandit@1", "iips")]
    assert run.metrics["bandit-1/iips/estimate"] == row["estimate"]


def test_json_is_one_object_with_the_same_numbers(recsys: Recsys, lived: Path, tracker: MemoryTracker) -> None:
    asked = ("evaluate", "--policy", "popularity", "--slots", "1", "--outcome", "tapped")
    found = json.loads(recsys(*asked, "--json").out)
    assert {row["estimator"] for row in found["verdicts"]} >= {"dm", "ips", "snips", "dr", "sndr", "logged", "uplift"}
    assert found["rounds"] == 400
    table = recsys(*asked).out
    assert all(f"{row['estimate']:.5g}" in table for row in found["verdicts"])


def test_recipes_learned_anew_are_judged_only_by_what_came_after(
    recsys: Recsys, lived: Path, tracker: MemoryTracker
) -> None:
    done = recsys("evaluate", "--policy", "bandit", "--learn-until", "2026-04-01", "--outcome", "tapped", "--json")
    found = json.loads(done.out)
    assert 0 < found["rounds"] < 400
    assert not [f for f in found["findings"] if f["about"] == "learned from"]
    assert {row["policy"] for row in found["verdicts"]} == {"bandit@20260401"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a policy to judge"),
        (["--policy", "bandid"], 'no recipe or baseline is called "bandid"'),
        (["--policy", "bandit"], "bandit has no snapshot yet"),
        (["--policy", "bandit", "--learn-until", "2026-03-01"], "bandit finds no lesson in the log before 2026-03-01"),
        (["--policy", "uniform", "--surface", "hom"], '"hom" is no surface'),
        (["--policy", "uniform", "--since", "soon"], '"soon" is no time'),
        (["--policy", "uniform", "--since", "2026-03-02T09:00:00"], "has no zone"),
        (["--policy", "uniform", "--since", "2026-03-02", "--until", "2026-03-02"], "this part of the log is empty"),
        (["--policy", "uniform", "--outcome", "liked"], '"liked" is no kind of outcome'),
        (["--policy", "uniform", "--estimators", "magic"], "there is no estimator magic"),
        (["--policy", "uniform", "--compare", "uniform"], "would be compared with itself"),
        (["--policy", "uniform", "--slots", "0"], "Invalid value for '--slots'"),
        (["--policy", "uniform", "--rules", "nowhere.toml"], "nowhere.toml: there is no such file"),
    ],
)
def test_misuse_is_one_sentence_and_exit_2(
    recsys: Recsys, tracker: MemoryTracker, arguments: list[str], sentence: str
) -> None:
    done = recsys("evaluate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith("recsys: ")
    assert sentence in done.sentence
    assert not tracker.runs


def test_an_empty_log_says_nothing_and_says_so(recsys: Recsys, tracker: MemoryTracker) -> None:
    done = recsys("evaluate", "--policy", "uniform")
    assert done.code == 0
    assert "The log says nothing yet" in done.out


# -- changed rules --------------------------------------------------------------------------------


def test_a_tighter_rule_pack_is_judged_over_what_is_left(
    recsys: Recsys, lived: Path, tmp_path: Path, tracker: MemoryTracker
) -> None:
    rule = """
[[rule]]
id = "NEW-1.no-isa"
version = 1
kind = "applicable"
reason = "Cash ISAs are not shown while their rate is under review."
applies_to = { product = ["cash-isa"] }
require = [{ fact = "surface", in = ["savings"] }]
"""
    pack = tmp_path / "tighter.toml"
    pack.write_text(GB_RULES.read_text(encoding="utf-8") + rule, encoding="utf-8")
    arguments = ("evaluate", "--slots", "1", "--outcome", "tapped", "--json")
    tighter = json.loads(recsys(*arguments, "--rules", pack, "--estimators", "ips,snips").out)
    as_it_was = json.loads(recsys(*arguments, "--policy", "as-logged", "--estimators", "ips,snips").out)
    values = {row["estimator"]: row["estimate"] for row in tighter["verdicts"]}
    assert values["ips"] != values["logged"]
    assert values["logged"] == as_it_was["logged"]
    assert tighter["diagnostics"]["as logged"]["unsupported"] == 0.0


def test_a_loosened_rule_pack_is_refused_with_its_products(
    recsys: Recsys, lived: Path, tmp_path: Path, tracker: MemoryTracker
) -> None:
    """The log's own pack refused mortgages by a rule that the new one has not."""
    text = GB_RULES.read_text(encoding="utf-8")
    known = compose(settings.load()).offers.current.rules.home.rules[0].rule_id
    with sqlite3.connect(lived / "recsys.db") as connection:
        for ref, part in connection.execute("SELECT ref, text FROM parts WHERE text LIKE '%AGE-1%'").fetchall():
            changed = part.replace('"AGE-1"', f'"{known}@0"')  # an older version of it
            connection.execute("UPDATE parts SET text = ? WHERE ref = ?", (changed, ref))
        [(row, event)] = connection.execute(
            "SELECT position, text FROM events WHERE kind = 'decision' LIMIT 1"
        ).fetchall()
        fields = json.loads(event)
        fields["rules"][1] = "AA=="  # every product refused
        connection.execute("UPDATE events SET text = ? WHERE position = ?", (json.dumps(fields), row))
    connection.close()
    pack = tmp_path / "looser.toml"
    pack.write_text(text, encoding="utf-8")
    done = recsys("evaluate", "--rules", pack)
    assert done.code == 2
    assert "allows what was never allowed when the log was written" in done.sentence
    assert "(1 decisions)" in done.sentence
    assert not tracker.runs
