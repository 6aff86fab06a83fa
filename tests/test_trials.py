"""Recipes live in synthetic banks by the dice: the same trial is the same life, and draws are as declared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bandits.exploration import Exploration
from bandits.recipe import Recipe
from bandits.trial_verdicts import judged
from bandits.trials import Life, Trial, rule_of
from recsys.errors import InvalidConfiguration
from recsys.rewards import FORMS, load, parse
from recsys.tracking import MemoryTracker
from serving.cli import cli


def trial(**more: object) -> Trial:
    recipe = Recipe("linear", "linear", exploration=Exploration(epsilon=0.02), reward="attributed")
    return Trial(**({"recipe": recipe, "rewards": load(), "customers": 200, "days": 14} | more))  # type: ignore[arg-type]


def test_the_same_trial_is_the_same_life() -> None:
    first, second = Life(trial()), Life(trial())
    assert [day.earned for day in first.days()] == [day.earned for day in second.days()]
    assert first.learner.state() == second.learner.state()
    verdict = judged(first, since=7)
    assert verdict.oracle > verdict.fixed > 0.0
    assert verdict.oracle > verdict.learnable


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_reward_learns(form: str) -> None:
    rewards = parse(_quick(), where="quick")
    recipe = Recipe("linear", "linear", exploration=Exploration(epsilon=0.1), reward=form)
    life = Life(trial(recipe=recipe, rewards=rewards, customers=100, days=8, slice_share=0.2))
    days = list(life.days())
    assert days[-1].lessons > 30
    assert all(day.oracle >= day.earned for day in days)


def _quick() -> str:
    text = Path(str(Path(__file__).parents[1] / "recsys" / "default_rewards.toml")).read_text(encoding="utf-8")
    return (
        text.replace('"10d"', '"3d"')
        .replace('"30d"', '"4d"')
        .replace('worth  = "value"', 'worth = "value"\nhorizon = "20d"')
    )


@pytest.mark.parametrize("exploration", [Exploration(epsilon=0.1), Exploration("greedy"), Exploration("uniform"),
                                         Exploration("softmax"), Exploration("squarecb")])  # fmt: skip
def test_many_visits_are_drawn_for_as_one_would_be(exploration: Exploration) -> None:
    rng = np.random.default_rng(0)
    scores, open_ = rng.integers(0, 3, (40, 6)).astype(float), rng.random((40, 6)) < 0.7
    open_[0] = False
    together = rule_of(exploration, lessons=50)(scores, open_)
    assert not together[0].any()
    for row in np.flatnonzero(open_.any(axis=1)).tolist():
        alone = exploration.pmf(scores[row], open_=open_[row], lessons=50)
        assert np.allclose(together[row], alone, atol=1e-12)


def test_a_trial_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="2 days"):
        trial(days=1)
    with pytest.raises(InvalidConfiguration, match="share"):
        trial(slice_share=2.0)
    with pytest.raises(InvalidConfiguration, match="first_log"):
        trial(first_log=8)


def test_a_recipe_may_start_from_a_log_of_even_slates() -> None:
    """Until the log ends nothing hangs on the scores, and then everything does."""
    greedy = Recipe("linear", "linear", exploration=Exploration("greedy"))
    first, other = (
        list(Life(trial(recipe=recipe, first_log=7)).days())
        for recipe in (greedy, replace(greedy, options={"level": 0.3}))
    )
    assert [day.earned for day in first[:7]] == [day.earned for day in other[:7]]
    assert [day.earned for day in first[7:]] != [day.earned for day in other[7:]]


def test_a_new_product_gets_its_quota_of_a_trials_slots() -> None:
    """Of 21 products all are new: a quota of .9 makes even slates of greedy ones, but for the last tenth."""
    quota = Exploration("greedy", quota=0.9, new_until=1e6)
    days = list(Life(trial(recipe=Recipe("linear", "linear", exploration=quota))).days())
    assert 0.6 < np.mean([day.explored for day in days[5:]]) < 0.95


def test_simulate_tells_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    tracker = MemoryTracker()  # MLflow itself is tried in test_tracking
    monkeypatch.setattr("serving.commands.simulate.tracker_of", lambda _: tracker)
    arguments = ["simulate", "--world", "types", "--reward", "tapped", "--customers", "60", "--days", "14"]
    done = CliRunner().invoke(cli, [*arguments, "--to", str(tmp_path / "out"), "--json"], catch_exceptions=False)
    told = json.loads(done.stdout)
    assert [(row["world"], row["policy"]) for row in told["summary"]] == [("types", "linear, epsilon_greedy, tapped")]
    assert tracker.runs[0].curves["regret/types/linear/epsilon_greedy/tapped"]
    assert all(Path(file).stat().st_size > 1_000 for file in told["files"])
