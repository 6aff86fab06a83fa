"""From scores to probabilities: exact, even among ties, and never below the floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.exploration import Exploration, epsilon_greedy, softmax, squarecb
from recsys.errors import InvalidConfiguration, InvalidPmf

ALL = [
    Exploration("greedy"),
    Exploration("epsilon_greedy", epsilon=0.05),
    Exploration("softmax", temperature=0.1, epsilon=0.02),
    Exploration("squarecb", gamma=10.0, epsilon=0.02),
    Exploration("squarecb", epsilon=0.02, bonus=0.7, unit="earned"),
    Exploration("uniform"),
]
OPEN = np.ones(3, dtype=np.bool_)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    scores=st.lists(st.sampled_from([-1.0, 0.0, 0.01, 0.3, 1e6]), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
@pytest.mark.parametrize("exploration", ALL, ids=lambda e: e.kind)
def test_permuting_is_exact_ties_are_even_and_the_floor_holds(
    exploration: Exploration, scores: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values, n = np.array(scores), len(scores)
    open_ = rng.random(n) < 0.7
    open_[rng.integers(n)] = True
    order = rng.permutation(n)
    pmf = exploration.pmf(values, open_=open_, lessons=1000)
    turned = exploration.pmf(values[order], open_=open_[order], lessons=1000)
    assert turned.tolist() == pmf[order].tolist()  # bit for bit
    assert not pmf[~open_].any()
    assert pmf.sum() == pytest.approx(1.0, abs=1e-12)
    assert (pmf[open_] >= exploration.floor / open_.sum()).all()
    for value in set(scores):
        assert len(set(pmf[open_ & (values == value)].tolist())) <= 1


def test_each_kind_by_hand() -> None:
    scores = np.array([1.0, 0.5, 1.0])
    assert epsilon_greedy(scores, open_=OPEN, epsilon=0.3) == pytest.approx([0.45, 0.1, 0.45])
    assert squarecb(scores, open_=OPEN, gamma=4.0, epsilon=0.0) == pytest.approx([0.4, 0.2, 0.4])
    assert softmax(np.log([1.0, 2.0, 1.0]), open_=OPEN, temperature=1.0, epsilon=0.0) == pytest.approx(
        [0.25, 0.5, 0.25]
    )


def test_squarecb_explores_less_the_more_it_has_learned() -> None:
    scores = np.array([0.03, 0.02, 0.01])
    best = [Exploration("squarecb", epsilon=0.0).pmf(scores, open_=OPEN, lessons=n)[0] for n in (0, 100, 10_000)]
    assert best == sorted(best)
    assert best[-1] > 0.9


def test_gaps_measured_in_earnings_explore_alike_at_every_base_rate() -> None:
    fitted = Exploration("squarecb", epsilon=0.0, unit="earned")
    common = fitted.pmf(np.array([0.6, 0.4, 0.2]), open_=OPEN, lessons=400, unit=0.4)
    rare = fitted.pmf(np.array([0.006, 0.004, 0.002]), open_=OPEN, lessons=400, unit=0.004)
    assert rare == pytest.approx(common)
    fixed = Exploration("squarecb", epsilon=0.0).pmf(
        np.array([0.006, 0.004, 0.002]), open_=OPEN, lessons=400, unit=0.004
    )
    assert fixed[0] < rare[0]


def test_settings_that_came_later_leave_the_digests_of_older_recipes_alone() -> None:
    assert set(Exploration().plain) == {"kind", "epsilon", "temperature", "gamma", "exponent"}
    assert Exploration(bonus=0.3, unit="earned").plain.items() >= {"bonus": 0.3, "unit": "earned"}.items()


def test_great_scores_do_not_overflow() -> None:
    pmf = softmax(np.array([1e300, -1e300, 0.0]), open_=OPEN, temperature=1.0, epsilon=0.1)
    assert pmf == pytest.approx([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])


@pytest.mark.parametrize("exploration", ALL, ids=lambda e: e.kind)
def test_nonsense_is_refused(exploration: Exploration) -> None:
    for scores, open_ in (
        (np.array([np.nan, 0.0, 0.0]), OPEN),
        (np.array([np.inf, 0.0, 0.0]), OPEN),
        (np.zeros(3), ~OPEN),
        (np.zeros(2), OPEN),
    ):
        with pytest.raises(InvalidPmf):
            exploration.pmf(scores, open_=open_)


@pytest.mark.parametrize(
    "settings_",
    [
        {"kind": "bold"},
        {"epsilon": 1.5},
        {"temperature": 0.0},
        {"gamma": -1.0},
        {"exponent": 2.0},
        {"bonus": -1.0},
        {"unit": "pound"},
    ],
)
def test_contradictory_settings_are_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        Exploration(**settings_)
