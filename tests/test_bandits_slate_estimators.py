"""Slate estimators on worlds small enough to enumerate: every slate, its chance and its worth are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bandits import estimators, slate_estimators
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

SHAPE = (4, 2)  # products, slots


def _chances(preference: Floats, slate: tuple[int, ...]) -> Floats:
    """(L,) conditional chances of a slate drawn without replacement in proportion to `preference` (Plackett-Luce)."""
    left, found = preference.copy(), []
    for product in slate:
        found.append(left[product] / left.sum())
        left[product] = 0.0
    return np.array(found)


def _marginals(preference: Floats) -> Floats:
    """(A, L) chance of each product at each place."""
    found = np.zeros(SHAPE)
    for slate in itertools.permutations(range(SHAPE[0]), SHAPE[1]):
        for place, product in enumerate(slate):
            found[product, place] += _chances(preference, slate).prod()
    return found


class World:
    """Every slate once, weighted by the logger's chance of it: expectations without noise."""

    def __init__(self, *, interaction: float) -> None:
        rng = np.random.default_rng(3)
        logger, target = rng.uniform(0.5, 1.5, SHAPE[0]), rng.uniform(0.2, 2.0, SHAPE[0])
        worth = rng.uniform(size=SHAPE)
        self.slates = list(itertools.permutations(range(SHAPE[0]), SHAPE[1]))
        self.propensity = np.array([_chances(logger, slate) for slate in self.slates])
        self.target = np.array([_chances(target, slate) for slate in self.slates])
        self.propensity_at, self.target_at = (
            np.array([[table[p, k] for k, p in enumerate(slate)] for slate in self.slates])
            for table in (_marginals(logger), _marginals(target))
        )
        self.reward = np.array([[worth[p, k] for k, p in enumerate(slate)] for slate in self.slates])
        self.reward[:, 1] += interaction * np.array([slate[0] for slate in self.slates])  # on what stood above
        self.chance = self.propensity.prod(axis=1)
        self.value = float(self.target.prod(axis=1) @ self.reward.sum(axis=1))
        self.weighing = {"reward": self.reward, "propensity": self.propensity, "target": self.target}

    def expected(self, contributions: Floats) -> float:
        return float(self.chance @ contributions)


def test_sips_and_rips_are_unbiased_whatever_stands_above() -> None:
    world = World(interaction=0.3)
    assert world.expected(slate_estimators.sips(**world.weighing)) == pytest.approx(world.value)
    assert world.expected(slate_estimators.rips(**world.weighing)) == pytest.approx(world.value)


def test_iips_is_unbiased_where_slots_do_not_touch_and_biased_where_they_do() -> None:
    for interaction, unbiased in ((0.0, True), (0.3, False)):
        world = World(interaction=interaction)
        told = slate_estimators.iips(reward=world.reward, propensity_at=world.propensity_at, target_at=world.target_at)
        assert (world.expected(told) == pytest.approx(world.value)) is unbiased


def test_cascade_dr_is_unbiased_under_any_model_and_without_one_it_is_rips() -> None:
    world = World(interaction=0.3)
    none = np.zeros_like(world.reward)
    told = slate_estimators.cascade_dr(**world.weighing, q_logged=none, q_target=none)
    np.testing.assert_array_equal(told, slate_estimators.rips(**world.weighing))
    model = np.random.default_rng(5).normal(
        size=(SHAPE[0] + 1, SHAPE[0])
    )  # Q by the product above (last: none) and one's own
    above = [[SHAPE[0], slate[0]] for slate in world.slates]
    q_logged = np.array(
        [[model[a, p] for a, p in zip(up, slate, strict=True)] for up, slate in zip(above, world.slates, strict=True)]
    )
    q_target = np.zeros_like(q_logged)
    for i, slate in enumerate(world.slates):
        for place in range(SHAPE[1]):
            same = [j for j, other in enumerate(world.slates) if other[:place] == slate[:place]]
            firsts = {world.slates[j][place]: world.target[j, place] for j in same}
            q_target[i, place] = sum(chance * model[above[i][place], product] for product, chance in firsts.items())
    told = slate_estimators.cascade_dr(**world.weighing, q_logged=q_logged, q_target=q_target)
    assert world.expected(told) == pytest.approx(world.value)


def test_with_one_slot_all_are_ips() -> None:
    rng = np.random.default_rng(1)
    reward, propensity, target = rng.normal(size=50), rng.uniform(0.1, 1.0, 50), rng.uniform(size=50)
    plain = estimators.ips(reward=reward, propensity=propensity, target=target)
    columns = {"reward": reward[:, None], "propensity": propensity[:, None], "target": target[:, None]}
    np.testing.assert_allclose(slate_estimators.sips(**columns), plain)
    np.testing.assert_allclose(slate_estimators.rips(**columns), plain)
    told = slate_estimators.iips(reward=reward[:, None], propensity_at=propensity[:, None], target_at=target[:, None])
    np.testing.assert_allclose(told, plain)


def test_the_policy_that_logged_is_worth_what_it_earned() -> None:
    world = World(interaction=0.3)
    own = {"reward": world.reward, "propensity": world.propensity, "target": world.propensity}
    np.testing.assert_allclose(slate_estimators.sips(**own), world.reward.sum(axis=1))
    np.testing.assert_allclose(slate_estimators.rips(**own), world.reward.sum(axis=1))


def test_wrong_slates_are_refused_with_their_rows() -> None:
    good = {"reward": np.zeros((2, 2)), "propensity": np.full((2, 2), 0.5), "target": np.full((2, 2), 0.5)}
    with pytest.raises(InvalidTable, match=r"rows? 2"):
        slate_estimators.sips(**(good | {"propensity": np.array([[0.5, 0.5], [0.5, 0.0]])}))
    with pytest.raises(InvalidTable, match="two-dimensional"):
        slate_estimators.rips(**(good | {"reward": np.zeros(2)}))
