"""Snapshots come and go for ever: what is swapped out is let go (the benchmark `choosing` swaps 10,000)."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from bandits.learner import Recipe, load_policy, make_learner
from tests.bandit_worlds import REWARDS, lessons, moment, products


@pytest.mark.parametrize("engine", ["linear", "vowpal"])
def test_swapping_200_snapshots_leaves_no_memory_behind(engine: str) -> None:
    recipe = Recipe("bandit", learner=engine, options={"bits": 12} if engine == "vowpal" else {})
    learner = make_learner(recipe, REWARDS)
    learner.learn(lessons(30))
    state, contexts, candidates = learner.state(), [moment(i) for i in range(5)], products()
    tracemalloc.start()
    try:
        held = []
        for number in range(220):
            policy = load_policy(recipe, state, number)
            for context in contexts:
                policy.scores(context, candidates)
            if number in (19, 219):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 50_000  # 200 snapshots would be megabytes
