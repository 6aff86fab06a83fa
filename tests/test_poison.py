"""Nothing that is fed to it moves the learner beyond what was approved: poison, floods, swollen snapshots (MRM-4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bandits.envelope import Envelope
from bandits.recipe import Recipe
from bandits.selftest import checked_recipe, context_matters
from recsys.entries import Entry
from recsys.errors import InvalidConfiguration, Misuse
from recsys.rewards import FORMS
from recsys.vocabulary import Body, Decision, Outcome, Release, Token
from serving.bootstrap import Installation
from serving.commands.learn import learner_of
from serving.learning import learning
from serving.tallies import STATES, reconciles
from tests.poison_worlds import EVERY, POISONS, Learned, append, clean, close, learned, live, opened, poisoned, reports
from tests.service import pointers

ROUNDS = range(10, 70)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """The clean twin."""
    home = opened(tmp_path_factory.mktemp("clean") / "home")
    live(home, [3, *ROUNDS])
    return learned(home)


@pytest.mark.parametrize("kind", POISONS)
def test_a_poisoned_event_changes_no_probability(untouched: Learned, tmp_path: Path, kind: str) -> None:
    home = opened(tmp_path)
    live(home, [3, *ROUNDS], poison=poisoned(kind))
    found = learned(home)
    assert np.abs(found.pmfs() - untouched.pmfs()).max() <= 1e-6
    assert np.abs(found.scores() - untouched.scores()).max() <= 1e-6
    assert found.loop.counters.reconciles()
    assert reconciles(found.counts())
    assert found.counts()["learned"] == untouched.counts()["learned"] > 200
    put_aside = home.quarantine.all()
    if kind == "duplicate flood":
        assert put_aside == []
    elif kind == "a slot that was no candidate":  # no row of it can be named, so nothing is told at all
        assert found.counts()["superseded"] > untouched.counts()["superseded"]
    else:
        assert put_aside
        assert all(each.reason for each in put_aside)


def test_every_lesson_is_accounted_for_while_windows_are_open(tmp_path: Path) -> None:
    home = opened(tmp_path)
    live(home, [3, *ROUNDS], poison=poisoned("inf"))
    loop = learner_of(home)
    loop.catch_up()
    state = learning(home.database, ("bandit", "popularity", "uniform"))
    assert set(state.lessons) == {"bandit", "popularity"}
    assert state.lessons["bandit"]["waiting"] > 0
    assert state.reconciles
    close(home)
    loop.catch_up()
    state = learning(home.database, ("bandit", "popularity", "uniform"))
    assert state.lessons["bandit"]["waiting"] == 0
    assert state.lessons["bandit"]["quarantined"] == state.quarantined > 0
    assert state.reconciles
    assert list(state.lessons["bandit"]) == list(STATES)


# -- floods -----------------------------------------------------------------------------------


def flood(*, n: int, token: str | None = None, source: str = "") -> list[Body]:
    """Decisions within minutes, every one of whose loans is tapped."""
    told: list[Body] = []
    for number in range(200_000, 200_000 + n):
        drawn, _ = clean(number)
        drawn = replace(drawn, made_at=clean(20)[0].made_at)
        drawn = drawn if token is None else replace(drawn, token=Token(token))
        told += [drawn, *reports(drawn, seed=number, liked="loan", source=source)]
    return told


def _seen_in(sent: list[Body]) -> set[str | None]:
    return {body.decision_id for body in sent if isinstance(body, Outcome)}


def test_a_customer_that_floods_teaches_no_more_than_the_bound(tmp_path: Path) -> None:
    home = opened(tmp_path, decisions_per_customer=5)
    sent = flood(n=60, token="t-flood")
    live(home, [3, *ROUNDS], poison=sent)
    found = learned(home)
    doubted = {each.decision_id for each in home.quarantine.all() if each.kind == "doubt"}
    beyond = [body for body in sent if isinstance(body, Decision)][5:]
    assert doubted == {each.decision_id for each in beyond if each.decision_id in _seen_in(sent)}
    assert all("more than 5 decisions" in each.reason for each in home.quarantine.all())
    assert reconciles(found.counts())


def test_a_key_that_floods_is_believed_up_to_the_bound(tmp_path: Path) -> None:
    home = opened(tmp_path, outcomes_per_key=10)
    sent = flood(n=30, source="stolen")
    live(home, [3, *ROUNDS], poison=sent)
    learned(home)
    told = [body for body in sent if isinstance(body, Outcome)]
    doubted = {each.decision_id for each in home.quarantine.all() if each.kind == "doubt"}
    assert doubted == {body.decision_id for body in told[10:]}


def test_the_source_of_an_outcome_makes_no_conflict_of_a_repeat(tmp_path: Path) -> None:
    home = opened(tmp_path)
    drawn, told = clean(3)
    first = [replace(body, source="app") for body in told if isinstance(body, Outcome)]
    append(home, [drawn, *first], after=EVERY)
    again = home.log.append([Entry(replace(body, source="app-rotated")) for body in first])
    assert {receipt.status for receipt in again} == {"duplicate"}
    assert [event.body for event in home.log.read(kinds=("outcome",))] == first


# -- releases ---------------------------------------------------------------------------------


def release(home: Installation) -> None:
    """Let everything doubted teach, as the command does."""
    for each in sorted(home.quarantine.all(), key=lambda each: each.key):
        lesson = (each.decision_id, each.slot, each.stage, each.happened, each.share)
        body = Release(each.key, each.recipe, "looked", "ada", *lesson)
        home.log.append([Entry(body)])


def test_a_released_lesson_teaches_from_the_log_alone(tmp_path: Path) -> None:
    home = opened(tmp_path / "one", decisions_per_customer=5)
    live(home, [3, *ROUNDS], poison=flood(n=20, token="t-flood"))
    before = learned(home)
    doubted = home.quarantine.count()
    release(home)
    after = learned(home)
    assert after.counts()["learned"] == before.counts()["learned"] + doubted
    assert after.counts()["quarantined"] == 0
    assert reconciles(after.counts())
    assert np.abs(after.scores() - before.scores()).max() > 1e-3

    other = opened(tmp_path / "two", decisions_per_customer=5)  # the same log, read in one go by a new learner
    for event in home.log.read():
        append(other, [event.body], after=event.recorded_at - clean(0)[0].made_at)
    loop = learner_of(other)
    loop.catch_up()
    loop.publish()
    other.live.refresh()
    policies = {name: each.policy for name in before.policies if (each := other.live.policy(name)) is not None}
    assert np.array_equal(Learned(other, loop, policies).scores(), after.scores())


# -- canaries ---------------------------------------------------------------------------------


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Installation]:
    """A home whose bandit may move no product's share by more than a fifth in a step."""
    path = tmp_path / "recipes.toml"
    path.write_text(
        '[[recipe]]\nname = "bandit"\nlearner = "linear"\n[recipe.exploration]\nkind = "epsilon_greedy"\n'
        "epsilon = 0.1\n[recipe.envelope]\nshare_change = 0.4\n"
    )
    home = opened(tmp_path / "home", recipes=path, publish_every_lessons=100, publish_every_minutes=1)
    yield home
    home.database.close()


