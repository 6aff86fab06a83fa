"""The shop: its truths are true, its logs are honest, and what learns there loses less and less."""

from __future__ import annotations

import numpy as np
import pytest

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.evaluation import ESTIMATORS, Panel, chosen
from bandits.exploration import Exploration
from bandits.recipe import Recipe
from bandits.simulation import Shop, explore, logged
from recsys.errors import Misuse

SHOP = Shop.of(seed=3)


def test_what_a_policy_is_worth_is_known_and_a_log_agrees() -> None:
    fixed, fair = StaticPolicy(("product-2",), name="fixed@1"), UniformPolicy()
    chances = SHOP.chances(SHOP.customers)
    assert SHOP.value(fair) == pytest.approx(chances.mean())
    assert SHOP.value(fixed) == pytest.approx(chances[:, 1].mean())
    assert SHOP.best > max(SHOP.value(fixed), SHOP.value(fair))
    visits = logged(SHOP, fair, rounds=20_000, seed=4)
    panel = Panel("fixed@1", chosen(ESTIMATORS, names=("ips", "snips", "dr", "sndr")), level=0.999)
    panel.add(visits.under(fixed, model=chances))
    for verdict in panel.verdicts():
        assert verdict.interval.low < SHOP.value(fixed) < verdict.interval.high


def test_who_learns_loses_less_and_the_same_seed_gives_the_same() -> None:
    bandit = Recipe("bandit", learner="linear", exploration=Exploration("epsilon_greedy", epsilon=0.05))
    steps = list(explore(SHOP, bandit, rounds=1_500, seed=5, every=500))
    assert [step.rounds for step in steps] == [500, 1_000, 1_500]
    assert steps == list(explore(SHOP, bandit, rounds=1_500, seed=5, every=500))
    first, last = steps[0].regret, steps[-1].regret - steps[-2].regret
    assert last < 0.8 * first
    [fair] = explore(SHOP, Recipe("fair", learner="uniform"), rounds=1_500, seed=5, every=1_500)
    assert steps[-1].regret < 0.7 * fair.regret
    assert np.isclose(fair.regret / 1_500, SHOP.best - SHOP.value(UniformPolicy()), rtol=0.1)


def test_an_impossible_shop_is_refused() -> None:
    with pytest.raises(Misuse, match="two products"):
        Shop.of(seed=1, products=1)
