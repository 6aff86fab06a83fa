"""What is deployed: alerts that fire when they should, and no metric or command that is not there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from serving.cli import COMMANDS
from serving.telemetry import Telemetry

DEPLOY = Path(__file__).parent.parent / "serving" / "deploy"


def promtool(*arguments: str) -> None:
    """Run promtool over the rules."""
    tool = shutil.which("promtool")
    if tool is None:
        if "promtool" in os.environ.get("RECSYS_TEST_REQUIRE", ""):
            pytest.fail("promtool is not installed (Debian's package prometheus)")
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    done = subprocess.run([tool, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_are_sound() -> None:
    promtool("check", "rules", "alerts.yaml")


def test_alerts_fire_on_what_they_are_for() -> None:
    promtool("test", "rules", "alerts_test.yaml")


@pytest.mark.parametrize("name", ["alerts.yaml", "grafana.json"])
def test_every_metric_that_is_watched_is_exposed(name: str) -> None:
    told = {line.split()[2] for line in Telemetry().text().decode().splitlines() if line.startswith("# TYPE")}
    exposed = told | {f"{each}_{part}" for each in told for part in ("bucket", "count", "sum")}
    watched = set(re.findall(r"recsys_[a-z_]+(?=[\s{\[)])", (DEPLOY / name).read_text(encoding="utf-8")))
    assert len(watched) > 4
    assert watched <= exposed


def test_every_alert_says_what_to_do() -> None:
    text = (DEPLOY / "alerts.yaml").read_text(encoding="utf-8")
    n = text.count("- alert:")
    assert [text.count(each) for each in ("summary:", "action:", "severity:")] == [n, n, n]


def test_the_dashboard_of_grafana_has_a_place_for_every_panel() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert all(panel["title"] and panel["targets"] for panel in panels)


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml"])
def test_every_command_that_is_run_is_there(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    run = set(re.findall(r'"recsys", "([a-z-]+)"', text)) | set(re.findall(r"recsys recsys ([a-z-]+)", text))
    assert run
    assert run <= set(COMMANDS)
