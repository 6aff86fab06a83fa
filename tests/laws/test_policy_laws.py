"""The laws of `bandits/policy.py`, put to every policy there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.drawing import draw_slate, everything_open, slate_propensities
from bandits.policy import Policy, checked_pmf
from bandits.rescoring import pair_scores
from recsys.vocabulary import NOTHING, Bools, Context
from tests.bandit_worlds import all_policies, moment, products

Law: TypeAlias = Callable[[Policy], None]
POLICIES = all_policies()


def _masks() -> list[Bools]:
    n = len(products())
    return [np.array([bool(bits >> i & 1) for i in range(n)]) for bits in range(1, 1 << n)]


def sums_to_one_over_the_open(policy: Policy) -> None:
    scores = policy.scores(moment(), products())
    for open_ in _masks():
        checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name)


def permuting_candidates_permutes_the_pmf(policy: Policy) -> None:
    candidates = products()
    order = np.random.default_rng(3).permutation(len(candidates))
    shuffled = [candidates[i] for i in order]
    straight, turned = policy.scores(moment(), candidates), policy.scores(moment(), shuffled)
    np.testing.assert_allclose(turned, straight[order], rtol=0, atol=1e-12)
    if len(set(straight.tolist())) < len(candidates) and policy.floor == 0.0:
        return  # a fixed order names the first of those that tie
    open_ = np.ones(len(candidates), dtype=np.bool_)
    np.testing.assert_allclose(
        policy.pmf(turned, open_=open_), policy.pmf(straight, open_=open_)[order], rtol=0, atol=1e-12
    )


def asking_twice_gives_the_same(policy: Policy) -> None:
    first = policy.scores(moment(), products())
    policy.scores(moment(1), products()[:2])
    assert np.array_equal(first, policy.scores(moment(), products()))
    open_ = np.array([True, False, True, True, False])
    assert np.array_equal(policy.pmf(first, open_=open_), policy.pmf(first, open_=open_))


def one_open_candidate_gets_all(policy: Policy) -> None:
    scores = policy.scores(moment(), products())
    for row in range(scores.size):
        open_ = np.zeros(scores.size, dtype=np.bool_)
        open_[row] = True
        assert policy.pmf(scores, open_=open_)[row] == 1.0


def every_open_candidate_gets_its_floor(policy: Policy) -> None:
    scores = policy.scores(moment(), products())
    for open_ in _masks():
        assert policy.pmf(scores, open_=open_)[open_].min() >= policy.floor / open_.sum() - 1e-15


def closed_scores_have_no_influence(policy: Policy) -> None:
    open_ = np.array([True, True, True, False, True])
    scores = policy.scores(moment(), products())
    changed = scores.copy()
    changed[3] = 1e6
    assert np.array_equal(policy.pmf(scores, open_=open_), policy.pmf(changed, open_=open_))


def is_pure(policy: Policy) -> None:
    scores, open_ = policy.scores(moment(), products()), np.ones(5, dtype=np.bool_)
    before = scores.copy()
    policy.pmf(scores, open_=open_)
    assert np.array_equal(scores, before)
    assert open_.all()


def pairs_score_as_alone(policy: Policy) -> None:
    """Many pairs at once, each in a context of its own, are what asking one by one gives."""
    candidates = products()
    contexts = [moment(number) for number in range(len(candidates))]
    values = np.array([context.values for context in contexts])
    alone = [policy.scores(context, [one])[0] for context, one in zip(contexts, candidates, strict=True)]
    together = pair_scores(policy, contexts[0].names, values, candidates)
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-12)
    strange = tuple(f"new-{name}" for name in contexts[0].names)
    alone = [policy.scores(Context(strange, contexts[0].values), [one])[0] for one in candidates]
    together = pair_scores(policy, strange, np.tile(values[0], (len(candidates), 1)), candidates)
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-12)
    assert pair_scores(policy, contexts[0].names, values[:0], []).shape == (0,)


def knows_how_unsure_it_is_or_does_not_say(policy: Policy) -> None:
    """Deviations stand in candidate order, are finite and not negative, 0 for the null choice."""
    deviations = getattr(policy, "deviations", None)
    if deviations is None:
        return
    candidates = products()
    told = deviations(moment(), candidates)
    assert np.isfinite(told).all()
    assert (told[:-1] > 0.0).all()
    assert told[-1] == 0.0
    np.testing.assert_allclose(deviations(moment(), candidates[::-1]), told[::-1], rtol=1e-9)
    assert deviations(moment(), []).shape == (0,)


def has_a_name_with_a_version(policy: Policy) -> None:
    assert policy.name.count("@") == 1


LAWS: list[Law] = [
    sums_to_one_over_the_open,
    permuting_candidates_permutes_the_pmf,
    asking_twice_gives_the_same,
    one_open_candidate_gets_all,
    every_open_candidate_gets_its_floor,
    closed_scores_have_no_influence,
    is_pure,
    pairs_score_as_alone,
    knows_how_unsure_it_is_or_does_not_say,
    has_a_name_with_a_version,
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_of_policies(policy: Policy, law: Law) -> None:
    law(policy)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_drawn_slate_has_the_propensities_it_says(policy: Policy) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(number=st.integers(0, 10_000), length=st.integers(1, 5))
    def drawn_equals_scored(number: int, length: int) -> None:
        context, candidates = moment(number), products()
        mask_of = everything_open(len(candidates))
        drawn = draw_slate(policy, context, candidates, length=length, decision_id=f"d-{number}", mask_of=mask_of)
        scored = slate_propensities(policy, context, candidates, rows=drawn.rows, mask_of=mask_of)
        assert scored.tolist() == list(drawn.propensities)
        assert min(drawn.propensities) > 0.0
        assert len(set(drawn.rows)) == len(drawn.rows)
        assert NOTHING not in [candidates[row].product_id for row in drawn.rows[:-1]]

    drawn_equals_scored()
