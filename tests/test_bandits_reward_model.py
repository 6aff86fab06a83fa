"""A reward model that helps where it can, and never sees what it predicts."""

from __future__ import annotations

import numpy as np
import pytest

from bandits import estimators, intervals
from bandits.reward_model import RewardModel, Shape, Shown
from recsys.errors import Misuse
from recsys.vocabulary import Floats

PRODUCTS = ("pot", "isa", "loan")
SHAPE = Shape(PRODUCTS, places=2, features=4)


def world(seed: int, *, n: int = 6_000) -> tuple[Shown, Floats, Floats, Floats]:
    """Slots with a reward that hangs on context, product and place: (shown, product, reward, truth (n, 3))."""
    rng = np.random.default_rng(seed)
    shown = Shown(
        x=rng.normal(size=(n, 4)),
        place=rng.integers(0, 2, n).astype(float),
        unit=rng.integers(0, 900, n).astype(np.uint64),
        block=np.sort(rng.integers(0, SHAPE.blocks, n)).astype(float),
    )
    weights = np.array([[0.5, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, -0.5]])
    truth = (0.3 * shown.x[:, :1] + shown.x @ weights.T + np.array([0.2, 0.0, 0.4])) - 0.5 * shown.place[:, None]
    product = rng.integers(0, 3, n).astype(float)
    reward = truth[np.arange(n), product.astype(int)] + 0.3 * rng.normal(size=n)
    return shown, product, reward, truth


def fitted(seed: int) -> tuple[RewardModel, Shown, Floats, Floats, Floats]:
    shown, product, reward, truth = world(seed)
    model = RewardModel(SHAPE)
    model.learn(shown, product=product, reward=reward)
    return model, shown, product, reward, truth


def test_it_learns_what_hangs_on_context_product_and_place() -> None:
    model, shown, _, _, truth = fitted(1)
    late = shown.block == SHAPE.blocks - 1
    error = (model.expected(shown) - truth)[late]
    assert error.std() < 0.1 * truth[late].std()
    assert not model.expected(shown)[shown.block == 0].any()  # nothing was known before the first block


def test_a_round_never_meets_its_own_reward_nor_its_units_nor_the_future() -> None:
    model, shown, product, reward, _ = fitted(2)
    before = model.expected(shown)
    mine = model.fold_of(shown.unit) == 1
    poisoned = RewardModel(SHAPE)
    poisoned.learn(shown, product=product, reward=np.where(mine | (shown.block >= 2), 1e6, reward))
    same = mine & (shown.block <= 2)  # fold 1 learns from folds 0 and 2, block 2 from blocks 0 and 1
    np.testing.assert_array_equal(poisoned.expected(shown)[same], before[same])


def test_batches_give_what_one_batch_gives() -> None:
    model, shown, product, reward, _ = fitted(3)
    apart = RewardModel(SHAPE)
    for start in range(0, 6_000, 777):
        rows = slice(start, start + 777)
        part = Shown(shown.x[rows], shown.place[rows], shown.unit[rows], shown.block[rows])
        apart.learn(part, product=product[rows], reward=reward[rows])
    np.testing.assert_allclose(apart.expected(shown), model.expected(shown), rtol=1e-9, atol=1e-9)


def test_it_narrows_a_doubly_robust_interval_and_leaves_it_right() -> None:
    model, shown, product, reward, truth = fitted(4)
    rows = np.arange(len(reward))
    target = np.full((len(reward), 3), 0.1)
    target[:, 2] = 0.8
    q = model.expected(shown)
    columns = {"reward": reward, "propensity": np.full(len(reward), 1 / 3), "target": target[rows, product.astype(int)]}
    plain = intervals.normal(estimators.ips(**columns), unit=shown.unit)
    q_logged, q_target = q[rows, product.astype(int)], (target * q).sum(axis=1)
    robust = intervals.normal(estimators.dr(**columns, q_logged=q_logged, q_target=q_target), unit=shown.unit)
    value = float((target * truth).sum(axis=1).mean())
    assert robust.high - robust.low < 0.85 * (plain.high - plain.low)
    assert robust.low < value < robust.high


def test_what_lies_outside_its_shape_is_refused() -> None:
    model, shown, _, _, _ = fitted(5)
    beyond = Shown(shown.x, shown.place, shown.unit, shown.block + SHAPE.blocks)
    with pytest.raises(Misuse, match="no fold"):
        model.expected(beyond)
