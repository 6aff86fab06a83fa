"""Effects against scipy, published examples, and the rate at which they cry wolf."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.effects import Moments, sequential, srm, two_proportions, welch
from recsys.errors import Misuse
from recsys.tails import chi_square_tail, normal_quantile, normal_two_sided, student_quantile, student_two_sided

numbers = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), max_size=30)


@given(numbers, numbers)
def test_moments_add_in_any_order_and_equal_numpy(left: list[float], right: list[float]) -> None:
    a, b = Moments.of_array(left), Moments.of_array(right)
    assert a + b == b + a
    whole = a + b
    assert whole.n == len(left + right)
    if whole.n:
        assert whole.mean == pytest.approx(np.mean(left + right), abs=1e-9)
    if whole.n > 1:
        assert whole.variance == pytest.approx(np.var(left + right, ddof=1), rel=1e-6, abs=1e-6)


@given(numbers, numbers, numbers)
def test_moments_add_in_any_grouping(one: list[float], two: list[float], three: list[float]) -> None:
    a, b, c = (Moments.of_array(x) for x in (one, two, three))
    left, right = (a + b) + c, a + (b + c)
    assert left.n == right.n
    assert (left.total, left.squares) == pytest.approx((right.total, right.squares), rel=1e-12, abs=1e-9)
    assert a + Moments() == a


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("x", [0.0, 0.1, 1.0, 3.84, 20.0, 200.0])
def test_chi_square_tail_is_scipys(x: float, df: int) -> None:
    assert chi_square_tail(x, df=df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-10)


@pytest.mark.parametrize("df", [1.0, 2.5, 10.0, 333.3, 1e5])
def test_student_is_scipys(df: float) -> None:
    for t in (0.0, 0.3, 1.96, 8.0):
        assert student_two_sided(t, df=df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-9)
    assert student_quantile(0.975, df=df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)


def test_normal_is_scipys() -> None:
    assert normal_two_sided(-3.0) == pytest.approx(2 * stats.norm.sf(3.0), rel=1e-12)
    assert normal_quantile(0.975) == pytest.approx(stats.norm.ppf(0.975), rel=1e-12)


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.exponential(1.0, 400), rng.exponential(1.2, 300)
    ours = welch(Moments.of_array(x), variant=Moments.of_array(y))
    theirs = stats.ttest_ind(y, x, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-8)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-8)


@pytest.mark.parametrize(
    ("control", "variant", "low", "high"),
    [((48, 80), (56, 70), 0.0524, 0.3339), ((3, 10), (9, 10), 0.1705, 0.8090), ((0, 10), (10, 10), 0.6075, 1.0000)],
)
def test_newcombe_of_his_paper(control: tuple[int, int], variant: tuple[int, int], low: float, high: float) -> None:
    """Newcombe (1998), table II, method 10."""
    ours = two_proportions(_share(*control), variant=_share(*variant))
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=5e-5)


def test_two_proportions_tests_with_the_pooled_share() -> None:
    ours = two_proportions(_share(48, 80), variant=_share(56, 70))
    chi2 = stats.chi2_contingency([[48, 32], [56, 14]], correction=False)
    assert ours.p_value == pytest.approx(chi2.pvalue, rel=1e-9)


def test_relative_lift_interval_is_the_delta_method_and_covers() -> None:
    rng = np.random.default_rng(6)
    covered, n = 0, 600
    for _ in range(n):
        control, variant = rng.binomial(5_000, 0.05), rng.binomial(5_000, 0.06)
        effect = two_proportions(_share(control, 5_000), variant=_share(variant, 5_000))
        assert effect.relative_low is not None
        assert effect.relative_high is not None
        covered += effect.relative_low <= 0.2 <= effect.relative_high
    assert abs(covered / n - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n)


def test_sequence_is_the_published_formula_for_one_mean() -> None:
    """statistics.md 1, asymptotic CS, with a control that never moves."""
    n, variance, alpha, planned = 1_000, 4.0, 0.05, 2_000
    still, moving = Moments(2, 0.0, 0.0), Moments(n - 2, 0.0, variance * (n - 3))
    effect = sequential(still, variant=moving, planned=planned, alpha=alpha)
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned
    width = math.sqrt(2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    assert effect.high == pytest.approx(math.sqrt(variance * n / (n - 2)) * width, rel=1e-12)


def test_sequence_p_value_crosses_alpha_where_the_interval_leaves_zero() -> None:
    control = _share(500, 10_000)
    for wins in range(500, 760):
        effect = sequential(control, variant=_share(wins, 10_000))
        assert (effect.p_value < 0.05) == (effect.low > 0.0)


def test_sequence_is_half_as_wide_again_as_one_look_where_planned() -> None:
    control, variant = _share(500, 10_000), _share(550, 10_000)
    ratio = sequential(control, variant=variant, planned=20_000).high - 0.005
    assert 1.4 < ratio / (welch(control, variant=variant).high - 0.005) < 1.6


@pytest.mark.parametrize("accrues", ["units arrive", "outcomes of the same units accrue"])
def test_looking_every_day_cries_wolf_in_at_most_one_of_twenty(accrues: str) -> None:
    """A/A, 28 daily looks, 4 % base rate, 2,000 experiments: ≤ 5 % + 2 binomial standard errors (0.5 % each)."""
    looks, per_day, n_experiments = 28, 700, 2_000
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(n_experiments):
        if accrues == "units arrive":
            wins = rng.binomial(per_day, 0.04, size=(2, looks)).cumsum(axis=1)
            sizes = per_day * np.arange(1, looks + 1)
        else:
            wins = rng.multinomial(20_000, [0.04 / looks] * looks + [0.96], size=2)[:, :-1].cumsum(axis=1)
            sizes = np.full(looks, 20_000)
        alarms += any(
            sequential(_share(int(c), int(n)), variant=_share(int(v), int(n))).p_value < 0.05
            for c, v, n in zip(wins[0], wins[1], sizes, strict=True)
        )
    assert alarms / n_experiments <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / n_experiments)


def test_looking_every_day_at_a_test_for_one_look_does_cry_wolf() -> None:
    """The trap that the sequence is for; without it the test above would show nothing."""
    rng = np.random.default_rng(8)
    wins = rng.binomial(700, 0.04, size=(300, 2, 28)).cumsum(axis=2)
    alarms = sum(
        any(
            two_proportions(_share(int(c), 700 * d), variant=_share(int(v), 700 * d)).p_value < 0.05
            for d, (c, v) in enumerate(zip(*pair, strict=True), start=1)
        )
        for pair in wins
    )
    assert alarms / 300 > 0.15


def test_sequence_finds_a_true_difference() -> None:
    """Power at +50 % on 4 % with 20,000 a side: all but certain."""
    rng = np.random.default_rng(9)
    found = [
        sequential(_share(rng.binomial(20_000, 0.04), 20_000), variant=_share(rng.binomial(20_000, 0.06), 20_000)).low
        > 0
        for _ in range(100)
    ]
    assert np.mean(found) > 0.95


def test_srm_is_scipys_and_alarms_on_two_per_cent_lost() -> None:
    assert srm([4_950, 5_050, 10_100], shares=[0.25, 0.25, 0.5]) == pytest.approx(
        stats.chisquare([4_950, 5_050, 10_100], [5_025, 5_025, 10_050]).pvalue, rel=1e-10
    )
    assert srm([100_000, 98_000], shares=[0.5, 0.5]) < 0.001
    assert srm([0, 0], shares=[0.5, 0.5]) == 1.0


def test_effects_refuse_what_cannot_be_compared() -> None:
    with pytest.raises(Misuse, match="at least two units"):
        welch(Moments.of(1.0), variant=Moments.of_array([1, 2]))
    with pytest.raises(Misuse, match="one share for each"):
        srm([1, 2], shares=[1.0])
    with pytest.raises(Misuse, match="above 0"):
        srm([1, 2], shares=[1.0, 0.0])


def test_no_relative_lift_over_a_control_of_nothing() -> None:
    effect = welch(Moments.of_array([0, 0, 0]), variant=Moments.of_array([1, 0, 1]))
    assert effect.relative is None
    assert effect.absolute == pytest.approx(2 / 3)


def _share(wins: int, n: int) -> Moments:
    return Moments(int(n), float(wins), float(wins))
