"""Slates drawn by the thousand: pmfs are pmfs, draws follow them, and chances are exact."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bank.slates import (
    MAY_SHOW_NOTHING,
    ArrayPolicy,
    PmfRule,
    drawn,
    epsilon_greedy,
    prepared,
    propensities_of,
    slot_chances,
    softmax,
)
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.errors import InvalidPmf, InvalidTable
from recsys.vocabulary import Bools, Floats

RULES = (softmax(), softmax(temperature=0.1), epsilon_greedy(epsilon=0.3), epsilon_greedy(epsilon=0.0))


def case(seed: int, *, visits: int = 50, products: int = 5) -> tuple[Floats, Bools]:
    rng = np.random.default_rng(seed)
    open_ = rng.random((visits, products + 1)) < 0.7
    open_[0] = False
    return rng.normal(size=open_.shape), open_


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 1_000))
def test_a_rule_gives_a_pmf_over_what_is_open(rule: PmfRule, seed: int) -> None:
    scores, open_ = case(seed)
    pmf = rule(scores, open_)
    assert (pmf >= 0.0).all()
    assert not pmf[~open_].any()
    assert np.allclose(pmf.sum(axis=1), open_.any(axis=1))
    assert np.array_equal(rule(scores[7:9], open_[7:9]), pmf[7:9])


@pytest.mark.parametrize("rule", RULES)
@given(seed=st.integers(0, 1_000))
def test_a_slate_is_drawn_from_its_pmfs_and_scored_as_it_was_drawn(rule: PmfRule, seed: int) -> None:
    scores, open_ = case(seed)
    slates = drawn(scores, open_=open_, rule=rule, luck=np.random.default_rng(seed).random((50, 4)))
    nothing = open_.shape[1] - 1
    for row, columns in enumerate(slates.columns.tolist()):
        real = [column for column in columns if column >= 0]
        assert len(set(real)) == len(real)
        assert all(open_[row, column] for column in real)
        assert columns == [*real, *[-1] * (4 - len(real))]
        assert nothing not in real[:-1]
    picked = np.take_along_axis(slates.pmfs, np.maximum(slates.columns, 0)[:, :, None], axis=2)[:, :, 0]
    there = slates.columns >= 0
    assert np.array_equal(slates.propensities[there], picked[there])
    assert (slates.propensities[there] > 0.0).all()
    assert (slates.propensities[~there] == 1.0).all()
    propensities, pmfs = propensities_of(scores, open_=open_, rule=rule, columns=slates.columns)
    assert np.array_equal(propensities, slates.propensities)
    assert np.array_equal(pmfs, slates.pmfs)


@pytest.mark.parametrize("rule", RULES)
def test_chances_are_those_of_every_order_there_is(rule: PmfRule) -> None:
    scores, open_ = case(3, visits=20, products=4)
    chances = slot_chances(scores, open_=open_, rule=rule, places=3)
    expected = np.zeros_like(chances)
    for order in [*permutations(range(4), 1), *permutations(range(4), 2), *permutations(range(4), 3)]:
        columns = np.tile(order, (20, 1))
        propensities, pmfs = propensities_of(scores, open_=open_, rule=rule, columns=columns)
        reached = np.prod(propensities, axis=1) * (pmfs[:, -1].sum(axis=1) > 0)
        expected[:, len(order) - 1, order[-1]] += reached
    assert np.allclose(chances, expected)
    with pytest.raises(InvalidTable, match="exact for 3 slots, not 4"):
        slot_chances(scores, open_=open_, rule=rule, places=4)


def test_frequencies_follow_the_chances() -> None:
    """z-tests of 15 cells at 4.5 standard errors: a false alarm once in 10,000 seeds."""
    scores, open_ = (np.tile(each[1], (20_000, 1)) for each in case(5))
    luck = np.random.default_rng(1).random((20_000, 3))
    slates = drawn(scores, open_=open_, rule=softmax(), luck=luck)
    chances = slot_chances(scores[:1], open_=open_[:1], rule=softmax(), places=3)[0]
    for place in range(3):
        found = np.bincount(slates.columns[slates.columns[:, place] >= 0, place], minlength=6)[:5] / 20_000
        error = np.sqrt(chances[place] * (1 - chances[place]) / 20_000)
        assert (np.abs(found - chances[place]) <= 4.5 * error + 1e-12).all()


def test_nothing_may_be_drawn_where_the_catalogue_says_so() -> None:
    surfaces = load(BANK_CATALOGUE).surfaces
    assert {name for name, surface in surfaces.items() if surface.null_allowed} == MAY_SHOW_NOTHING


def test_scores_are_checked() -> None:
    eligible = np.array([[True, False]])

    def policy(scores: list[list[float]]) -> ArrayPolicy:
        return ArrayPolicy("p@1", lambda visible, *, eligible, surface: np.array(scores), softmax())

    blind = np.empty((1, 0))
    scores, open_ = prepared(policy([[1.0, np.inf]]), blind, eligible=eligible, surface="home")
    assert (scores.shape, open_.tolist()) == ((1, 3), [[True, False, False]])
    assert prepared(policy([[1.0, 0.0, 0.0]]), blind, eligible=eligible, surface="home")[1].tolist() == [[1, 0, 1]]
    assert prepared(policy([[1.0, 0.0, 0.0]]), blind, eligible=eligible, surface="savings")[1].tolist() == [[1, 0, 0]]
    with pytest.raises(InvalidPmf, match="p@1: not a probability distribution: a score is not finite"):
        prepared(policy([[np.nan, 0.0]]), blind, eligible=eligible, surface="home")
    with pytest.raises(InvalidPmf, match=r"expected scores of shape \(1, 2\), got \(1, 1\)"):
        prepared(policy([[1.0]]), blind, eligible=eligible, surface="home")
