"""What is forgotten, and how surely: a learner that forgets follows a change, and one that does not stays behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from bandits.beliefs import Belief
from bandits.chained import ChainedPolicy
from bandits.forgetting import Forgetting
from bandits.learner import Learner, Recipe, make_learner
from bandits.linear import LinearLearner
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Lesson
from tests.bandit_worlds import REWARDS, lessons, moment, products


def _days(n: int, *, per_day: int, happened: bool, since: int = 0) -> list[Lesson]:
    """Lessons of taps that always or never came, some each day."""
    told = [replace(each, stage="tapped", happened=happened) for each in lessons(n)]
    return [
        replace(each, ripe_at=each.ripe_at + timedelta(days=since + number // per_day))
        for number, each in enumerate(told)
    ]


@pytest.mark.parametrize("engine", ["linear", "vowpal", "popularity"])
@pytest.mark.parametrize("per", ["day", "lesson"])
def test_who_forgets_follows_a_change(engine: str, per: str) -> None:
    keep, fell = 0.7 if per == "day" else 0.99, []
    for options in ({}, {"keep": keep, "keep_per": per}):
        learner = make_learner(Recipe("bandit", learner=engine, options=options), REWARDS)
        learner.learn(_days(200, per_day=10, happened=True))
        before = _rate(learner)
        learner.learn(_days(40, per_day=4, happened=False, since=20))
        fell.append(before - _rate(learner))
    assert fell[1] > fell[0]


def _rate(learner: Learner) -> float:
    policy = learner.snapshot(1)
    if isinstance(policy, ChainedPolicy):
        return float(policy.probabilities(moment(), products())[0, 0])
    return float(policy.scores(moment(), products())[0])


def test_a_level_that_may_drift_follows_a_change_and_what_context_does_is_remembered() -> None:
    """200 days of taps, then 2 without: the level falls further, while the context's own weights stay as sure."""
    left, deviations = [], []
    for drift in (0.0, 0.3):
        learner = make_learner(Recipe("bandit", learner="linear", options={"drift": drift}), REWARDS)
        learner.learn(_days(2_000, per_day=10, happened=True))
        learner.learn(_days(20, per_day=10, happened=False, since=200))
        left.append(_rate(learner))
        assert isinstance(learner, LinearLearner)
        deviations.append(np.sqrt(np.diagonal(learner._own.covariances[0, 1])))
    assert 1.0 - left[1] > 2.0 * (1.0 - left[0])
    assert deviations[1][0] > 1.5 * deviations[0][0]
    np.testing.assert_allclose(deviations[1][3:], deviations[0][3:], rtol=0.1)


def test_a_level_never_drifts_beyond_the_prior_and_a_stage_that_follows_another_not_at_all() -> None:
    learner = make_learner(Recipe("bandit", learner="linear", options={"drift": 1.0}), REWARDS)
    assert isinstance(learner, LinearLearner)
    learner.learn(_days(10, per_day=10, happened=True))
    learner.learn(_days(1, per_day=10, happened=False, since=5_000))
    for row, stage in enumerate(learner._stages):
        assert (learner._own.covariances[row, :, 0, 0] <= stage.prior.level**2).all()
    follows = [row for row, parent in enumerate(learner.chain.parents) if parent >= 0]
    assert follows
    assert (learner._own.covariances[follows, :, 0, 0] == learner._stages[follows[0]].prior.level ** 2).all()


@pytest.mark.parametrize("engine", ["linear", "vowpal", "popularity"])
def test_a_lesson_without_a_decision_may_name_its_day(engine: str) -> None:
    lessons_ = _days(60, per_day=10, happened=True)
    told, joined = (make_learner(Recipe("bandit", learner=engine, options={"keep": 0.7}), REWARDS) for _ in range(2))
    joined.learn(lessons_)
    for each in lessons_:
        context, candidate = each.decision.context, each.decision.candidates[each.row]
        told.teach(context, candidate, stage="tapped", label=1.0, day=each.ripe_at.toordinal())
    assert _rate(told) == _rate(joined)


def test_an_old_belief_is_as_unsure_as_its_prior_and_as_right_as_it_was() -> None:
    belief = Belief.of(np.array([0.4, -1.0]), np.array([[0.2, 0.05], [0.05, 0.1]]))
    mean = belief.mean.copy()
    belief.forget(1e-9, deviations=np.array([2.0, 0.3]))
    np.testing.assert_allclose(belief.covariance, np.diag([4.0, 0.09]), rtol=1e-5, atol=1e-7)
    assert np.array_equal(belief.mean, mean)


def test_an_earlier_day_after_a_later_one_forgets_nothing() -> None:
    recipe = Recipe("bandit", learner="popularity", options={"keep": 0.5})
    twice, once = make_learner(recipe, REWARDS), make_learner(recipe, REWARDS)
    twice.learn([*_days(3, per_day=3, happened=True, since=5), *_days(3, per_day=3, happened=True)])
    once.learn(_days(3, per_day=3, happened=True, since=5) * 2)
    assert twice.state() == once.state()


def test_a_drift_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"drift must be in \[0, 1\]"):
        make_learner(Recipe("bandit", learner="linear", options={"drift": 1.5}), REWARDS)


@pytest.mark.parametrize("options", [{"keep": 0.0}, {"keep": 1.1}, {"keep": "much"}, {"keep_per": "week"}], ids=str)
@pytest.mark.parametrize("engine", ["linear", "vowpal", "popularity"])
def test_nonsense_is_refused(engine: str, options: dict[str, float | str]) -> None:
    with pytest.raises(InvalidConfiguration):
        make_learner(Recipe("bandit", learner=engine, options=options), REWARDS)
    assert Forgetting.of({}) == Forgetting()
