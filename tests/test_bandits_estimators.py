"""Invariants of the estimators (statistics.md 5) and of their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits import estimators, intervals
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

World = dict[str, Floats]


def _log(seed: int, n: int = 200) -> World:
    rng = np.random.default_rng(seed)
    return {
        "reward": rng.normal(size=n),
        "propensity": rng.uniform(0.05, 1.0, n),
        "target": rng.uniform(0.0, 1.0, n),
        "q_logged": rng.normal(size=n),
        "q_target": rng.normal(size=n),
    }


def _all_four(log: World) -> dict[str, Floats]:
    weighing = {name: log[name] for name in ("reward", "propensity", "target")}
    return {
        "ips": estimators.ips(**weighing),
        "snips": estimators.snips(**weighing),
        "dm": estimators.dm(q_target=log["q_target"]),
        "dr": estimators.dr(**log),
    }


SEEDS = given(seed=st.integers(0, 10_000))
FEW = settings(max_examples=40, deadline=None, derandomize=True)


@FEW
@SEEDS
def test_the_policy_that_logged_is_worth_what_it_earned(seed: int) -> None:
    log = _log(seed)
    log["target"] = log["propensity"]
    estimates = _all_four(log)
    assert estimates["ips"].mean() == pytest.approx(log["reward"].mean())
    assert estimates["snips"].mean() == pytest.approx(log["reward"].mean())
    log["q_target"] = log["q_logged"]
    assert _all_four(log)["dr"].mean() == pytest.approx(log["reward"].mean())


@FEW
@SEEDS
def test_snips_moves_with_the_rewards_and_stays_inside_them(seed: int) -> None:
    log = _log(seed)
    value = _all_four(log)["snips"].mean()
    assert log["reward"].min() <= value <= log["reward"].max()
    moved = _all_four(log | {"reward": log["reward"] + 3.0})["snips"]
    assert moved.mean() == pytest.approx(value + 3.0)
    assert moved.std() == pytest.approx(_all_four(log)["snips"].std())


@FEW
@SEEDS
def test_dr_is_ips_without_a_model_and_dm_with_a_perfect_one(seed: int) -> None:
    log = _log(seed)
    nothing = np.zeros(200)
    np.testing.assert_allclose(_all_four(log | {"q_logged": nothing, "q_target": nothing})["dr"], _all_four(log)["ips"])
    np.testing.assert_allclose(_all_four(log | {"q_logged": log["reward"]})["dr"], log["q_target"])


@FEW
@SEEDS
def test_order_copies_and_scale_change_what_they_should(seed: int) -> None:
    log = _log(seed)
    order = np.random.default_rng(seed).permutation(200)
    plain = _all_four(log)
    permuted = _all_four({name: column[order] for name, column in log.items()})
    doubled = _all_four({name: np.tile(column, 2) for name, column in log.items()})
    for name, contributions in plain.items():
        assert contributions.shape == (200,)
        np.testing.assert_allclose(permuted[name], contributions[order], rtol=1e-9, atol=1e-12)
        once, twice = intervals.normal(contributions), intervals.normal(doubled[name])
        assert twice.estimate == pytest.approx(once.estimate)
        ratio = ((twice.high - twice.low) / (once.high - once.low)) ** 2
        assert ratio == pytest.approx(0.5, rel=0.01)
    scaled = _all_four(log | {name: log[name] * 4 for name in ("reward", "q_logged", "q_target")})
    for name in plain:
        np.testing.assert_allclose(scaled[name], plain[name] * 4, rtol=1e-9, atol=1e-12)


@FEW
@SEEDS
def test_ips_and_dr_are_unbiased_by_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logging, target = rng.dirichlet(np.ones(4)) * 0.9 + 0.025, rng.dirichlet(np.ones(4))
    worth, model = rng.normal(size=4), rng.normal(size=4)
    columns = {"reward": worth, "propensity": logging, "target": target}
    expected = (target * worth).sum()
    assert (logging * estimators.ips(**columns)).sum() == pytest.approx(expected)
    doubly = estimators.dr(**columns, q_logged=model, q_target=np.full(4, (target * model).sum()))
    assert (logging * doubly).sum() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_cover_the_truth_at_their_rate(name: str) -> None:
    rng = np.random.default_rng(11)
    logging, target, rate = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.5, 0.4])
    truth, model, covered = float(target @ rate), np.array([0.3, 0.4, 0.5]), 0
    for _ in range(400):
        rows = rng.choice(3, 600, p=logging)
        log = {
            "reward": (rng.random(600) < rate[rows]).astype(float),
            "propensity": logging[rows],
            "target": target[rows],
            "q_logged": model[rows],
            "q_target": np.full(600, float(target @ model)),
        }
        interval = intervals.normal(_all_four(log)[name])
        covered += interval.low <= truth <= interval.high
    assert 0.915 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"propensity": np.array([0.5, 0.0, 1.7])}, r"propensity must be in \(0, 1\] \(rows 2, 3\)"),
        ({"reward": np.array([0.0, 1.0, np.nan])}, r"reward must be finite \(row 3\)"),
        ({"target": np.array([-0.1, 0.0, 0.0])}, r"target must be in \[0, 1\] \(row 1\)"),
        ({"reward": np.zeros(2)}, "different lengths"),
        ({"reward": np.zeros((3, 1))}, "one-dimensional"),
        ({"reward": ["a", "b", "c"]}, "numbers"),
    ],
)
def test_wrong_columns_are_refused_with_their_rows(change: dict[str, Floats], why: str) -> None:
    log = {"reward": np.zeros(3), "propensity": np.full(3, 0.5), "target": np.full(3, 0.5)}
    for estimator in (estimators.ips, estimators.snips):
        with pytest.raises(InvalidTable, match=why):
            estimator(**(log | change))


def test_no_rounds_and_no_weight_are_no_estimate() -> None:
    with pytest.raises(InvalidTable, match="at least one"):
        estimators.dm(q_target=[])
    with pytest.raises(InvalidTable, match="never draws"):
        estimators.snips(reward=[1.0], propensity=[0.5], target=[0.0])


def test_units_that_decide_often_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    per_unit = rng.normal(size=50)
    contributions = np.repeat(per_unit, 8)
    units = np.repeat([f"u-{i}" for i in range(50)], 8)
    clustered = intervals.normal(contributions, unit=units)
    by_unit = intervals.normal(per_unit)
    assert (clustered.low, clustered.high) == pytest.approx((by_unit.low, by_unit.high))
    assert clustered.n == 50
    order = rng.permutation(400)
    again = intervals.normal(contributions[order], unit=units[order])
    assert (again.low, again.high) == pytest.approx((clustered.low, clustered.high))


def test_one_unit_alone_tells_nothing_of_its_spread() -> None:
    interval = intervals.normal(np.array([0.2, 0.4]), unit=["same", "same"])
    assert (interval.low, interval.high) == (-np.inf, np.inf)
    with pytest.raises(InvalidTable):
        intervals.normal(np.empty(0))
    with pytest.raises(InvalidTable):
        intervals.normal(np.zeros(3), unit=["a"])


def test_no_success_at_all_still_leaves_room() -> None:
    interval = intervals.wilson(np.zeros(300))
    assert interval.low == pytest.approx(0.0, abs=1e-12)
    assert 0.005 < interval.high < 0.02
    with pytest.raises(InvalidTable):
        intervals.wilson(np.array([0.5]))
