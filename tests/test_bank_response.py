"""The response: delays as the specification's table has them, and dice that hang on their keys."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.bank.delays import INSTANT, LONG, PENSION, SLOW, TOGGLE, Delay, waits
from recsys.bank.dice import normals, uniforms
from recsys.bank.response import opt_out_chance

HOUR, DAY = 3_600.0, 86_400.0
KEYS = np.arange(40_000, dtype=np.uint64)


@pytest.mark.parametrize(
    ("delay", "shares"),
    [
        (TOGGLE, (0.92, 0.97, 1.00, 1.00, 1.00)),
        (INSTANT, (0.75, 0.90, 0.98, 0.99, 1.00)),
        (SLOW, (0.35, 0.50, 0.76, 0.88, 0.96)),
        (LONG, (0.20, 0.35, 0.64, 0.81, 0.94)),
        (PENSION, (0.05, 0.15, 0.30, 0.55, 0.82)),
    ],
    ids=["toggle", "instant", "slow", "long", "pension"],
)
def test_delays_follow_the_table(delay: Delay, shares: tuple[float, ...]) -> None:
    """The table is rounded to .01; the draws add at most .0105 (4 standard errors of 40,000)."""
    seconds = waits([delay] * len(KEYS), keys=KEYS, seed=1, number=0)
    found = [np.mean(seconds <= limit) for limit in (HOUR, DAY, 7 * DAY, 14 * DAY, 30 * DAY)]
    assert found == pytest.approx(shares, abs=0.005 + 0.0105)


def test_dice_are_uniform_normal_and_independent_of_company() -> None:
    numbers = uniforms(5, purpose="seen", day=2, keys=KEYS)
    assert np.abs(np.histogram(numbers, bins=20, range=(0, 1))[0] - 2_000).max() < 4.5 * np.sqrt(2_000)
    assert uniforms(5, purpose="seen", day=2, keys=KEYS[[77, 3]]).tolist() == numbers[[77, 3]].tolist()
    other = uniforms(5, purpose="tapped", day=2, keys=KEYS)
    assert abs(np.corrcoef(numbers, other)[0, 1]) < 4.5 / np.sqrt(len(KEYS))
    bell = normals(5, purpose="tail", day=2, keys=KEYS)
    assert abs(bell.mean()) < 4.5 / np.sqrt(len(KEYS))
    assert bell.std() == pytest.approx(1.0, abs=0.02)


def test_opting_out_grows_faster_than_dismissals() -> None:
    once, twice, often = opt_out_chance(np.array([1, 2, 10_000])).tolist()
    assert once == pytest.approx(0.0004)
    assert twice > 2 * once
    assert often == 0.5
