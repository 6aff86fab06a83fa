"""`recsys verify-log`: an untouched log verifies, and whatever was altered is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import draw_slate, everything_open
from bandits.learner import load_policy, make_learner
from bandits.policy import Policy
from recsys import artefacts
from recsys.eventlog import Entry
from recsys.vocabulary import Candidate, Context, Decision, Slot
from serving import settings
from serving.bootstrap import Installation, compose
from serving.live_policy import STATE, LivePolicies, policy_name
from serving.receipts import Snapshots
from serving.retrievers import Retrievers
from tests.builders import VERSIONS, decision
from tests.conftest import Recsys


def drawn(decision_id: str, *, policy: Policy, recipe: str = "", snapshot: str = "") -> Decision:
    """A decision that `policy` really drew, over three products for two slots."""
    versions = replace(VERSIONS, recipe=recipe, snapshot=snapshot)
    made = decision(decision_id, policy=policy.name, context=Context(("x",), (0.5,)), versions=versions)
    n = len(made.candidates)
    got = draw_slate(
        policy, made.context, made.candidates, length=2, decision_id=decision_id, mask_of=everything_open(n)
    )
    chosen = [made.candidates[row] for row in got.rows]
    slots = tuple(
        Slot(number, each.product_id, each.creative_id, propensity)
        for number, (each, propensity) in enumerate(zip(chosen, got.propensities, strict=True), start=1)
    )
    return replace(made, scores=got.scores, pmfs=got.pmfs, slots=slots)


@dataclass(frozen=True, slots=True)
class Learned:
    """A published snapshot of the champion."""

    policy: Policy
    recipe: str
    snapshot: str
    path: Path


def learned(home: Installation, *, liked: str) -> Learned:
    """The champion after customers took to one product, published."""
    recipe = home.live.recipes[home.settings.champion]
    learner = make_learner(recipe, home.rewards)
    for _ in range(20):
        for product in ("pot", "cash-isa", "round-ups"):
            candidate = Candidate(product, f"{product}-a")
            learner.teach(Context(("x",), (0.5,)), candidate, stage="tapped", label=float(product == liked))
    manifest = {"version": 1, "recipe_digest": recipe.digest}
    files = {STATE: learner.state()}
    published = artefacts.publish(home.settings.artefacts, policy_name(recipe.name), files=files, manifest=manifest)
    return Learned(load_policy(recipe, learner.state(), 1), recipe.digest, published.digest, published.path)


@pytest.fixture
def logged(home: Path) -> Learned:
    """A log of 10 decisions by the champion, 10 uniform ones, and 2 of a fixed order."""
    installation = compose(settings.load())
    champion = learned(installation, liked="cash-isa")
    ours = [
        drawn(f"b-{i}", policy=champion.policy, recipe=champion.recipe, snapshot=champion.snapshot) for i in range(10)
    ]
    uniform = [drawn(f"u-{i}", policy=UniformPolicy()) for i in range(10)]
    fixed = [drawn(f"f-{i}", policy=StaticPolicy(("pot",))) for i in range(2)]
    installation.log.append([Entry(each) for each in (*ours, *uniform, *fixed)])
    return champion


def tamper(home: Path, decision_id: str, change: Callable[[str], str]) -> None:
    """Alter a decision's text behind the log's back."""
    where = (f"decision:{decision_id}",)
    with sqlite3.connect(home / "recsys.db") as connection:
        (text,) = connection.execute("SELECT text FROM events WHERE key = ?", where).fetchone()
        assert change(text) != text
        connection.execute("UPDATE events SET text = ? WHERE key = ?", (change(text), *where))
    connection.close()


def test_an_untouched_log_verifies(recsys: Recsys, logged: Learned) -> None:
    done = recsys("verify-log", "--json")
    assert done.code == 0
    assert json.loads(done.out) == {
        "decisions": 22,
        "verified": 20,
        "draws_only": 2,
        "not_comparable": {"made without a snapshot": 2},
        "mismatched": 0,
        "mismatches": [],
    }
    assert "verifying: 100%" in done.err
    told = recsys("verify-log").out
    assert "22 decisions in the log\n20 verified in both tiers" in told
    assert told.endswith("\n0 mismatches\n")


def test_an_empty_log_verifies(recsys: Recsys) -> None:
    done = recsys("verify-log")
    assert done.code == 0
    assert done.out.startswith("0 decisions in the log")


def test_without_its_snapshot_a_decision_is_not_comparable_and_never_verified(recsys: Recsys, logged: Learned) -> None:
    shutil.rmtree(logged.path)
    found = json.loads(recsys("verify-log", "--json").out)
    assert (found["verified"], found["draws_only"], found["mismatched"]) == (10, 12, 0)
    assert found["not_comparable"]["the snapshot is gone"] == 10


def test_after_an_erasure_the_skeleton_still_verifies(recsys: Recsys, logged: Learned, home: Path) -> None:
    def erased(text: str) -> str:
        return json.dumps(json.loads(text) | {"personal": None})

    tamper(home, "b-3", erased)
    done = recsys("verify-log", "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert (found["verified"], found["not_comparable"]["its facts are erased"]) == (19, 1)


def test_a_propensity_that_was_changed_is_named(recsys: Recsys, logged: Learned, home: Path) -> None:
    def flattered(text: str) -> str:
        fields = json.loads(text)
        fields["slots"][1][2] = 0.75
        return json.dumps(fields)

    tamper(home, "u-4", flattered)
    done = recsys("verify-log")
    assert done.code == 1
    assert "1 mismatches\ndecision u-4 (position 15), slot 2: the propensity is 0.5, the record says 0.75\n" in done.out
    assert done.sentence == "recsys: 1 of 22 decisions do not verify"
    (fault,) = json.loads(recsys("verify-log", "--json").out)["mismatches"]
    assert fault == {
        "position": 15,
        "decision_id": "u-4",
        "slot": 2,
        "what": "the propensity is 0.5, the record says 0.75",
    }


def test_a_pmf_that_its_snapshot_does_not_give_is_named(recsys: Recsys, logged: Learned) -> None:
    installation = compose(settings.load())
    other = learned(installation, liked="round-ups")
    lied = drawn("lied", policy=logged.policy, recipe=other.recipe, snapshot=other.snapshot)
    installation.log.append([Entry(lied)])
    done = recsys("verify-log", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert found["mismatched"] == 1
    assert {(fault["decision_id"], fault["slot"]) for fault in found["mismatches"]} == {("lied", 1), ("lied", 2)}
    assert "gives probabilities up to" in found["mismatches"][0]["what"]


def test_a_record_nobody_can_read_is_listed_and_the_rest_still_verified(
    recsys: Recsys, logged: Learned, home: Path
) -> None:
    tamper(home, "b-0", lambda text: text[:40])
    tamper(home, "u-9", lambda text: "{}")
    found = json.loads(recsys("verify-log", "--json").out)
    assert (found["decisions"], found["verified"], found["mismatched"]) == (22, 18, 2)
    assert [fault["position"] for fault in found["mismatches"]] == [1, 20]
    assert "cannot be read" in found["mismatches"][0]["what"]


def test_each_snapshot_is_loaded_once_while_it_is_among_the_last_few(logged: Learned, home: Path) -> None:
    live = compose(settings.load()).live
    loads: list[str] = []

    class Counted(LivePolicies):
        def policy_of(self, decision: Decision) -> Policy | None:
            loads.append(decision.versions.snapshot[:4])
            return live.policy_of(decision)

    artefacts = home / "artefacts"
    snapshots = Snapshots(Counted(artefacts, recipes=(), retrievers=Retrievers(artefacts)), kept=2)
    ours = drawn("b-0", policy=logged.policy, recipe=logged.recipe, snapshot=logged.snapshot)
    gone = [drawn(f"g-{i}", policy=logged.policy, recipe=logged.recipe, snapshot=f"{i:04}") for i in range(3)]
    policies = [
        snapshots.policy_of(each) for each in (ours, ours, gone[0], ours, gone[1], ours, gone[0], gone[2], ours)
    ]
    assert [policy is not None for policy in policies] == [True, True, False, True, False, True, False, False, True]
    assert loads == [logged.snapshot[:4], "0000", "0001", "0000", "0002", logged.snapshot[:4]]