def test_mrm_4_poisoned_rewards_freeze_the_recipe_until_a_person_lifts_it(
    strict: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    home = strict
    live(home, range(150))
    first = learned(home)
    served = pointers(home.settings.folder)["bandit"]
    assert first.loop.progress.held_back == {}

    start = int((home.log.recorded_at(home.log.last_position()) - clean(0)[0].made_at) / EVERY) + 1
    for number in range(start, start + 400):  # a drill: everybody is said to tap and open the loan, and nothing else
        drawn, _ = clean(number)
        append(home, [drawn, *reports(drawn, seed=number, liked="loan")], after=number * EVERY)
    close(home)
    loop = learner_of(home)
    loop.catch_up()
    assert loop.progress.held_back["bandit"] >= 1
    frozen = learning(home.database, ("bandit",)).frozen
    assert "share goes from" in frozen["bandit"][1]
    assert "failed its canary rounds" in caplog.text
    published_until_then = pointers(home.settings.folder)["bandit"]

    again = learner_of(home)  # a restart comes to the same
    again.catch_up()
    assert learning(home.database, ("bandit",)).frozen == frozen
    assert pointers(home.settings.folder)["bandit"] == published_until_then
    assert served in {path.name for path in (home.settings.artefacts / "policies" / "bandit").iterdir()}

    key, _ = frozen["bandit"]
    home.log.append([Entry(Release(key, "bandit", "a campaign, really", "ada"))])
    again.catch_up()
    assert learning(home.database, ("bandit",)).frozen == {}
    assert pointers(home.settings.folder)["bandit"] != published_until_then
    assert home.quarantine.one(key).state == "passed"


def test_an_envelope_travels_with_its_recipe() -> None:
    assert Recipe("bandit").digest == Recipe("bandit", envelope=Envelope()).digest
    assert Recipe("bandit").digest != Recipe("bandit", envelope=Envelope(share_change=0.1)).digest
    with pytest.raises(InvalidConfiguration, match="score_drift must be a number above 0"):
        Envelope(score_drift=float("nan"))


def test_a_learner_that_does_not_heed_the_context_does_not_start() -> None:
    for learner in ("linear", "vowpal"):
        assert checked_recipe(Recipe("personal", learner=learner)).name == "personal"
    for form in FORMS:  # whatever it is taught later, the self-test has one stage
        assert checked_recipe(Recipe("personal", learner="linear", reward=form)).reward == form
    assert not context_matters(Recipe("everybody", learner="popularity"))
    with pytest.raises(Misuse, match="does not heed the context"):
        checked_recipe(Recipe("deaf", learner="linear", options={"context": 1e-9}))
