"""Honest replay: unbiased on uniform logs, refused on others, learning where there is something to learn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from bandits.engine import Engine
from bandits.exploration import Exploration
from bandits.learner import Recipe
from bandits.replay import RECIPE, Replayed, progressive, replay_uniform
from recsys import datasets
from recsys.datasets import Labelled, LoggedBandit
from recsys.errors import InvalidConfiguration, InvalidTable
from tests.test_datasets import SHARED, needs_shared

SMALL = replace(RECIPE, learner="vowpal", options={"loss": "squared", "knots": 3, "bits": 14})
FAIR = Recipe("fair", learner="uniform")
FIXED = Recipe("fixed", learner="static", options={"order": "item-1"}, exploration=Exploration("greedy"))
RATES = np.array([[0.7, 0.1, 0.2], [0.1, 0.7, 0.2]])  # (kind of customer, item)


def logged(n: int = 3000, *, seed: int = 0) -> LoggedBandit:
    """Two kinds of customers who like different items, logged uniformly."""
    rng = np.random.default_rng(seed)
    kinds, rows = rng.integers(0, 2, n), rng.integers(0, 3, n)
    return LoggedBandit(
        name="made",
        behaviour="random",
        names=("kind=a", "kind=b"),
        contexts=np.eye(2)[kinds],
        products=("item-0", "item-1", "item-2"),
        rows=rows,
        rewards=(rng.random(n) < RATES[kinds, rows]).astype(float),
        propensities=np.full(n, 1 / 3),
    )


def labelled(n: int = 2000) -> Labelled:
    """Four labels, one for each corner of a square."""
    rng = np.random.default_rng(1)
    contexts = rng.normal(size=(n, 2))
    labels = (contexts[:, 0] > 0) * 2 + (contexts[:, 1] > 0)
    return Labelled("square", ("x", "y"), contexts, tuple(f"label-{i}" for i in range(4)), labels.astype(np.int64))


def last(results: Iterable[Replayed]) -> Replayed:
    *_, result = results
    return result


def test_a_learner_beats_the_uniform_log_where_context_matters() -> None:
    result = last(replay_uniform(logged(), SMALL))
    assert result.done
    assert result.learner is not None
    assert result.ips is not None
    assert result.learner.low > result.rival.high
    assert result.ips.low > result.rival.high
    assert result.rival.estimate == pytest.approx(1 / 3, abs=0.03)
    assert "better" in result.summary()
    assert f"{result.counted} rounds that counted of 3000" in result.summary()


def test_replaying_the_logging_policy_gives_its_own_mean() -> None:
    log = logged()
    result = last(replay_uniform(log, FAIR))
    assert result.learner is not None
    assert result.ips is not None
    assert result.ips.estimate == pytest.approx(log.rewards.mean())
    assert result.learner.low < log.rewards.mean() < result.learner.high
    assert result.counted == pytest.approx(1000, abs=100)
    assert "no difference shown" in result.summary()


def test_a_fixed_choice_is_worth_its_true_rate() -> None:
    covered = 0
    for seed in range(20):
        result = last(replay_uniform(logged(600, seed=seed), FIXED))
        assert result.learner is not None
        assert result.counted == int((logged(600, seed=seed).rows == 1).sum())
        covered += result.learner.low <= RATES[:, 1].mean() <= result.learner.high
    assert covered >= 17


def test_only_rows_that_counted_teach() -> None:
    log = logged(600)
    honest = list(replay_uniform(log, SMALL, every=1))
    counted = np.diff([0, *(result.counted for result in honest)]) == 1
    lying = replace(log, rewards=np.where(counted, log.rewards, 1.0 - log.rewards))
    again = last(replay_uniform(lying, SMALL))
    assert again.learner == honest[-1].learner
    assert again.counted == counted.sum()


def test_a_log_that_was_not_uniform_is_refused_with_advice() -> None:
    skewed = replace(logged(50), propensities=np.full(50, 0.5), behaviour="bts")
    with pytest.raises(InvalidTable, match=r"bts did not draw uniformly.*random policy"):
        next(replay_uniform(skewed, FAIR))


def test_nothing_that_counted_is_said_so() -> None:
    log = logged(20)
    result = last(replay_uniform(replace(log, rows=np.full(20, 2)), FIXED))
    assert result.learner is None
    assert "no round counted in 20 rows" in result.summary()
    assert "learner" not in result.metrics


def test_progressive_reward_rises_as_it_learns() -> None:
    results = list(progressive(labelled(), SMALL, every=500))
    assert [result.rows for result in results] == [500, 1000, 1500, 2000]
    early, late = results[0].learner, results[-1].learner
    assert early is not None
    assert late is not None
    assert late.estimate > early.estimate
    assert late.low > 0.6
    assert results[-1].rival.estimate == 0.25
    assert results[-1].metrics["counted"] == 2000.0


def test_the_same_seed_gives_the_same_replay_and_another_does_not() -> None:
    first, second = last(progressive(labelled(400), SMALL, seed=3)), last(progressive(labelled(400), SMALL, seed=3))
    assert first == second
    assert last(progressive(labelled(400), SMALL, seed=4)) != first
    assert last(replay_uniform(logged(300), SMALL)) == last(replay_uniform(logged(300), SMALL))


@pytest.mark.shared_data
@needs_shared
@pytest.mark.parametrize(
    "arguments", ["--epsilon 0.1", "--squarecb --cb_type mtr", "--cover 3 --cb_type dr", "--bag 3"]
)
def test_the_engines_own_explorers_are_reachable(arguments: str) -> None:
    result = last(progressive(labelled(), Engine(arguments), seed=2))
    assert result.learner is not None
    assert result.learner.low > result.rival.high
    assert result.recipe == f"vw {arguments}"
    again = last(progressive(labelled(), Engine(arguments), seed=2))
    assert again == result


def test_the_engine_replays_a_uniform_log_too() -> None:
    result = last(replay_uniform(logged(), Engine("--squarecb"), seed=0))
    assert result.learner is not None
    assert result.ips is not None
    assert result.learner.low > result.rival.high
    assert result.ips.low > result.rival.high


def test_arguments_that_the_engine_refuses_are_told() -> None:
    with pytest.raises(InvalidConfiguration, match="VW refuses '--nonsense': unrecognised option"):
        Engine("--nonsense")


@pytest.mark.shared_data
@needs_shared
def test_real_pen_strokes_are_learned_in_one_pass() -> None:
    digits = datasets.classification(SHARED / "bandit_pendigits.parquet")
    few = replace(digits, contexts=digits.contexts[:4000], labels=digits.labels[:4000])
    result = last(progressive(few))
    assert result.learner is not None
    assert result.learner.low > 0.7  # 0.1 by chance


@pytest.mark.shared_data
@needs_shared
def test_real_clicks_count_only_where_they_match() -> None:
    log = datasets.open_bandit(SHARED / "obd_small.parquet", campaign="men")
    result = last(replay_uniform(log, RECIPE, every=5000))
    assert result.learner is not None
    assert result.counted == pytest.approx(10_000 / 34, abs=60)
    assert result.ips is not None
    assert result.ips.low < result.rival.estimate < result.ips.high  # 46 clicks cannot tell them apart
