"""Looks, differences, splits and many questions: against published numbers, other packages and known truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.differences import adjusted, by_day, interaction, of_means, of_ratios
from recsys.errors import Misuse
from recsys.looks import bounds, power, taken
from recsys.many import benjamini_hochberg, holm
from recsys.metrics import frozen_cap
from recsys.moments import Moments, Paired
from recsys.splits import sequential_srm


def test_bounds_are_those_of_the_reference() -> None:
    """statistics.md 2, power spending with rho 2."""
    assert bounds([0.25, 0.5, 0.75, 1.0]) == pytest.approx([2.955, 2.559, 2.301, 2.092], abs=5e-4)
    assert bounds([0.25, 0.5, 0.75, 1.0], sides=1) == pytest.approx([2.734, 2.302, 2.010, 1.769], abs=5e-4)
    assert bounds([1.0]) == pytest.approx([1.959964], abs=1e-5)


@given(st.lists(st.floats(0.02, 1.0), min_size=1, max_size=12, unique=True))
def test_bounds_spend_what_they_may_and_no_more(fractions: list[float]) -> None:
    looks = [sorted(fractions)[row] for row in taken(sorted(fractions))]
    assert power(looks, crossing=bounds(looks), drift=0.0) == pytest.approx(0.05 * looks[-1] ** 2, rel=1e-3, abs=1e-6)


def test_power_is_that_of_the_reference() -> None:
    """+15 % on 4 % with 20,000 a side, 28 looks: 81 % (statistics.md 2)."""
    error = math.sqrt((0.04 * 0.96 + 0.046 * 0.954) / 20_000)
    looks = [k / 28 for k in range(1, 29)]
    assert power(looks, crossing=bounds(looks), drift=0.006 / error) == pytest.approx(0.81, abs=0.01)


def test_bounds_refuse_what_is_no_schedule() -> None:
    for wrong in ([0.5, 0.5], [0.0], [1.1], [0.6, 0.3]):
        with pytest.raises(Misuse, match="fractions must grow"):
            bounds(wrong)
    with pytest.raises(Misuse, match="alpha must lie"):
        bounds([1.0], alpha=0.0)


def test_cuped_is_the_regression_on_the_time_before_and_halves_the_variance() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(size=(2, 4_000))
    y = 5.0 + x + rng.normal(size=x.shape)
    y[1] += 0.1
    sides = [Paired.of_arrays(y[k], x[k]) for k in (0, 1)]
    ours, plain = adjusted(sides[0], variant=sides[1]), of_means(sides[0].alone, variant=sides[1].alone)
    design = np.column_stack([np.ones(8_000), np.repeat([0.0, 1.0], 4_000), x.ravel()])
    fitted = np.linalg.lstsq(design, y.ravel(), rcond=None)[0]
    assert ours.absolute == pytest.approx(fitted[1], rel=1e-9)
    assert (ours.error / plain.error) ** 2 == pytest.approx(0.5, abs=0.04)
    assert ours.relative is not None
    assert ours.relative == pytest.approx(ours.absolute / y[0].mean())


def test_relative_cuped_covers() -> None:
    rng, covered, n = np.random.default_rng(12), 0, 500
    for _ in range(n):
        x = rng.gamma(2.0, 1.0, size=(2, 600))
        y = x + rng.gamma(2.0, 1.0, size=x.shape)
        y[1] *= 1.2
        d = adjusted(Paired.of_arrays(y[0], x[0]), variant=Paired.of_arrays(y[1], x[1]))
        assert d.relative is not None
        covered += abs(d.relative - 0.2) <= 1.96 * d.relative_error
    assert abs(covered / n - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n)


def test_cuped_with_a_constant_before_changes_nothing() -> None:
    y = np.random.default_rng(13).normal(3.0, 1.0, size=(2, 50))
    c, v = (Paired.of_arrays(row, np.ones(50)) for row in y)
    ours, plain = adjusted(c, variant=v), of_means(c.alone, variant=v.alone)
    assert (ours.absolute, ours.error, ours.relative, ours.relative_error) == pytest.approx(
        (plain.absolute, plain.error, plain.relative, plain.relative_error)
    )


def test_a_ratio_has_the_error_of_its_units_not_of_its_sessions() -> None:
    rng, seen, told = np.random.default_rng(14), [], []
    for _ in range(400):
        sides = []
        for _side in range(2):
            sessions = rng.integers(1, 9, size=500)
            taste = rng.beta(1.0, 4.0, size=500)
            sides.append(Paired.of_arrays(rng.binomial(sessions, taste), sessions))
        d = of_ratios(sides[0], variant=sides[1])
        seen.append(d.absolute)
        told.append(d.error)
    assert np.mean(told) == pytest.approx(np.std(seen), rel=0.12)


def test_days_of_unlike_shares_do_not_turn_the_sign() -> None:
    """Simpson: the variant is better on each day, and most of its units came on the bad one."""
    good = Moments(9_000, 900, 900), Moments(1_000, 110, 110)
    bad = Moments(1_000, 20, 20), Moments(9_000, 198, 198)
    pooled = of_means(good[0] + bad[0], variant=good[1] + bad[1])
    weighted = by_day([good, bad])
    assert pooled.absolute < -0.05
    assert weighted.absolute == pytest.approx((0.01 + 0.002) / 2)


def test_interaction_tells_an_effect_that_changes() -> None:
    same = [of_means(Moments(1_000, 100, 100), variant=Moments(1_000, 120, 120))] * 3
    unlike = [*same, of_means(Moments(1_000, 100, 100), variant=Moments(1_000, 300, 300))]
    assert interaction(same)[0] == pytest.approx(0.0, abs=1e-9)
    assert stats.chi2.sf(*interaction(unlike)) < 1e-6
    with pytest.raises(Misuse, match="two segments"):
        interaction(same[:1])


def test_exp_1_a_split_watched_every_day_cries_wolf_seldom_and_finds_two_per_cent_lost() -> None:
    rng = np.random.default_rng(15)
    alarms = 0
    for _ in range(400):
        row = rng.binomial(1_000, 0.5, size=28)
        alarms += sequential_srm([[int(a), 1_000 - int(a)] for a in row], shares=[0.5, 0.5])[-1] < 0.05
    assert alarms / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)
    assert sequential_srm([[10_000, 9_800]] * 20, shares=[0.5, 0.5])[-1] < 0.001
    assert sequential_srm([[500, 500]] * 3, shares=[0.5, 0.5]) == [1.0, 1.0, 1.0]


def test_many_questions_are_scipys() -> None:
    p = [0.001, 0.04, 0.03, 0.2, 0.9]
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert holm(p) == pytest.approx([0.005, 0.12, 0.12, 0.4, 0.9])


def test_a_cap_over_non_zero_values_leaves_ordinary_conversions_alone() -> None:
    rng = np.random.default_rng(16)
    numbers = np.where(rng.random(20_000) < 0.035, rng.lognormal(3.0, 1.0, 20_000), 0.0)
    cap = frozen_cap(numbers)
    assert cap is not None
    assert cap > np.percentile(numbers, 99.9)
    assert frozen_cap([0.0, 0.0]) is None
    with pytest.raises(Misuse, match="percentile"):
        frozen_cap([1.0], percentile=0.0)
