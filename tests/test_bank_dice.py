"""The dice: uniform, normal, Poisson, and each number hanging on its own key.

Every statistic is a z or a chi-square of a fixed seed; the limits are such that of all seeds fewer
than one in a thousand would fail any one test.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.bank.dice import cells, choices, keys_of, normals, poisson, uniforms
from recsys.vocabulary import Floats

N = 100_000
KEYS = keys_of(np.arange(N))


def dice(purpose: str = "seen", *, day: int = 2, seed: int = 5) -> Floats:
    return uniforms(seed, purpose=purpose, day=day, keys=KEYS)


def test_numbers_are_uniform_and_never_zero_or_one() -> None:
    numbers = dice()
    assert 0.0 < numbers.min() < numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    pairs = np.histogram2d(numbers[::2], numbers[1::2], bins=10, range=((0, 1), (0, 1)))[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3  # neighbours, as the halves of couples are


@pytest.mark.parametrize("other", [dice("tapped"), dice(day=3), dice(seed=6)], ids=["purpose", "day", "seed"])
def test_another_name_is_another_stream(other: Floats) -> None:
    assert abs(np.corrcoef(dice(), other)[0, 1]) < 4.0 / np.sqrt(N)


def test_normals_are_normal_far_into_the_tails() -> None:
    bell = normals(5, purpose="tail", day=2, keys=KEYS)
    assert stats.kstest(bell, "norm").pvalue > 1e-3
    assert abs((np.abs(bell) > 3.0).sum() - 270) < 4.0 * np.sqrt(270)
    assert abs(np.corrcoef(bell[:-1], bell[1:])[0, 1]) < 4.0 / np.sqrt(N)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=20), st.integers(0, 19))
def test_a_number_does_not_hang_on_its_company(numbers: list[int], place: int) -> None:
    keys = keys_of(np.array(numbers))
    one = slice(place % len(numbers), place % len(numbers) + 1)
    for draw in (uniforms, normals):
        assert draw(1, purpose="alone", day=0, keys=keys)[one] == draw(1, purpose="alone", day=0, keys=keys[one])


def test_cells_are_all_different_and_keep_the_shape() -> None:
    table = cells(np.arange(1_000), columns=7)
    assert len(np.unique(table)) == table.size
    assert uniforms(1, purpose="table", day=0, keys=table).shape == (1_000, 7)


@pytest.mark.parametrize("rate", [0.05, 0.7, 3.0, 25.0])
def test_counts_are_poisson(rate: float) -> None:
    counts = poisson(dice(), rate=np.full(N, rate))
    expected = N * stats.poisson.pmf(np.arange(counts.max() + 1), rate)
    often = expected > 10
    found = np.bincount(counts)[often]
    assert ((found - expected[often]) ** 2 / expected[often]).sum() < stats.chi2.ppf(0.999, often.sum())


def test_inversion_is_exact_and_ends_at_the_very_edge_of_one() -> None:
    luck, rate = np.array([0.0, 0.2, 0.9999, 0.5]), np.array([3.0, 3.0, 3.0, 0.0])
    assert poisson(luck, rate=rate).tolist() == stats.poisson.ppf(luck, rate).clip(0).tolist()
    assert 10 < poisson(np.array([1.0 - 2.0**-53]), rate=np.array([3.0]))[0] < 60


def test_choices_follow_the_weights_for_all_and_for_each() -> None:
    weights = np.array([0.5, 0.0, 1.5, 2.0])
    chosen = choices(dice(), cumulative=weights.cumsum())
    shares = np.bincount(chosen, minlength=4) / N
    assert shares == pytest.approx(weights / 4.0, abs=4.0 * np.sqrt(0.25 / N))
    assert shares[1] == 0.0
    each = choices(dice(), cumulative=np.tile(weights.cumsum(), (N, 1)))
    assert each.tolist() == chosen.tolist()
