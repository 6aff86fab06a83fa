"""Intervals cover at their stated rates, and say so when they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from bandits import estimators, forms, intervals, sequences
from recsys.errors import InvalidTable
from recsys.vocabulary import Floats

LOGGED, TARGET, RATE = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.5, 0.4])
TRUTH, MODEL = float(TARGET @ RATE), np.array([0.3, 0.4, 0.5])


def log_of(rng: np.random.Generator, n: int) -> dict[str, Floats]:
    rows = rng.choice(3, n, p=LOGGED)
    return {
        "reward": (rng.random(n) < RATE[rows]).astype(float),
        "propensity": LOGGED[rows],
        "target": TARGET[rows],
        "q_logged": MODEL[rows],
        "q_target": np.full(n, float(TARGET @ MODEL)),
    }


def weighing(log: dict[str, Floats]) -> dict[str, Floats]:
    return {name: log[name] for name in ("reward", "propensity", "target")}


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "sndr"])
def test_normal_intervals_cover_the_truth_at_their_rate(name: str) -> None:
    """400 logs, exact binomial: outside [0.915, 0.98] less than 2 times in 1,000 if the rate is .95."""
    rng, covered = np.random.default_rng(11), 0
    for _ in range(400):
        log = log_of(rng, 600)
        columns = log if name in ("dr", "sndr") else weighing(log)
        interval = intervals.normal(getattr(estimators, name)(**columns))
        covered += interval.low <= TRUTH <= interval.high
    assert 0.915 <= covered / 400 <= 0.98


def test_logit_stays_inside_and_covers_with_few_rounds() -> None:
    rng, covered = np.random.default_rng(12), 0
    for _ in range(400):
        log = log_of(rng, 150)
        interval = intervals.logit(estimators.snips(**weighing(log)))
        assert 0.0 < interval.low < interval.estimate < interval.high < 1.0
        covered += interval.low <= TRUTH <= interval.high
    assert covered / 400 >= 0.915
    with pytest.raises(InvalidTable, match="log-odds"):
        intervals.logit(np.zeros(5))


def test_the_linearised_interval_is_as_wide_as_a_large_bootstrap() -> None:
    """Taking the normaliser as a constant would make it up to 1.9 times too wide."""
    rng = np.random.default_rng(13)
    log = log_of(rng, 4_000) | {"reward": 1.0 + 0.2 * rng.normal(size=4_000)}  # far from 0: where the flaw shows
    unit = rng.integers(0, 900, 4_000)
    for terms in (estimators.snips_terms(**weighing(log)), estimators.sndr_terms(**log)):
        linear = intervals.normal(terms.contributions, unit=unit)
        drawn = intervals.bootstrap(terms.terms, form=terms.form, unit=unit, replications=2_000, seed=1)
        assert (linear.high - linear.low) / (drawn.high - drawn.low) == pytest.approx(1.0, abs=0.08)
        assert drawn.estimate == pytest.approx(linear.estimate)
    weight = log["target"] / log["propensity"]
    naive = intervals.normal(weight * log["reward"] / weight.mean())
    linear = intervals.normal(estimators.snips(**weighing(log)))
    assert (naive.high - naive.low) > 1.5 * (linear.high - linear.low)


def test_a_bootstrap_of_contributions_is_that_of_their_mean() -> None:
    x = np.random.default_rng(2).normal(size=500)
    drawn = intervals.bootstrap(x[:, None], form=forms.MEAN, replications=4_000)
    plain = intervals.normal(x)
    assert (drawn.high - drawn.low) / (plain.high - plain.low) == pytest.approx(1.0, abs=0.06)
    again = intervals.bootstrap(x[:, None], form=forms.MEAN, replications=4_000)
    assert (again.low, again.high) == (drawn.low, drawn.high)
    with pytest.raises(InvalidTable):
        intervals.bootstrap(np.empty((0, 1)), form=forms.MEAN)


def test_empirical_bernstein_holds_for_any_n_and_asks_for_bounds_a_priori() -> None:
    rng, largest = np.random.default_rng(14), float((TARGET / LOGGED).max())
    missed = 0
    for _ in range(300):
        told = estimators.ips(**weighing(log_of(rng, 200)))
        interval = intervals.empirical_bernstein(told, low=0.0, high=largest)
        missed += not interval.low <= TRUTH <= interval.high
        assert interval.high - interval.low > 0.0
    assert missed <= 15  # at most 5 % of them
    with pytest.raises(InvalidTable, match="inside"):
        intervals.empirical_bernstein(told, low=0.0, high=1.0)


def test_units_that_decide_often_widen_every_interval() -> None:
    rng = np.random.default_rng(5)
    per_unit = rng.uniform(size=200)
    contributions, units = np.repeat(per_unit, 8), np.repeat([f"u-{i}" for i in range(200)], 8)
    clustered, by_unit = intervals.normal(contributions, unit=units), intervals.normal(per_unit)
    assert (clustered.low, clustered.high) == pytest.approx((by_unit.low, by_unit.high))
    assert clustered.n == 200
    order = rng.permutation(1_600)
    again = intervals.normal(contributions[order], unit=units[order])
    assert (again.low, again.high) == pytest.approx((clustered.low, clustered.high))
    for made in (
        lambda unit: intervals.logit(contributions, unit=unit),
        lambda unit: intervals.bootstrap(contributions[:, None], form=forms.MEAN, unit=unit),
        lambda unit: intervals.empirical_bernstein(contributions, low=0.0, high=1.0, unit=unit),
    ):
        wide, narrow = made(units), made(None)
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


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


def test_a_confidence_sequence_holds_at_every_look_at_once() -> None:
    rng, missed = np.random.default_rng(15), 0
    for _ in range(200):
        sequence = sequences.empirical_bernstein(**weighing(log_of(rng, 1_500)))
        missed += bool((sequence.low > TRUTH).any() or (sequence.high < TRUTH).any())
        assert (np.diff(sequence.low) >= 0.0).all()
        assert (np.diff(sequence.high) <= 0.0).all()
    assert missed <= 10  # at most 5 % of them, over all looks together
    assert sequence.high[-1] - sequence.low[-1] < 0.5


def test_a_confidence_sequence_holds_under_a_logger_that_learns() -> None:
    """The logger turns greedy on what it has seen; propensities stay known, so the bounds stay right."""
    rng, missed = np.random.default_rng(16), 0
    for _ in range(60):
        counts, sums = np.ones(3), np.full(3, 0.5)
        rows = []
        for _ in range(400):
            pmf = np.full(3, 0.1)
            pmf[int(np.argmax(sums / counts))] += 0.7
            shown = int(rng.choice(3, p=pmf))
            reward = float(rng.random() < RATE[shown])
            counts[shown] += 1
            sums[shown] += reward
            rows.append((reward, pmf[shown], TARGET[shown]))
        reward_, propensity, target = np.array(rows).T
        sequence = sequences.empirical_bernstein(reward=reward_, propensity=propensity, target=target)
        missed += bool((sequence.low > TRUTH).any() or (sequence.high < TRUTH).any())
    assert missed <= 6


def test_an_asymptotic_sequence_holds_at_every_look_after_the_first_hundred() -> None:
    rng, missed = np.random.default_rng(17), 0
    for _ in range(300):
        told = sequences.asymptotic(estimators.snips(**weighing(log_of(rng, 2_000))), planned=2_000)
        missed += bool(((told.low > TRUTH) | (told.high < TRUTH))[100:].any())
    assert missed <= 21  # 5 % is 15; more than 21 less than 5 times in 100


def test_the_lower_bound_of_an_uplift_is_below_it_and_finds_a_large_one() -> None:
    rng = np.random.default_rng(18)
    log = weighing(log_of(rng, 20_000))
    bound = sequences.uplift_lower_bound(**log)
    uplift = TRUTH - float(LOGGED @ RATE)
    assert (bound <= uplift + 1e-9).all()
    sure = sequences.uplift_lower_bound(**(log | {"reward": (log["target"] > log["propensity"]).astype(float)}))
    assert sure[-1] > 0.2
    with pytest.raises(InvalidTable, match=r"\[0, 1\]"):
        sequences.uplift_lower_bound(**(log | {"reward": log["reward"] * 2.0}))


def test_what_is_not_finite_and_levels_that_are_none_are_refused_with_rows() -> None:
    x = np.array([0.0, np.nan, 1.0, np.inf])
    for made in (
        lambda x, level: intervals.normal(x, level=level),
        lambda x, level: intervals.logit(x, level=level),
        lambda x, level: intervals.wilson(x, level=level),
        lambda x, level: intervals.bootstrap(x[:, None], form=forms.MEAN, level=level, replications=10),
        lambda x, level: intervals.empirical_bernstein(x, low=0.0, high=1.0, level=level),
    ):
        with pytest.raises(InvalidTable, match=r"finite \(rows 2, 4\)"):
            made(x, 0.95)
        for level in (0.0, 1.0, 95.0, float("nan")):
            with pytest.raises(InvalidTable, match="a level lies in"):
                made(np.array([0.0, 1.0, 0.0]), level)
    with pytest.raises(InvalidTable, match="two replications"):
        intervals.bootstrap(np.zeros((3, 1)), form=forms.MEAN, replications=1)
