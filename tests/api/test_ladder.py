"""The ladder (OPS-2): each rung is reached by breaking the real part, and left when the part is back."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import artefacts
from recsys.database import Database
from serving import live_policy
from serving.bootstrap import compose, patiently, serve
from serving.live_policy import STATE, policy_name
from serving.settings import Settings
from tests.api.test_faults import publish
from tests.service import App, asked, assert_problem, running, serving
from tests.steered import administer, products_of, soon, stalled_sqlite, switch

DEADLINE = {"deadline_ms": 50}


def publish_again(app: App, recipe: str) -> artefacts.Artefact:
    """One more snapshot of a recipe, with the next version."""
    root = app.service.home.settings.artefacts
    last = artefacts.current(root, policy_name(recipe))
    manifest = {name: value for name, value in last.manifest.items() if name not in ("name", "files")}
    manifest |= {"version": manifest["version"] + 1}
    return artefacts.publish(root, policy_name(recipe), files={STATE: last.file(STATE)}, manifest=manifest)


def published(home: Path, *recipes: str) -> list[artefacts.Artefact]:
    """Two snapshots of each recipe, as an installation has them that ran for a while."""
    with running(home) as app:
        for recipe in recipes:
            publish(app, recipe)
        return [publish_again(app, recipe) for recipe in recipes]


def answered(app: App, customer: str = "ann", surface: str = "savings", **more: Any) -> dict[str, Any]:
    """A recommendation, logged, and verified by its record."""
    told = app.recommend(customer, surface=surface, **more)
    receipt = app.receipt(told["decision_id"])
    assert receipt["mode"] == told["mode"]
    assert receipt["policy"] == told["policy"]
    assert receipt["verification"]["draws"]["equal"]
    assert receipt["verification"]["probabilities"]["equal"] is not False
    assert set(products_of(told)) <= set(receipt["eligible"])
    return told


def rung(told: dict[str, Any]) -> tuple[str, str]:
    return told["mode"], told["policy"].partition("@")[0]


def test_ops_2_a_recipe_that_never_published_begins_with_uniform_choice(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.tell()
        assert rung(answered(app)) == ("fallback:uniform", "uniform")


def test_ops_2_the_live_policy_answers_while_nothing_is_broken(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path) as app:
        app.tell()
        assert rung(answered(app)) == ("live", "bandit")


@pytest.mark.parametrize("damage", ["the model file is deleted", "its bytes are altered", "the pointer is deleted"])
def test_ops_2_with_the_model_broken_the_last_good_snapshot_answers_and_then_the_model_again(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_policy, "_RETRY_SECONDS", 0.05)
    newest = published(tmp_path, "bandit", "popularity")[0]
    broken = newest.path.parent / artefacts.POINTER if "pointer" in damage else newest.path / STATE
    content = broken.read_bytes()
    if "deleted" in damage:
        broken.unlink()
    else:
        broken.write_bytes(content[:-1] + b"!")
    with running(tmp_path) as app:
        app.tell()
        told = answered(app)
        assert rung(told) == ("fallback:snapshot", "bandit")
        assert app.receipt(told["decision_id"])["verification"]["probabilities"]["equal"]
        assert app.receipt(told["decision_id"])["versions"]["snapshot"] != newest.digest or "pointer" in damage
        assert app.metric("recsys_artefact_refusals") == 1
        broken.write_bytes(content)
        time.sleep(0.06)
        app.service.refresh()
        assert rung(answered(app)) == ("live", "bandit")


def test_ops_2_without_any_sound_snapshot_popularity_answers_then_the_approved_list(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    root = tmp_path / "artefacts" / "policies"
    for state in (root / "bandit").glob(f"*/{STATE}"):
        state.unlink()
    with running(tmp_path) as app:
        app.tell()
        assert rung(answered(app)) == ("fallback:popularity", "popularity")
    for state in (root / "popularity").glob(f"*/{STATE}"):
        state.write_bytes(b"poison")
    with running(tmp_path, approved=("round-ups", "pot")) as app:
        app.tell()
        told = answered(app, slots=3)
        assert rung(told) == ("fallback:static", "static")
        eligible = app.receipt(told["decision_id"])["eligible"]
        assert products_of(told)[0] == next(each for each in ("round-ups", "pot", *eligible) if each in eligible)
        assert all(slot["propensity"] == 1.0 for slot in told["slate"])


@pytest.mark.parametrize("fault", ["raises", "gives NaN"])
def test_ops_2_a_policy_that_fails_while_it_serves_gives_way_to_the_snapshot_before_it(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path) as app:
        app.tell()
        live = app.service.live.policy("bandit")
        assert live is not None

        def broken(context: object, candidates: list[object]) -> np.ndarray:
            if fault == "raises":
                raise RuntimeError("a native library gave up")
            return np.full(len(candidates), np.nan)

        with monkeypatch.context() as patch:
            patch.setitem(app.service.live._live, "bandit", _Failing(live, broken))
            assert rung(answered(app)) == ("fallback:snapshot", "bandit")
            patch.setitem(app.service.live._earlier, "bandit", _Failing(live, broken))
            assert rung(answered(app)) == ("fallback:popularity", "popularity")
        assert rung(answered(app)) == ("live", "bandit")
        lines = app.get("/metrics", key=None).text
        assert 'recsys_decisions_total{mode="fallback:snapshot",surface="savings"} 1.0' in lines
        assert 'recsys_decisions_total{mode="fallback:popularity",surface="savings"} 1.0' in lines


class _Failing:
    """A policy in force whose scores fail."""

    def __init__(self, live: Any, scores: Any) -> None:
        self.recipe, self.snapshot, self.policy = live.recipe, live.snapshot, self
        self.name, self.floor, self.scores, self.pmf = live.policy.name, 0.0, scores, live.policy.pmf
        self.retriever = live.retriever


def test_ops_2_the_last_rung_is_an_empty_slate_that_says_so(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path) as app:
        administer(app).tell()
        for policy in ("bandit", "popularity"):
            switch(app, "policy", policy)
        assert rung(answered(app)) == ("fallback:static", "static")
        switch(app, "policy", "static")
        told = answered(app)
        assert (rung(told), told["slate"]) == (("fallback:empty", "empty"), [])
        assert told["shortfall"]


def test_ops_2_with_the_store_stalled_every_answer_comes_in_time_and_it_recovers_by_itself(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path) as app:
        app.tell()
        everybody = products_of(app.recommend("stranger", surface="savings"))
        assert rung(answered(app)) == ("live", "bandit")
        with stalled_sqlite(tmp_path):
            for n in range(40):
                began = time.perf_counter()
                told = app.recommend("ann" if n % 2 else f"new-{n}", surface="savings", **DEADLINE)
                assert time.perf_counter() - began < 10.0  # nobody waits for what stalled; the benchmark has 0.05
                assert (told["decision_id"], told["mode"]) == (None, "fallback:unlogged")
                assert products_of(told) == [each for each in everybody if each in ("help", "debt-help")]
        soon(lambda: app.recommend(surface="savings")["mode"] == "live")
        assert rung(answered(app)) == ("live", "bandit")


def test_ops_2_a_service_starts_without_its_database_and_serves_the_approved_list(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        administer(app).tell()
        everybody = products_of(app.recommend("stranger"))
        switch(app, "product", everybody[0])
        allowed = products_of(app.recommend("stranger"))
        keys = dict(app.keys)
        settings = app.service.home.settings
    for path in tmp_path.glob("recsys.db*"):
        path.rename(path.with_name("away-" + path.name))
    (tmp_path / "recsys.db").mkdir()  # nothing that could be opened
    service = serve(compose(settings, clock=app.clock, opened=patiently))
    with serving(service, keys=keys) as restarted:
        told = restarted.recommend("ann")
        assert (told["decision_id"], told["mode"]) == (None, "fallback:unlogged")
        assert products_of(told) == allowed
        assert everybody[0] not in allowed
        assert_problem(restarted.post("/v1/recommendations", asked(), key="analyst"), 503)
        (tmp_path / "recsys.db").rmdir()
        for path in tmp_path.glob("away-*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))
        restarted.service.refresh()
        soon(lambda: restarted.recommend("ann")["decision_id"])
        assert restarted.recommend("ann")["mode"] == "fallback:uniform"
    assert oct((tmp_path / "keys.json").stat().st_mode)[-3:] == "600"


def test_ops_2_with_every_policy_gone_from_disk_the_one_in_memory_goes_on(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path) as app:
        app.tell()
        shutil.rmtree(tmp_path / "artefacts" / "policies")
        app.service.refresh()
        assert rung(app.recommend(surface="savings")) == ("live", "bandit")


def test_a_database_is_ready_once_its_schema_was_seen(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    assert not database.ready
    assert patiently(database).ready
    database.close()


@pytest.mark.parametrize(
    ("changed", "surface", "answers"),
    [
        ("", "savings", ("live", "bandit")),
        ('"savings", "inline", "push"', "savings", ("fallback:popularity", "popularity")),
        ('"savings", "isa", "investment"', "savings", ("fallback:popularity", "popularity")),
    ],
)
def test_mrm_2_a_recipe_is_not_used_where_its_inventory_does_not_allow_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changed: str, surface: str, answers: tuple[str, str]
) -> None:
    """Of two recipes, the entry of the bandit alone is narrowed: a surface, or classes of products."""
    published(tmp_path / "home", "bandit", "popularity")
    text = Settings().inventory.read_text()
    inventory = tmp_path / "inventory.toml"
    inventory.write_text(text.replace(changed, '"none"' if "isa" in changed else '"inline"', 1) if changed else text)
    with running(tmp_path / "home", inventory=inventory) as app:
        app.tell()
        for _ in range(3):
            assert rung(answered(app, surface=surface)) == answers
    denied = [each for each in caplog.messages if "bandit is not meant for" in each]
    assert len(denied) == (1 if changed else 0)  # told once, not at each request
