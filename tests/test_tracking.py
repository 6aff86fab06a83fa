"""Runs are written whole: parameters, numbers, curves and files, finished or failed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from recsys.tracking import MemoryTracker, MlflowTracker, Parameter, Tracker


def one_run(tracker: Tracker) -> None:
    parameters: dict[str, Parameter] = {"seed": 7, "learner": "vowpal", "rate": 0.5, "shared": True}
    with tracker.run("first", experiment="tests", parameters=parameters, tags={"digest": "abc"}) as run:
        run.record({"recall": 0.25, "loss": 2.0}, step=1)
        run.record({"recall": 0.5, "loss": 1.0}, step=2)
        run.file("report/summary.txt", "all is well — £5")
        run.file("raw.bin", b"\x00\x01")


def one_failure(tracker: Tracker) -> None:
    with tracker.run("second", experiment="tests", parameters={}) as run:
        run.record({})
        raise ZeroDivisionError


def test_the_tracker_in_memory_keeps_everything() -> None:
    tracker = MemoryTracker()
    one_run(tracker)
    with pytest.raises(ZeroDivisionError):
        one_failure(tracker)
    first, second = tracker.runs
    assert (first.status, second.status) == ("finished", "failed")
    assert first.metrics == {"recall": 0.5, "loss": 1.0}
    assert first.curves["recall"] == [(1, 0.25), (2, 0.5)]
    assert first.files == {"report/summary.txt": "all is well — £5", "raw.bin": b"\x00\x01"}
    assert (first.parameters["seed"], first.tags) == (7, {"digest": "abc"})


@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:DeprecationWarning"
)  # mlflow's own use of SQLAlchemy
def test_mlflow_keeps_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "mlflow.db"
    tracker = MlflowTracker(f"sqlite:///{store}", artefacts=Path("files"), page="http://127.0.0.1:5000")
    one_run(tracker)
    with pytest.raises(ZeroDivisionError):
        one_failure(tracker)
    with tracker.run("third", experiment="other", parameters={}) as third:
        assert third.url.startswith("http://127.0.0.1:5000/#/experiments/")
        assert third.url.endswith(third.run_id)
    answers = [None, tracker._client.get_experiment_by_name("tests")]  # another process makes it after our look
    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "get_experiment_by_name", lambda _: answers.pop(0))
        with tracker.run("fourth", experiment="tests", parameters={}) as fourth:
            fourth.record({"recall": 1.0}, step=3)
    for _ in range(2):
        tracker.register("vectors", run_id=fourth.run_id, tags={"digest": "abc"})
    with sqlite3.connect(store) as connection:
        runs = dict(connection.execute("SELECT name, status FROM runs"))
        curve = connection.execute("SELECT step, value FROM metrics WHERE key = 'recall' ORDER BY step").fetchall()
        parameters = dict(connection.execute("SELECT key, value FROM params"))
        versions = connection.execute("SELECT name, version, run_id FROM model_versions").fetchall()
        experiments = {name for (name,) in connection.execute("SELECT name FROM experiments")}
    connection.close()
    assert runs == {"first": "FINISHED", "second": "FAILED", "third": "FINISHED", "fourth": "FINISHED"}
    assert curve == [(1, 0.25), (2, 0.5), (3, 1.0)]
    assert parameters == {"seed": "7", "learner": "vowpal", "rate": "0.5", "shared": "True"}
    assert versions == [("vectors", 1, fourth.run_id), ("vectors", 2, fourth.run_id)]
    assert {"tests", "other"} <= experiments
    (summary,) = tmp_path.rglob("summary.txt")
    assert summary.read_text(encoding="utf-8") == "all is well — £5"
    assert summary.is_relative_to(tmp_path / "files" / "tests")
    assert next(tmp_path.rglob("raw.bin")).read_bytes() == b"\x00\x01"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
