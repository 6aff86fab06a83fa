"""`recsys promote`: who may, what is refused and why, the pointer that serving follows, and the way back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bandits.gate import Terms
from recsys.clocks import FixedClock
from recsys.database import Database, sqlite_url
from recsys.errors import Conflict
from recsys.keys import Keys, Scope
from recsys.promotions import CHAMPION, Look, Promotion, Promotions
from recsys.tracking import MemoryTracker, MlflowTracker
from serving import bootstrap, settings
from serving.bootstrap import compose
from serving.commands import promote
from serving.hearing import question_of
from serving.promotion import mended
from tests import builders
from tests.builders import START
from tests.conftest import Recsys
from tests.judged_worlds import world

INVENTORY = """
[[entry]]
recipe = "bandit"
owner = "growth"
author = "ada"
purpose = "Orders cards by what they are worth."
surfaces = ["home"]
product_classes = ["none", "savings", "isa", "investment", "pension", "credit"]
limitations = ["Judged at logged states."]
[[entry]]
recipe = "popularity"
owner = "growth"
author = "ada"
purpose = "The rival."
surfaces = ["home"]
product_classes = ["none"]
"""
MARGIN = ("--outcome", "tapped", "--margin", "0.1")


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    kept = MemoryTracker()
    monkeypatch.setattr(promote, "tracker_of", lambda _: kept)
    return kept


@pytest.fixture
def lived(home: Path) -> Iterator[Path]:
    """A log of 7,500 uniform rounds in which the bandit can learn what taps depend on; uniform is champion."""
    made = world(home, decisions=7_500, days=60, champion="uniform")
    made.home.database.close()
    (home / "inventory.toml").write_text(INVENTORY)
    (home / "settings.toml").write_text(f'champion = "uniform"\ninventory = "{home / "inventory.toml"}"\n')
    return home


def key(name: str, *, scope: Scope = Scope.APPROVE) -> str:
    return Keys(compose(settings.load()).database).create(name, scopes=[scope])


def test_mrm_8_a_better_recipe_becomes_challenger_with_its_evidence(
    recsys: Recsys, lived: Path, tracker: MemoryTracker
) -> None:
    done = recsys("promote", "bandit", "--approve-key", key("grace"), *MARGIN)
    assert done.code == 0, done.err + done.out
    assert done.out.startswith("PASSED: bandit against uniform on home")
    assert "[[experiment]]" in done.out
    home = compose(settings.load())
    challenger = home.promotions.challenger(now=home.clock.now())
    assert challenger is not None
    assert (challenger.recipe, challenger.by) == ("bandit", "grace")
    assert home.champion() == "uniform"  # passing the gate does not serve anybody
    assert tracker.aliases == {"challenger": ("bandit", challenger.evidence)}
    ruling = json.loads(str(tracker.runs[0].files["ruling.json"]))
    assert ruling["passed"]
    assert ruling["look"] == 1
    assert {each["name"] for each in ruling["guardrails"]} >= {
        "dismissals",
        "opt-outs",
        "cancellations",
        "value to 25 to 39",
    }


def test_the_same_question_is_the_same_look_and_another_margin_is_another(home: Path) -> None:
    bandit, popularity, uniform = compose(settings.load()).recipes[:3]
    asked = question_of(bandit, uniform, Terms(margin=0.1), "tapped")
    assert asked == question_of(bandit, uniform, Terms(margin=0.1), "tapped")
    others = [
        question_of(bandit, uniform, Terms(margin=0.2), "tapped"),
        question_of(bandit, uniform, Terms(margin=0.1), None),
        question_of(popularity, uniform, Terms(margin=0.1), "tapped"),
        question_of(bandit, popularity, Terms(margin=0.1), "tapped"),
        question_of(replace(bandit, shares_traffic=True), uniform, Terms(margin=0.1), "tapped"),
    ]
    assert len({asked, *others}) == 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a recipe to promote"),
        (("bandid",), 'no recipe is called "bandid"'),
        (("uniform",), "uniform is the champion already"),
        (("bandit",), "nobody approves it"),
        (("bandit", "--approve-key", "rk_wrong"), "the approve key is not known"),
        (("bandit", "--approve-key", "@ada"), "ada made bandit and may not approve it"),
        (("bandit", "--approve-key", "@reader"), "the key reader has no scope approve"),
        (("popularity", "--approve-key", "@grace"), "the inventory entry of popularity has no limitations"),
        (("bandit", "--approve-key", "@grace", "--surface", "savings"), "bandit is not meant for savings"),
        (("bandit", "--approve-key", "@grace", "--override", "because"), "an override needs a reason and an end"),
        (("bandit", "--approve-key", "@grace", "--override", " ", "--expires", "3d"), "an override needs a reason"),
        (("bandit", "--approve-key", "@grace", "--expires", "3d"), "--expires belongs to --override"),
        (("bandit", "--approve-key", "@grace", "--experiment", "nothing"), "no experiment has the id nothing"),
        (("bandit", "--rollback"), "--rollback stands alone"),
        (("--rollback",), "there is no earlier champion"),
        (("bandit", "--margin", "2"), "Invalid value for '--margin'"),
        (("bandit", "--approve-key", "@grace", "--outcome", "liked"), '"liked" is no kind of outcome'),
    ],
)
def test_mrm_1_mrm_3_what_is_wrong_is_refused_in_one_sentence_and_nothing_changes(
    recsys: Recsys, home: Path, tracker: MemoryTracker, arguments: tuple[str, ...], sentence: str
) -> None:
    home.mkdir()
    (home / "inventory.toml").write_text(INVENTORY)
    (home / "settings.toml").write_text(f'champion = "uniform"\ninventory = "{home / "inventory.toml"}"\n')
    secrets = {f"@{name}": key(name) for name in ("ada", "grace")}
    secrets["@reader"] = key("reader", scope=Scope.ANALYSE)
    done = recsys("promote", *(secrets.get(each, each) for each in arguments))
    assert done.code in (1, 2)
    assert sentence in done.sentence
    assert done.sentence.startswith("recsys: ")
    installation = compose(settings.load())
    assert installation.promotions.history() == []
    assert installation.champion() == "uniform"
    assert tracker.aliases == {}


def test_a_recipe_without_evidence_is_refused_with_reasons(recsys: Recsys, home: Path, tracker: MemoryTracker) -> None:
    world(home, decisions=200, days=50).home.database.close()
    (home / "settings.toml").write_text('champion = "uniform"\n')
    done = recsys("promote", "bandit", "--approve-key", key("grace"), *MARGIN)
    assert done.code == 1
    assert done.out.startswith("REFUSED: bandit against")
    assert "effective conversions" in done.out
    assert compose(settings.load()).promotions.history() == []
    assert [run.parameters["passed"] for run in tracker.runs] == [False]


def test_an_override_is_champion_until_it_expires_and_rollback_returns(
    recsys: Recsys, home: Path, tracker: MemoryTracker
) -> None:
    home.mkdir()
    (home / "settings.toml").write_text('champion = "uniform"\n')
    grace = key("grace")
    done = recsys("promote", "bandit", "--approve-key", grace, "--override", "quarter end", "--expires", "14d")
    assert done.code == 0, done.err
    home = compose(settings.load())
    assert home.champion() == "bandit"
    now = home.clock.now()
    assert home.promotions.champion(now=now + timedelta(days=15)) is None
    assert tracker.aliases["champion"][0] == "bandit"
    assert recsys("promote", "--rollback").out == "uniform is champion again\n"
    assert compose(settings.load()).champion() == "uniform"
    assert tracker.aliases["champion"][0] == "uniform"


def test_serving_follows_the_pointer(tmp_path: Path) -> None:
    clock = FixedClock(START)
    service = bootstrap.serve(compose(settings.load(home=tmp_path, champion="uniform"), clock=clock))
    before = service.recommender
    service.refresh()
    assert service.recommender is before
    recipe = next(each for each in service.home.recipes if each.name == "popularity")
    service.home.promotions.name(
        Promotion(CHAMPION, recipe.name, recipe.digest, "grace", "an exception", "", START, START + timedelta(days=2))
    )
    service.refresh()
    assert service.recommender._traffic.champion == "popularity"
    clock.set(START + timedelta(days=2))
    service.refresh()
    assert service.recommender._traffic.champion == "uniform"
    service.close()


def test_an_experiment_crowns_only_what_it_shows_to_be_better(
    recsys: Recsys, home: Path, tracker: MemoryTracker
) -> None:
    home.mkdir()
    (home / "settings.toml").write_text('champion = "popularity"\n')
    installation = compose(settings.load())
    running = replace(
        builders.experiment(),
        variants=tuple(
            replace(v, recipe=r) for v, r in zip(builders.experiment().variants, ("popularity", "bandit"), strict=True)
        ),
    )
    installation.register.create(running)
    grace = key("grace")
    asked = ("promote", "bandit", "--approve-key", grace, "--experiment", "home-bandit")
    assert "is running: stop it before" in recsys(*asked).sentence
    installation.register.move("home-bandit", state="stopped")
    assert "does not crown bandit: Not enough data" in recsys(*asked).sentence
    assert "does not try uniform" in recsys("promote", "uniform", *asked[2:]).sentence
    assert installation.promotions.history() == []


def test_looks_at_days_that_overlap_are_counted_together(tmp_path: Path) -> None:
    store = Promotions(Database(sqlite_url(tmp_path / "x.db")).create())

    def look(question: str, *, day: int, surface: str = "home") -> int:
        since = START + timedelta(days=day)
        return store.look(Look(question, surface, since, since + timedelta(days=10), START))

    assert [look("a", day=0), look("b", day=0), look("a", day=0), look("a", day=5)] == [1, 2, 1, 3]
    assert look("a", day=30) == 1
    assert look("a", day=0, surface="savings") == 1


def test_rollback_walks_back_over_champions(tmp_path: Path) -> None:
    store = Promotions(Database(sqlite_url(tmp_path / "x.db")).create())

    def back() -> str:
        return store.roll_back(first=("first", "d"), by="x", reason="y", now=START).recipe

    with pytest.raises(Conflict, match="no earlier champion"):
        back()
    for recipe in ("one", "two"):
        store.name(Promotion(CHAMPION, recipe, "d", "x", "y", "", START))
    assert back() == "one"
    assert [each.recipe for each in store.history()] == ["one", "two", "one"]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_mlflow_mirrors_roles_with_their_runs(tmp_path: Path) -> None:
    tracker = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", artefacts=tmp_path / "files")
    for role, recipe in (("challenger", "bandit"), ("champion", "bandit"), ("champion", "popularity")):
        with tracker.run(recipe, experiment="promotions", parameters={}) as run:
            evidence = run.run_id
        tracker.mirror(role, name=recipe, evidence=evidence, tags={"by": "grace"})
    version = tracker._client.get_model_version_by_alias("recsys", "champion")
    assert (version.tags["recipe"], version.run_id) == ("popularity", evidence)
    assert tracker._client.get_model_version_by_alias("recsys", "challenger").tags["recipe"] == "bandit"


def test_mrm_3_two_promotions_at_once_cannot_both_be_heard_against_the_same_champion(tmp_path: Path) -> None:
    """Each in a thread with a database of its own; whoever comes second is told, and nothing is written for them."""
    url = sqlite_url(tmp_path / "x.db")
    store = Promotions(Database(url).create())
    standing = store.champion(now=START)
    barrier = threading.Barrier(4)

    def name(recipe: str) -> str:
        mine = Promotions(Database(url).create())
        barrier.wait()
        try:
            mine.name(Promotion(CHAMPION, recipe, "d", "x", "y", "", START), while_=standing)
        except Conflict as conflict:
            return str(conflict)
        return "named"

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(name, ("one", "two", "three", "four")))
    assert told.count("named") == 1
    assert sum("the champion changed while" in each for each in told) == 3
    assert len(store.history()) == 1


def test_mrm_3_a_recipe_changed_after_its_approval_does_not_serve_under_it(
    recsys: Recsys, home: Path, tracker: MemoryTracker
) -> None:
    home.mkdir()
    recipes = settings.load().recipes.read_text(encoding="utf-8")
    (home / "recipes.toml").write_text(recipes)
    (home / "settings.toml").write_text(f'champion = "uniform"\nrecipes = "{home / "recipes.toml"}"\n')
    done = recsys("promote", "bandit", "--approve-key", key("grace"), "--override", "quarter end", "--expires", "14d")
    assert done.code == 0, done.err
    assert compose(settings.load()).champion() == "bandit"
    name = 'name = "bandit"'
    assert name in recipes
    (home / "recipes.toml").write_text(recipes.replace(name, name + "\nshares_traffic = true", 1))
    changed = compose(settings.load())
    assert changed.champion() == "uniform"
    assert "bandit was approved as champion, but recipes.toml has changed it since" in changed.estranged()
    assert changed.estranged() in bootstrap.serve(changed).readiness()[1]
    assert "there is no earlier champion" in recsys("promote", "--rollback").sentence


def test_aliases_that_were_left_behind_are_mended_by_the_next_promotion(
    recsys: Recsys, home: Path, tracker: MemoryTracker
) -> None:
    """A crash between the pointer and its mirror, and an override that ended."""
    home.mkdir()
    (home / "settings.toml").write_text('champion = "uniform"\n')
    installation = compose(settings.load())
    recipe = next(each for each in installation.recipes if each.name == "popularity")
    now = installation.clock.now()
    installation.promotions.name(
        Promotion(CHAMPION, recipe.name, recipe.digest, "grace", "why", "", now, now + timedelta(days=1))
    )
    assert tracker.aliases == {}
    done = recsys("promote", "popularity")
    assert "MLflow named another champion: mended" in done.err
    assert tracker.aliases["champion"][0] == "popularity"
    assert "mended" not in recsys("promote", "popularity").err
    late = compose(settings.load(), clock=FixedClock(now + timedelta(days=2)))
    assert mended(late, tracker=tracker) == [CHAMPION]
    assert tracker.aliases["champion"][0] == "uniform"
    assert mended(late, tracker=tracker) == []


KILLED = """
import os, signal, sys
from recsys import promotions
from serving import promotion
from serving.cli import main

def die(*args, **given):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "before":
    promotions._append = die
else:
    promotion.mirrored = die
main(sys.argv[2:])
"""


@pytest.mark.processes
@pytest.mark.parametrize(("when", "champion"), [("before", "uniform"), ("after", "bandit")])
def test_a_promotion_that_is_killed_happened_wholly_or_not_at_all(
    recsys: Recsys, home: Path, tracker: MemoryTracker, when: str, champion: str
) -> None:
    home.mkdir()
    (home / "settings.toml").write_text('champion = "uniform"\n')
    grace = key("grace")
    asked = ["promote", "bandit", "--approve-key", grace, "--override", "quarter end", "--expires", "14d"]
    ended = subprocess.run([sys.executable, "-c", KILLED, when, *asked], check=False, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert compose(settings.load()).champion() == champion
    assert recsys(*asked).code == 0
    assert compose(settings.load()).champion() == "bandit"
    assert tracker.aliases["champion"][0] == "bandit"
