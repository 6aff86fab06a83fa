"""The laws of `bandits/recipe.py`'s Learner, put to every learner there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import numpy as np
import pytest

from bandits.learner import Learner, from_state, load_policy, make_learner
from bandits.recipe import Recipe
from recsys.errors import Corrupt, Misuse
from recsys.vocabulary import Context
from tests.bandit_worlds import RECIPES, REWARDS, lessons, moment, products

Law: TypeAlias = Callable[[Recipe], None]


def _taught(recipe: Recipe, n: int = 60) -> Learner:
    learner = make_learner(recipe, REWARDS)
    learner.learn(lessons(n))
    return learner


def counts_what_it_was_taught(recipe: Recipe) -> None:
    learner = make_learner(recipe, REWARDS)
    assert learner.learn(lessons(12)) == 12
    assert learner.learn([]) == 0
    assert learner.taught == 12
    assert learner.kind == recipe.learner


def a_snapshot_does_not_change_when_its_learner_goes_on(recipe: Recipe) -> None:
    learner = _taught(recipe)
    snapshot = learner.snapshot(5)
    before = snapshot.scores(moment(), products())
    learner.learn(lessons(60, seed=1))
    assert np.array_equal(snapshot.scores(moment(), products()), before)
    assert snapshot.name == f"{recipe.name}@5"


def predicting_does_not_change_the_learner(recipe: Recipe) -> None:
    learner = _taught(recipe)
    before = learner.state()
    for policy in (learner.snapshot(1), learner.live()):
        policy.scores(moment(3), products())
    assert learner.state() == before


def the_live_policy_is_the_snapshot(recipe: Recipe) -> None:
    learner = _taught(recipe)
    live, cut = learner.live(), learner.snapshot(1)
    told = cut.scores(moment(), products())  # a snapshot may sum in another order
    np.testing.assert_allclose(live.scores(moment(), products()), told, rtol=1e-9, atol=1e-15)


def resumes_exactly_at_any_point(recipe: Recipe) -> None:
    all_lessons = lessons(120)
    undisturbed = make_learner(recipe, REWARDS)
    undisturbed.learn(all_lessons)
    for k in np.random.default_rng(2).integers(0, 120, 20).tolist():
        first = make_learner(recipe, REWARDS)
        first.learn(all_lessons[:k])
        resumed = from_state(recipe, first.state())
        assert resumed.taught == k
        resumed.learn(all_lessons[k:])
        assert resumed.state() == undisturbed.state()


def batches_do_not_matter(recipe: Recipe) -> None:
    one_by_one = make_learner(recipe, REWARDS)
    for one in lessons(40):
        one_by_one.learn([one])
    assert one_by_one.state() == _taught(recipe, 40).state()


def a_stored_policy_is_the_snapshot(recipe: Recipe) -> None:
    learner = _taught(recipe)
    stored, cut = load_policy(recipe, learner.state(), 9), learner.snapshot(9)
    scores = cut.scores(moment(), products())
    assert stored.name == cut.name
    assert np.array_equal(stored.scores(moment(), products()), scores)
    open_ = np.ones(scores.size, dtype=np.bool_)
    assert np.array_equal(stored.pmf(scores, open_=open_), cut.pmf(scores, open_=open_))


def one_poisoned_lesson_teaches_nothing_of_its_batch(recipe: Recipe) -> None:
    learner = _taught(recipe)
    before = learner.state()
    good = lessons(3, seed=4)
    slot, decision = good[2].slot, good[2].decision
    values = decision.context.values
    poison = [
        replace(good[2], slot=replace(slot, propensity=0.0)),
        replace(good[2], slot=replace(slot, propensity=1.7)),
        replace(good[2], slot=replace(slot, propensity=slot.propensity / 2)),
        replace(good[2], slot=replace(slot, product_id="pension")),
        replace(good[2], row=99),
        replace(good[2], stage="funded"),
        *(
            replace(good[2], decision=replace(decision, context=Context(decision.context.names, (bad, *values[1:]))))
            for bad in (float("inf"), float("nan"), 1e9)
        ),
        replace(good[2], decision=replace(decision, context=Context(decision.context.names, values[1:]))),
    ]
    for bad in poison:
        with pytest.raises(Misuse):
            learner.learn([*good[:2], bad])
    assert learner.state() == before
    for label in (float("nan"), -1.0, 9.0):
        with pytest.raises(Misuse):
            learner.teach(moment(), products()[0], stage="tapped", label=label)
    for weight in (float("nan"), -1.0, 101.0):
        with pytest.raises(Misuse):
            learner.teach(moment(), products()[0], stage="tapped", label=1.0, weight=weight)
        with pytest.raises(Misuse):
            learner.learn([*good[:2], replace(good[2], weight=weight)])
    assert learner.state() == before


def a_heavier_lesson_moves_more_and_one_without_weight_nothing(recipe: Recipe) -> None:
    moved = []
    for weight in (0.0, 0.5, 1.0, 4.0):
        learner = _taught(recipe)
        before = learner.snapshot(1).scores(moment(), products())
        learner.teach(moment(), products()[0], stage="tapped", label=1.0, weight=weight)
        assert learner.taught == 61
        moved.append(float(learner.snapshot(1).scores(moment(), products())[0] - before[0]))
    if recipe.exploration.bonus or recipe.options.get("keep_per") == "lesson" or "replays" in recipe.options:
        return  # being surer, forgetting and rehearsing move a score too
    assert moved[0] == 0.0
    assert moved == sorted(moved)
    still = recipe.learner in ("uniform", "static")
    assert still or moved[1] < moved[2] < moved[3]


def what_is_kept_of_yesterday_is_kept_once(recipe: Recipe) -> None:
    one_by_one, at_once = make_learner(recipe, REWARDS), make_learner(recipe, REWARDS)
    later = [
        replace(each, ripe_at=each.ripe_at + timedelta(days=number // 20)) for number, each in enumerate(lessons(60))
    ]
    at_once.learn(later)
    for each in later:
        one_by_one = from_state(recipe, one_by_one.state())
        one_by_one.learn([each])
    assert one_by_one.state() == at_once.state()


def foreign_bytes_are_refused(recipe: Recipe) -> None:
    state = _taught(recipe).state()
    for bad in (b"", b"no state", state[:-1], state + b"x"):
        with pytest.raises(Corrupt):
            load_policy(recipe, bad, 1)


LAWS: list[Law] = [
    counts_what_it_was_taught,
    a_snapshot_does_not_change_when_its_learner_goes_on,
    predicting_does_not_change_the_learner,
    the_live_policy_is_the_snapshot,
    resumes_exactly_at_any_point,
    batches_do_not_matter,
    a_stored_policy_is_the_snapshot,
    one_poisoned_lesson_teaches_nothing_of_its_batch,
    a_heavier_lesson_moves_more_and_one_without_weight_nothing,
    what_is_kept_of_yesterday_is_kept_once,
    foreign_bytes_are_refused,
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_of_learners(recipe: Recipe, law: Law) -> None:
    law(recipe)
