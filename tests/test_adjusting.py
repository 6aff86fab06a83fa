"""Pins and boosts (MRM-6): the probabilities change before the draw, and stay probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bandits.adjusting import Adjusted, adjusted
from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import draw_slate, everything_open
from bandits.policy import checked_pmf
from recsys.errors import InvalidPmf
from recsys.vocabulary import Candidate, Context
from serving.steered import effects_of
from tests.bandit_worlds import all_policies, drawn_decision, moment, products
from tests.builders import events

OPEN = np.ones(len(products()), dtype=np.bool_)
strengths = st.floats(0.1, 10.0)


def test_mrm_6_a_pin_takes_the_first_slot_and_the_next_pin_the_second() -> None:
    policy = Adjusted(UniformPolicy(), pins=("budgeting", "loan"))
    for number in range(30):
        mask = everything_open(5)
        drawn = draw_slate(policy, moment(), products(), length=3, decision_id=f"d-{number}", mask_of=mask)
        assert [products()[row].product_id for row in drawn.rows[:2]] == ["budgeting", "loan"]
        assert drawn.propensities[:2] == (1.0, 1.0)
        assert drawn.propensities[2] == pytest.approx(1 / 3)


def test_mrm_6_a_pin_that_is_closed_or_no_candidate_leaves_the_policy_alone() -> None:
    plain = UniformPolicy()
    policy = Adjusted(plain, pins=("budgeting", "gone"))
    open_ = np.array([True, True, True, False, True])
    scores = policy.scores(moment(), products())
    assert np.array_equal(policy.pmf(scores, open_=open_), plain.pmf(np.zeros(5), open_=open_))


def test_mrm_6_a_boost_multiplies_the_mass_and_keeps_the_support() -> None:
    policy = adjusted(UniformPolicy(), overrides=("a:boost:2.0:pot", "b:boost:1.5:pot", "c:boost:0.5:loan"))
    pmf = policy.pmf(policy.scores(moment(), products()), open_=OPEN)
    np.testing.assert_allclose(pmf / pmf[2], [3.0, 0.5, 1.0, 1.0, 1.0])


def test_mrm_6_a_boost_cannot_open_what_the_policy_never_draws() -> None:
    policy = Adjusted(StaticPolicy(["loan"]), boosts={"pot": 10.0})
    assert policy.pmf(policy.scores(moment(), products()), open_=OPEN).tolist() == [0, 1, 0, 0, 0]


def test_mrm_6_bans_and_no_overrides_leave_the_policy_itself() -> None:
    policy = UniformPolicy()
    assert adjusted(policy, overrides=()) is policy
    assert adjusted(policy, overrides=("x:ban:0.0:pot",)) is policy


def test_scores_that_an_adjusted_policy_did_not_make_are_refused() -> None:
    with pytest.raises(InvalidPmf, match="did not make"):
        Adjusted(UniformPolicy(), boosts={"pot": 2.0}).pmf(np.zeros(5), open_=OPEN)


@given(
    number=st.integers(0, 10_000),
    policy=st.sampled_from([policy for policy in all_policies() if not isinstance(policy, Adjusted)]),
    bits=st.integers(1, 31),
    pins=st.lists(st.sampled_from(["pot", "loan", "cash-isa", "gone"]), max_size=2, unique=True),
    boosts=st.dictionaries(st.sampled_from(["pot", "loan", "budgeting", "gone"]), strengths, max_size=3),
)
@hypothesis_settings(derandomize=True, deadline=None, max_examples=200)
def test_mrm_6_under_any_overrides_the_pmf_is_sound_and_supports_what_it_did(
    number: int, policy: object, bits: int, pins: list[str], boosts: dict[str, float]
) -> None:
    steered = Adjusted(policy, pins=pins, boosts=boosts)  # type: ignore[arg-type]
    open_ = np.array([bool(bits >> i & 1) for i in range(5)])
    pmf = checked_pmf(steered.pmf(steered.scores(moment(number), products()), open_=open_), open_=open_, where="")
    if not pins:
        plain = policy.pmf(policy.scores(moment(number), products()), open_=open_)  # type: ignore[attr-defined]
        assert np.array_equal(pmf > 0, plain > 0)
    assert pmf[open_].min() >= steered.floor / open_.sum() - 1e-15


def test_mrm_6_the_size_of_an_effect_is_the_probability_it_moved() -> None:
    decisions = [
        (UniformPolicy(), ("top:pin:1.0:budgeting",)),
        (UniformPolicy(), ("more:boost:4.0:pot",)),
        (UniformPolicy(), ("out:ban:0.0:gone",)),
    ]
    made = [
        replace(drawn_decision(n, policy=adjusted(policy, overrides=names), length=1), overrides=names)
        for n, (policy, names) in enumerate(decisions)
    ]
    found = effects_of(events(made), policy_of=lambda decision: UniformPolicy())
    assert found["top"].mean_mass == pytest.approx(1 - 1 / 5)
    assert found["more"].mean_mass == pytest.approx(4 / 8 - 1 / 5)
    assert (found["out"].decisions, found["out"].mean_mass, found["out"].unknown) == (1, None, 1)
    gone = effects_of(events(made), policy_of=lambda decision: None)
    assert (gone["top"].unknown, gone["more"].unknown) == (1, 0)


def test_mrm_6_many_boosts_may_not_do_what_one_may_not() -> None:
    names = [f"b{n}:boost:10.0:pot" for n in range(400)]
    policy = adjusted(UniformPolicy(), overrides=names)
    once = adjusted(UniformPolicy(), overrides=names[:1])
    candidates = [Candidate("pot"), Candidate("loan"), Candidate("isa")]
    open_ = np.ones(3, dtype=np.bool_)
    for each in (policy, once):
        pmf = each.pmf(each.scores(Context(), candidates), open_=open_)
        assert pmf == pytest.approx([10 / 12, 1 / 12, 1 / 12])
