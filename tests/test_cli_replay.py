"""`recsys replay`: told in a sentence, tracked, the same for the same seed, and refused where it would mislead."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.tracking import MemoryTracker
from serving.commands import replay
from tests.conftest import Recsys
from tests.test_datasets import feedback, written


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    """The tracker that replay writes to: MLflow itself is tried in test_tracking."""
    kept = MemoryTracker()
    monkeypatch.setattr(replay, "tracker_of", lambda chosen: kept)
    return kept


def square(path: Path, *, n: int = 600, label: str = "label") -> Path:
    """Four labels, one for each corner."""
    points = np.random.default_rng(1).normal(size=(n, 2))
    corners = (points[:, 0] > 0) * 2 + (points[:, 1] > 0)
    table = pl.DataFrame({"x": points[:, 0], "y": points[:, 1], label: corners, f"{label}_name": corners.astype(str)})
    return written(table, path)


def test_a_logged_table_is_replayed_told_and_tracked(recsys: Recsys, tracker: MemoryTracker, tmp_path: Path) -> None:
    path = written(feedback(300), tmp_path / "small.parquet")
    done = recsys("replay", "--dataset", "open-bandit", path)
    sentence, _, rest = done.out.partition("\n\n")
    (run,) = tracker.runs
    assert done.code == 0
    assert sentence.startswith("bandit on small/all: mean reward 0.")
    assert "rounds that counted of 300, against logging policy random" in sentence
    assert [line.split("  ")[0] for line in rest.splitlines()[1:4]] == [
        "bandit",
        "bandit, by IPS",
        "logging policy random",
    ]
    assert "replaying small/all: 100%" in done.err
    assert (run.experiment, run.status) == ("replay", "finished")
    assert run.parameters["dataset"] == "small/all"
    assert run.parameters["recipe_digest"] == replay.RECIPE.digest
    assert run.parameters["seed"] == 0
    assert len(str(run.parameters["digest"])) == 32
    assert [step for step, _ in run.curves["rival"]] == list(range(3, 301, 3))
    assert str(run.files["summary.txt"]).startswith(sentence)
    assert json.loads(run.files["replay.json"])["counted"] == run.metrics["counted"]


def test_json_is_one_object_and_the_same_again_for_the_same_seed(
    recsys: Recsys, tracker: MemoryTracker, tmp_path: Path
) -> None:
    path = square(tmp_path / "square.parquet")
    arguments = ("replay", "--dataset", "classification", path, "--json")
    first, again, other = recsys(*arguments), recsys(*arguments), recsys(*arguments, "--seed", 7)
    result = json.loads(first.out)
    assert first.out == again.out
    assert other.out != first.out
    assert result["dataset"] == "square"
    assert result["rows"] == result["counted"] == 600
    assert result["rival"] == {"name": "the uniform policy", "mean": 0.25, "low": 0.25, "high": 0.25, "rounds": 600}
    assert result["learner"]["low"] > 0.3
    assert result["ips"] is None
    assert [run.parameters["seed"] for run in tracker.runs] == [0, 0, 7]


def test_another_label_and_another_recipe_may_be_named(recsys: Recsys, tracker: MemoryTracker, tmp_path: Path) -> None:
    path = square(tmp_path / "square.parquet", label="corner")
    recipes = tmp_path / "my.toml"
    recipes.write_text('[[recipe]]\nname = "fair"\nlearner = "uniform"\n[recipe.exploration]\nkind = "uniform"\n')
    given = ("replay", "--dataset", "classification", path, "--label", "corner", "--json")
    result = json.loads(recsys(*given, "--recipe", f"{recipes}:fair").out)
    assert result["recipe"] == "fair"
    assert result["learner"]["low"] < 0.25 < result["learner"]["high"]
    assert recsys(*given, "--recipe", f"{recipes}:bold").err.endswith('no recipe is called "bold"; there are fair\n')
    assert recsys(*given, "--recipe", "fair").err.startswith('recsys: --recipe "fair": write FILE:NAME')
    assert recsys(*given, "--recipe", f"{tmp_path / 'none.toml'}:fair").code == 2


def test_the_engines_own_bandit_may_be_asked_for(recsys: Recsys, tracker: MemoryTracker, tmp_path: Path) -> None:
    path = square(tmp_path / "square.parquet")
    done = recsys("replay", "--dataset", "classification", path, "--vw", "--cover 3")
    assert done.code == 0
    assert done.out.startswith("vw --cover 3 on square: mean reward 0.")
    assert tracker.runs[0].parameters["recipe"] == "vw --cover 3"
    refused = recsys("replay", "--dataset", "classification", path, "--vw", "--nonsense")
    assert refused.code != 0
    assert "VW refuses '--nonsense'" in refused.err
    both = recsys("replay", "--dataset", "classification", path, "--vw", "", "--recipe", "x.toml:y")
    assert "give one of them" in both.err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"propensity_score": pl.lit(1.5)}, "propensity_score must be in (0, 1] (rows 1, 2, 3, 4, 5 and 8 more)"),
        ({"propensity_score": pl.lit(0.0)}, "propensity_score must be in (0, 1] (rows 1, 2, 3, 4, 5 and 8 more)"),
        (
            {"click": pl.when(pl.int_range(pl.len()) == 6).then(float("inf")).otherwise(0.0)},
            "click must be finite (row 7)",
        ),
        (
            {"user_feature_1": pl.when(pl.int_range(pl.len()) == 6).then(None).otherwise(pl.lit("a"))},
            "user_feature_1 is missing (row 7)",
        ),
    ],
)
def test_a_bad_table_is_refused_with_its_rows(
    recsys: Recsys, tracker: MemoryTracker, tmp_path: Path, change: dict[str, pl.Expr], why: str
) -> None:
    path = written(feedback().with_columns(**change), tmp_path / "bad.parquet")
    done = recsys("replay", "--dataset", "open-bandit", path, "--json")
    assert (done.code, done.out, done.err) == (2, "", f"recsys: bad.parquet: {why}\n")
    assert not tracker.runs


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--dataset", "open-bandit", "none.parquet"], "none.parquet: no such file"),
        (
            ["--dataset", "classification", "small.parquet"],
            "small.parquet: the column label is missing; it has campaign",
        ),
        (
            ["--dataset", "classification", "small.parquet", "--campaign", "men"],
            "--campaign says nothing about classif",
        ),
        (["--dataset", "open-bandit", "small.parquet", "--label", "click"], "--label says nothing about open-bandit"),
        (["--dataset", "open-bandit", "small.parquet", "--campaign", "men"], "small.parquet: no row of men / random"),
        (
            ["--dataset", "open-bandit", "small.parquet", "--behaviour-policy", "bts"],
            "small/all: bts did not draw uniformly",
        ),
    ],
)
def test_a_replay_that_would_not_be_honest_is_refused(
    recsys: Recsys,
    tracker: MemoryTracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    why: str,
) -> None:
    written(feedback(), tmp_path / "small.parquet")
    monkeypatch.chdir(tmp_path)
    done = recsys("replay", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"recsys: {why}")
    assert not tracker.runs
