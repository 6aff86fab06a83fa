"""The demo, small: its numbers reconcile, its closed forms are right, and it leaves nothing running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import InvalidConfiguration
from serving.demo import Plan, fresh_home
from serving.demo_worth import _uniform_marginals

PLAN = Plan(seed=1, customers=100, first_days=1, live_days=7, port=8080, mlflow_port=5000)


@pytest.mark.parametrize("n_null", [0, 1])
@pytest.mark.parametrize("per_family", [1, 2, 5])
def test_uniform_drawing_in_closed_form_equals_every_order_counted(per_family: int, n_null: int) -> None:
    families = ("a", "a", "a", "b", "b", "c")
    eligible = (0, 1, 3, 4, 5)
    chances = _uniform_marginals(eligible, families, 3, per_family, n_null=n_null)
    expected = np.zeros((3, len(families)))

    def walk(taken: tuple[int, ...], probability: float) -> None:
        open_ = [
            row
            for row in eligible
            if row not in taken and sum(families[each] == families[row] for each in taken) < per_family
        ]
        if len(taken) == 3 or not open_:
            return
        for row in open_:
            share = probability / (len(open_) + n_null)
            expected[len(taken), row] += share
            walk((*taken, row), share)

    walk((), 1.0)
    assert chances == pytest.approx(expected, abs=1e-12)


def test_a_demo_empties_only_what_a_demo_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InvalidConfiguration, match="not made by a demo"):
        fresh_home(tmp_path, plan=PLAN)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    again = tmp_path / "demo"
    fresh_home(again, plan=PLAN)
    (again / "left").touch()
    assert fresh_home(again, plan=PLAN).clock == "simulated"
    assert not (again / "left").exists()


def processes_of(home: Path) -> Iterator[int]:
    """Processes that were started with this home."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"RECSYS_HOME={home}".encode() in environment.read_bytes().split(b"\0"):
                yield int(environment.parent.name)


@pytest.mark.processes
def test_the_whole_loop_reconciles_and_leaves_nothing_running(tmp_path: Path) -> None:
    port = str(8600 + os.getpid() % 300)
    arguments = ["demo", "--customers", "150", "--first-days", "3", "--days", "7", "--no-serve", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "serving.cli", *arguments, "--port", port, "--home", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    events = report["events"]
    assert report["reconciles"]
    assert events["sent"] == events["received"] == events["joined"] + events["waiting"] + events["quarantined"]
    assert events["decisions"] == events["closed"] + events["open"]
    assert events["rejected"] == 0
    assert report["lessons"]["bandit"]["learned"] == events["learned_bandit"] > 0
    for counts in report["lessons"].values():
        ended = counts["learned"] + counts["waiting"] + counts["quarantined"] + counts["superseded"]
        assert counts["received"] == ended
    points = {line["policy"]: line["points"] for line in report["lines"]}
    assert set(points) == {"oracle", "bandit", "popularity by taps", "popularity by value", "uniform"}
    assert points["oracle"] == max(points.values())
    assert report["regret"]["policy"] == pytest.approx(points["oracle"] - points["bandit"])
    assert report["regret"]["compliance"] >= 0.0
    assert not list(processes_of(tmp_path / "demo"))
