"""Dice, draws, slates, and finding out afterwards what does not add up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import MaskOf, dice, draw, draw_slate, everything_open, verify
from bandits.exploration import Exploration
from bandits.policy import Policy
from recsys.errors import InvalidPmf
from recsys.vocabulary import NOTHING, Bools, Candidate, Context, Decision, Floats, Slot
from tests.bandit_worlds import all_policies, drawn_decision, moment, products


class Broken(UniformPolicy):
    def __init__(self, *, scores: Floats | None = None, pmf: Floats | None = None) -> None:
        super().__init__("broken@1")
        self._scores, self._pmf = scores, pmf

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        return super().scores(context, candidates) if self._scores is None else self._scores

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return super().pmf(scores, open_=open_) if self._pmf is None else self._pmf


def test_dice_are_the_head_of_a_hash_that_anyone_can_compute() -> None:
    for slot in range(1, 20):
        head = int.from_bytes(hashlib.sha256(f"d-1:2:{slot}".encode()).digest()[:8], "big")
        assert Fraction(dice("d-1", slot=slot, redraws=2)) == Fraction(head >> 11, 2**53)


def test_dice_are_even_and_never_reach_one() -> None:
    thrown = np.array([dice(f"d-{i}", slot=1) for i in range(5000)])
    assert thrown.min() >= 0.0
    assert thrown.max() < 1.0
    counts, _ = np.histogram(thrown, bins=10, range=(0, 1))
    assert ((counts - 500) ** 2 / 500).sum() < 27.9  # chi-square, 9 degrees, 0.1 %


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0)), min_size=1, max_size=30).filter(any),
    u=st.one_of(st.floats(0.0, 1.0, exclude_max=True), st.just(1.0 - 2.0**-53)),
)
def test_a_candidate_without_probability_is_never_drawn(weights: list[float], u: float) -> None:
    pmf = np.array(weights) / sum(weights)
    assert pmf[draw(pmf, u=u)] > 0.0


def test_draws_come_with_their_probability() -> None:
    pmf = np.array([0.6, 0.0, 0.3, 0.1])
    drawn = np.bincount([draw(pmf, u=dice(f"d-{i}", slot=1)) for i in range(20_000)], minlength=4) / 20_000
    np.testing.assert_allclose(drawn, pmf, atol=0.015)


def test_the_slate_keeps_the_rules_and_greedy_order() -> None:
    candidates = products(null=False)
    family = {0: "savings", 1: "credit", 2: "savings", 3: "none"}

    def one_of_each_family(rows: Sequence[int]) -> Bools:
        taken = {family[row] for row in rows}
        return np.array([family[row] not in taken for row in range(4)])

    policy = StaticPolicy(["pot", "cash-isa", "loan", "budgeting"])
    drawn = draw_slate(policy, moment(), candidates, length=4, decision_id="d-1", mask_of=one_of_each_family)
    assert [candidates[row].product_id for row in drawn.rows] == ["pot", "loan", "budgeting"]
    assert drawn.propensities == (1.0, 1.0, 1.0)
    assert drawn.pmfs.shape == (3, 4)


def test_the_null_choice_ends_the_slate_with_its_propensity() -> None:
    slates = [drawn_decision(number, length=5) for number in range(40)]
    ended = [d for d in slates if d.slots[-1].product_id == NOTHING]
    assert len(ended) == 40  # uniform over five: the null choice always comes in five slots
    first = [d for d in ended if len(d.slots) == 1]
    assert first
    assert all(d.slots[0].propensity == 0.2 and not d.shown for d in first)


def test_a_redraw_throws_other_dice() -> None:
    drawn = {
        draw_slate(
            UniformPolicy(),
            moment(),
            products(),
            length=3,
            decision_id="d-1",
            mask_of=everything_open(5),
            redraws=redraws,
        ).rows
        for redraws in range(8)
    }
    assert len(drawn) > 3


def everything_closed(n: int) -> MaskOf:
    return lambda rows: np.zeros(n, dtype=np.bool_)


def test_nothing_to_choose_from_is_an_empty_slate() -> None:
    for candidates in ([], products()):
        drawn = draw_slate(
            UniformPolicy(),
            moment(),
            candidates,
            length=3,
            decision_id="d-1",
            mask_of=everything_closed(len(candidates)),
        )
        assert drawn.rows == ()
        assert drawn.pmfs.shape == (0, len(candidates))


@pytest.mark.parametrize(
    "broken",
    [
        Broken(scores=np.array([0.0, np.nan, 0.0, 0.0, 0.0])),
        Broken(scores=np.array([0.0, np.inf, 0.0, 0.0, 0.0])),
        Broken(scores=np.zeros(3)),
        Broken(pmf=np.full(5, 0.3)),
        Broken(pmf=np.array([1.5, -0.5, 0.0, 0.0, 0.0])),
        Broken(pmf=np.full(5, np.nan)),
    ],
    ids=["nan", "infinite", "too few", "above one", "negative", "no numbers"],
)
def test_a_broken_policy_never_draws(broken: Broken) -> None:
    with pytest.raises(InvalidPmf, match="broken@1"):
        draw_slate(broken, moment(), products(), length=1, decision_id="d", mask_of=everything_open(5))


@pytest.mark.parametrize("policy", all_policies(), ids=lambda policy: policy.name)
def test_what_was_drawn_verifies(policy: Policy) -> None:
    for number in range(20):
        assert not verify(drawn_decision(number, policy=policy))


def test_what_was_tampered_with_is_named() -> None:
    honest = drawn_decision(4)
    assert len(honest.slots) == 3
    first = honest.slots[0]
    other = next(c for c in honest.candidates if c.product_id != first.product_id)
    pmfs = honest.pmfs.copy()
    pmfs[1] = np.roll(pmfs[1], 1)

    def with_slot(slot: Slot) -> Decision:
        return replace(honest, slots=(slot, *honest.slots[1:]))

    tampered = {
        "propensity": with_slot(replace(first, propensity=np.nextafter(first.propensity, 1))),
        "the dice draw": with_slot(replace(first, product_id=other.product_id)),
        "slot number": with_slot(replace(first, number=2)),
        "closed candidate": replace(honest, pmfs=pmfs),
        "for 2 slots": replace(honest, slots=honest.slots[:2]),
        "goes on": replace(
            honest,
            candidates=tuple(
                replace(c, product_id=NOTHING) if c.product_id == first.product_id else c for c in honest.candidates
            ),
            slots=(replace(first, product_id=NOTHING), *honest.slots[1:]),
        ),
    }
    for why, decision in tampered.items():
        assert any(why in mismatch.what for mismatch in verify(decision).found), why
    assert any(verify(replace(honest, redraws=redraws)) for redraws in range(1, 5))


def test_scores_are_computed_once_a_slate() -> None:
    class Counting(UniformPolicy):
        asked = 0

        def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
            self.asked += 1
            return super().scores(context, candidates)

    policy = Counting()
    draw_slate(policy, moment(), products(), length=4, decision_id="d-1", mask_of=everything_open(5))
    assert policy.asked == 1


def test_exploration_costs_what_it_is_declared_to() -> None:
    scores = np.array([0.03, 0.02, 0.01, 0.0])
    pmf = Exploration("epsilon_greedy", epsilon=0.04).pmf(scores, open_=np.ones(4, dtype=np.bool_))
    assert pmf.tolist() == [0.97, 0.01, 0.01, 0.01]
