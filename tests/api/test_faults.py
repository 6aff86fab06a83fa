"""Failing parts: a policy, a snapshot, the database; and what goes on all the same."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import artefacts
from recsys.vocabulary import Bools, Candidate, Context, Floats
from serving.commands.learn import learner_of
from serving.live_policy import STATE, InForce, policy_name
from tests.builders import experiment
from tests.service import App, asked, assert_problem, outcome_in, running


def test_the_hold_out_gets_the_broadcast_slate_and_says_holdout_exp_2(tmp_path: Path) -> None:
    with running(tmp_path, holdout_share=0.5) as app:
        for n in range(20):
            app.tell(f"c-{n}")
        told = [app.recommend(f"c-{n}") for n in range(20)]
        held_out = [each for each in told if each["mode"] == "holdout"]
        assert 0 < len(held_out) < 20
        assert {each["policy"] for each in held_out} == {"static@0"}
        assert len({json.dumps(each["slate"]) for each in held_out}) == 1
        again = [app.recommend(f"c-{n}")["mode"] for n in range(20)]
        assert [mode == "holdout" for mode in again] == [each["mode"] == "holdout" for each in told]


class _Broken:
    """A policy that fails in one of the ways policies fail."""

    name = "bandit@7"
    floor = 0.05

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def scores(self, context: Context, candidates: list[Candidate]) -> Floats:
        if self._fault == "raises":
            raise RuntimeError("a native library gave up")
        return np.full(len(candidates), np.nan if self._fault == "not finite" else 0.0)

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return np.full(len(scores), 1.7 if self._fault == "too much" else 1 / len(scores))


@pytest.mark.parametrize("fault", ["raises", "not finite", "too much"])
def test_a_failing_policy_gives_way_to_the_fallback_which_is_logged_as_itself(
    app: App, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    app.tell("unlucky")
    live = InForce(_Broken(fault), "r", "s")
    monkeypatch.setattr(type(app.service.live), "policy", lambda self, recipe: live)
    told = app.recommend("unlucky", surface="savings")
    assert (told["policy"], told["mode"]) == ("uniform@0", "fallback:uniform")
    receipt = app.receipt(told["decision_id"])
    assert receipt["versions"]["snapshot"] == ""
    assert receipt["verification"]["probabilities"]["equal"]


def publish(app: App, recipe: str = "uniform") -> artefacts.Artefact:
    """A new snapshot of a recipe, with another digest each time."""
    root = app.service.home.settings.artefacts
    learner = learner_of(app.service.home, only=recipe)
    learner.publish()
    last = artefacts.current(root, policy_name(recipe))
    manifest = {name: value for name, value in last.manifest.items() if name not in ("name", "files")}
    number = manifest["version"] + 1
    return artefacts.publish(
        root, policy_name(recipe), files={STATE: last.file(STATE)}, manifest=manifest | {"version": number}
    )


def _altered_state(app: App) -> None:
    published = publish(app)
    (published.path / STATE).write_bytes(b"poison")


def _altered_manifest(app: App) -> None:
    (publish(app).path / artefacts.MANIFEST).write_text("[]")


def _no_directory(app: App) -> None:
    (app.service.home.settings.artefacts / "policies/uniform/current").write_text("0" * 32)


def _binary_pointer(app: App) -> None:
    (app.service.home.settings.artefacts / "policies/uniform/current").write_bytes(b"\xff\xfe\x00\x80")


def _poison_that_was_published(app: App) -> None:
    root = app.service.home.settings.artefacts
    artefacts.publish(root, policy_name("uniform"), files={STATE: b"\x80poison"}, manifest={"version": None})


@pytest.mark.parametrize(
    "damage", [_altered_state, _altered_manifest, _no_directory, _binary_pointer, _poison_that_was_published]
)
def test_a_damaged_snapshot_leaves_the_last_good_one_in_force(tmp_path: Path, damage: Callable[[App], None]) -> None:
    with running(tmp_path, champion="uniform") as app:
        app.tell()
        good = publish(app)
        app.service.refresh()
        damage(app)
        app.service.refresh()
        told = app.recommend(surface="savings")
        assert told["mode"] == "live"
        assert app.receipt(told["decision_id"])["versions"]["snapshot"] == good.digest
        assert app.metric("recsys_artefact_refusals") == 1
        newer = publish_after(app, good)
        app.service.refresh()
        assert app.receipt(app.recommend(surface="savings")["decision_id"])["versions"]["snapshot"] == newer.digest


def publish_after(app: App, good: artefacts.Artefact) -> artefacts.Artefact:
    """A sound snapshot published after a damaged one."""
    manifest = {name: value for name, value in good.manifest.items() if name not in ("name", "files")}
    root = app.service.home.settings.artefacts
    return artefacts.publish(
        root, policy_name("uniform"), files={STATE: good.file(STATE)}, manifest=manifest | {"version": 99}
    )


def test_a_new_snapshot_swaps_in_without_a_dropped_request(tmp_path: Path) -> None:
    with running(tmp_path, champion="uniform", poll_seconds=0.001) as app:
        app.tell()
        first = publish(app)
        app.service.refresh()
        bodies = [("/v1/recommendations", asked(customer_id="ann", request_id=f"r-{n}")) for n in range(150)]
        before = app.together(bodies[:50])
        second = publish_after(app, first)
        during = app.together(bodies[50:])
        for _ in range(2_000):  # the app itself looks again and again
            found = app.service.live.policy("uniform")
            if found is not None and found.snapshot == second.digest:
                break
            app.loop.run(asyncio.sleep(0.002))
        after = app.recommend(surface="savings")
        assert {answer.status_code for answer in before + during} == {200}
        assert app.receipt(after["decision_id"])["versions"]["snapshot"] == second.digest
        snapshots = {decision.versions.snapshot for decision in app.decisions()}
        assert snapshots == {first.digest, second.digest}
        assert len(app.decisions()) == 151


def test_an_experiment_divides_customers_and_the_answer_names_the_variant(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.service.home.register.create(experiment(names=("popularity", "bandit")))
        app.service.refresh()
        for n in range(30):
            app.tell(f"c-{n}")
        told = [app.recommend(f"c-{n}")["experiments"] for n in range(30)]
        assert all([each["id"] for each in experiments] == ["home-bandit"] for experiments in told)
        assert {experiments[0]["variant"] for experiments in told} == {"popularity", "bandit"}
        assert [app.recommend(f"c-{n}")["experiments"] for n in range(30)] == told


def damage_database(home: Path) -> None:
    """Overwrite the database as a failing disk would."""
    for path in home.glob("recsys.db*"):
        path.write_bytes(b"\x00garbage" * 4_096)


def assert_unlogged(app: App, told: dict[str, Any], *, given: int) -> None:
    assert told["decision_id"] is None
    assert told["mode"] == "fallback:unlogged"
    assert len(told["slate"]) == given
    assert all(slot["propensity"] == 1.0 for slot in told["slate"])
    assert app.metric("recsys_unlogged_total") == 1


@pytest.mark.parametrize("customer", ["known", "unknown"])
def test_with_the_database_gone_the_answer_is_the_approved_static_list_and_counted(
    tmp_path: Path, customer: str
) -> None:
    with running(tmp_path) as app:
        app.tell("known")
        damage_database(tmp_path)
        told = app.recommend(customer)
        assert_unlogged(app, told, given=3)
        assert [slot["product_id"] for slot in told["slate"]] == ["budgeting", "help", "debt-help"]  # nothing promoted
        answer = app.post("/v1/outcomes", {"outcomes": [outcome_in("o", customer_id="known")]})
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]
        ready = app.get("/readyz", key=None)
        assert ready.status_code == 503
        assert "database" in ready.json()["missing"][0]
        assert app.ask("HEAD", "/readyz", key=None).status_code == ready.status_code
        assert app.get("/healthz", key=None).status_code == 200


def test_with_the_database_gone_a_key_that_was_never_seen_gets_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        damage_database(tmp_path)
        assert_problem(app.post("/v1/recommendations", asked()), 503)


def test_with_the_database_gone_the_unlogged_answer_may_be_empty_but_never_an_error(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.recommend()
        damage_database(tmp_path)
        assert_unlogged(app, app.recommend(candidates=[]), given=0)
        assert_problem(app.post("/v1/recommendations", asked(surface="moon")), 422, "/surface")


@pytest.mark.parametrize("customer", ["known", "unknown"])
def test_while_the_database_is_locked_the_answer_comes_inside_the_deadline(tmp_path: Path, customer: str) -> None:
    with running(tmp_path) as app:
        app.tell("known")
        lock = sqlite3.connect(tmp_path / "recsys.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = app.post("/v1/recommendations", {"customer_id": customer, "surface": "home", "deadline_ms": 100})
        lock.execute("ROLLBACK")
        lock.close()
        assert answer.elapsed < timedelta(seconds=5)
        assert_unlogged(app, answer.json(), given=3)
        assert app.recommend("known")["decision_id"]
