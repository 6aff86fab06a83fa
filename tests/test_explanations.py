"""A reason is given where it moved the score, where it is true, and where it may be said; else a general one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from bandits.baselines import PopularityPolicy, StaticPolicy, UniformPolicy
from bandits.chain import Chain
from bandits.drawing import Drawn, draw_slate, everything_open
from bandits.exploration import Exploration
from bandits.policy import Basis, Policy
from recsys import features, reasonfile
from recsys.catalogue import BANK_CATALOGUE
from recsys.catalogue import load as load_catalogue
from recsys.reasons import Personal
from recsys.vocabulary import (
    NOTHING,
    Bools,
    Candidate,
    Context,
    CustomerId,
    Fact,
    FactValue,
    Floats,
    ProductId,
    Profile,
    Token,
)
from serving.explanations import Explainer
from tests import builders
from tests.builders import START

CATALOGUE = load_catalogue(BANK_CATALOGUE)
VOCABULARY = reasonfile.load()
SAVER: Mapping[str, FactValue] = {
    "signals": ("saver",),
    "savings_pence": 4_000_000,
    "balance_pence": 200_000,
    "monthly_income_pence": 300_000,
    "monthly_spend_pence": 200_000,
    "emergency_months": 5.0,
    "joined_on": "2018-01-01",
    "last_paid_on": "2026-03-01",
}


class Weighing:
    """A personal policy whose score is a weighted sum: who moves it is written in the test."""

    basis: Basis = "person"
    floor = 0.0
    name = "weighing@1"

    def __init__(self, weights: Mapping[tuple[str, str], float], *, level: float = 1.0) -> None:
        self.weights = weights  # (product, feature) → weight
        self.level = level

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        values = dict(zip(context.names, context.values, strict=True))
        return np.array([self._score(values | {"affinity": c.affinity or 0.0}, c.product_id) for c in candidates])

    def _score(self, values: Mapping[str, float], product: ProductId) -> float:
        return self.level + sum(w * values[name] for (of, name), w in self.weights.items() if of == product)

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return Exploration("greedy").pmf(scores, open_=open_)


def codes(
    policy: Policy,
    *,
    facts: Mapping[str, FactValue] = SAVER,
    shown: Sequence[ProductId] = ("pot",),
    path: str = "personalised",
    pinned: Sequence[ProductId] = (),
    affinity: float | None = None,
    drawn: Drawn | None = None,
) -> list[list[str]]:
    """The codes of what was shown, drawn in this order from a slate of its own."""
    profile = Profile(CustomerId("c-1"), Token("t-1"), {name: Fact(value, START) for name, value in facts.items()})
    context = features.context_of(profile, at=START, surface="home", given={})
    candidates = [Candidate(each, f"{each}-1", (), (), affinity) for each in shown]
    if drawn is None:
        rows = tuple(range(len(shown)))
        drawn = Drawn(policy.scores(context, candidates), np.eye(len(shown)), rows, (1.0,) * len(shown))
    given = Explainer(VOCABULARY).reasons(
        drawn,
        policy=policy,
        context=context,
        candidates=candidates,
        catalogue=CATALOGUE,
        facts=profile.facts,
        path=path,
        pinned=pinned,
    )
    return [[reason.code for reason in reasons] for reasons in given]


def test_trn_1_what_moved_the_score_most_comes_first_and_what_moved_it_little_is_not_said() -> None:
    policy = Weighing({("pot", "saver"): 0.3, ("pot", "log_savings"): 2.0, ("pot", "just_paid"): 0.02})
    assert codes(policy) == [["SAVINGS_HELD", "SAVES_REGULARLY"]]
    turned = Weighing({("pot", "saver"): 3.0, ("pot", "log_savings"): 2.0})
    assert codes(turned) == [["SAVES_REGULARLY", "SAVINGS_HELD"]]


def test_trn_1_a_factor_that_lowered_the_score_is_no_reason() -> None:
    assert codes(Weighing({("pot", "saver"): -0.5})) == [["AVAILABLE_TO_YOU"]]
    assert codes(Weighing({})) == [["AVAILABLE_TO_YOU"]]


def test_trn_1_a_fall_is_measured_against_the_size_of_the_score_also_below_zero() -> None:
    assert codes(Weighing({("pot", "saver"): 0.5}, level=-2.0)) == [["SAVES_REGULARLY"]]
    assert codes(Weighing({("pot", "saver"): 0.04}, level=-2.0)) == [["AVAILABLE_TO_YOU"]]
    assert codes(Weighing({}, level=0.0)) == [["AVAILABLE_TO_YOU"]]


def test_trn_1_features_that_tell_the_same_go_to_the_middle_together() -> None:
    """Having no savings and little of them are one thing: their weights are weighed up against each other."""
    poor = dict(SAVER) | {"savings_pence": 0, "signals": (), "emergency_months": 0.0}
    alone = Weighing({("pot", "no_savings"): 0.3})
    assert codes(alone, facts=poor) == [["NO_SAVINGS_YET"]]
    undone = Weighing({("pot", "no_savings"): 0.3, ("pot", "log_savings"): 0.5})
    assert codes(undone, facts=poor) == [["AVAILABLE_TO_YOU"]]


def test_trn_1_no_more_than_three_reasons_and_one_for_each_kind_of_data() -> None:
    loved = ("saver", "log_savings", "emergency", "saved_share", "just_paid", "log_tenure", "affinity")
    [given] = codes(Weighing({("pot", name): 2.0 for name in loved}), affinity=1.5)
    assert len(given) == 3
    categories = [category.category_id for code in given if (category := VOCABULARY.category(code))]
    assert len(set(categories)) == 3


def test_trn_1_a_sentence_that_is_not_true_of_the_customer_is_not_said() -> None:
    policy = Weighing({("pot", "saver"): 1.0, ("pot", "low_balance"): 1.0})
    assert codes(policy, facts=dict(SAVER) | {"signals": ()}) == [["AVAILABLE_TO_YOU"]]


def test_ops_6_what_is_not_known_is_not_said() -> None:
    """Who never told when they joined looks like a new customer to a policy; nobody may say so."""
    policy = Weighing({("pot", "log_tenure"): -2.0}, level=3.0)
    recent = dict(SAVER) | {"joined_on": "2025-12-01"}
    assert codes(policy, facts=recent) == [["NEW_WITH_US"]]
    unknown = {name: value for name, value in SAVER.items() if name != "joined_on"}
    assert codes(policy, facts=unknown) == [["AVAILABLE_TO_YOU"]]


def test_affinity_is_a_reason_where_it_moved_the_score() -> None:
    policy = Weighing({("pot", "affinity"): 0.5})
    assert codes(policy, affinity=1.0) == [["LIKE_YOURS"]]
    assert codes(policy, affinity=0.2) == [["AVAILABLE_TO_YOU"]]
    assert codes(policy, affinity=None) == [["AVAILABLE_TO_YOU"]]


def test_adv_2_what_moved_an_investment_or_credit_is_never_said() -> None:
    policy = Weighing({(product, "saver"): 5.0 for product in ("ss-isa", "pension", "loan")})
    assert codes(policy, shown=("ss-isa", "pension", "loan")) == [["AVAILABLE_TO_YOU"]] * 3


def test_mkt_3_on_the_broadcast_path_everyone_gets_the_same_reason_whatever_the_policy() -> None:
    policy = Weighing({("pot", "saver"): 5.0})
    assert codes(policy, path="broadcast") == [["SHOWN_TO_EVERYONE"]]


def test_mrm_6_a_pinned_product_says_that_we_chose_it() -> None:
    policy = Weighing({("pot", "saver"): 5.0})
    assert codes(policy, pinned=["pot"]) == [["SET_BY_US"]]


def test_a_policy_that_looks_at_nobody_claims_nothing_personal() -> None:
    shown = ("pot", "joint", "help")
    assert codes(StaticPolicy(shown), shown=shown) == [["AVAILABLE_TO_YOU"], ["AVAILABLE_TO_YOU"], ["OPEN_TO_EVERYONE"]]
    chain = Chain(("tapped",), (-1,), (1.0,), {})
    counts = [{"pot": (90.0, 100.0), "joint": (1.0, 100.0), "help": (2.0, 100.0)}]
    popular = PopularityPolicy("popular@1", counts=counts, chain=chain, exploration=Exploration("greedy"))
    assert codes(popular, shown=shown) == [["POPULAR"], ["AVAILABLE_TO_YOU"], ["OPEN_TO_EVERYONE"]]


def test_who_was_picked_by_chance_is_told_so_and_no_personal_reason() -> None:
    policy = Weighing({("pot", "saver"): 5.0, ("joint", "saver"): 1.0})
    pmf = np.array([[0.99, 0.01]])
    by_chance = Drawn(np.array([6.0, 2.0]), pmf, (1,), (0.01,))
    assert codes(policy, shown=("pot", "joint"), drawn=by_chance) == [["BY_CHANCE", "AVAILABLE_TO_YOU"]]
    by_score = Drawn(np.array([6.0, 2.0]), pmf, (0,), (0.99,))
    assert codes(policy, shown=("pot", "joint"), drawn=by_score) == [["SAVES_REGULARLY"]]
    [even] = codes(UniformPolicy(), drawn=Drawn(np.zeros(2), np.array([[0.5, 0.5]]), (0,), (0.5,)), shown=("pot",))
    assert even == ["BY_CHANCE", "AVAILABLE_TO_YOU"]


def test_the_null_choice_has_no_reason() -> None:
    assert codes(Weighing({}), shown=("pot", NOTHING)) == [["AVAILABLE_TO_YOU"], []]


@pytest.mark.parametrize("broken", ["raises", "nan", "knows no basis"])
def test_ops_2_an_explanation_that_fails_costs_no_answer(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Weighing):
        def pair_scores(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
            if broken == "raises":
                raise ValueError("personal detail")
            return np.full(len(candidates), np.nan)

    class Nameless(Broken):
        @property
        def basis(self) -> Basis:  # type: ignore[override]
            raise AttributeError("basis")

    policy = Broken({("pot", "saver"): 5.0})
    if broken == "knows no basis":
        policy = Nameless({("pot", "saver"): 5.0})
    assert codes(policy) == [["AVAILABLE_TO_YOU"]]
    assert "personal detail" not in caplog.text


def test_reasons_worked_out_again_from_the_record_are_the_same() -> None:
    facts = {name: Fact(value, START) for name, value in SAVER.items()}
    profile = Profile(CustomerId("c-1"), Token("t-1"), facts)
    context = features.context_of(profile, at=START, surface="home", given={})
    candidates = [Candidate(each, f"{each}-1", (), (), 1.0) for each in ("pot", "cash-isa")]
    policy = Weighing({("pot", "saver"): 1.0, ("pot", "affinity"): 1.0})
    drawn = draw_slate(
        policy, context, candidates, length=2, decision_id="d-1", mask_of=everything_open(len(candidates))
    )
    decision = replace(
        builders.decision("d-1", candidates=("pot", "cash-isa")), context=context, candidates=tuple(candidates)
    )
    explainer = Explainer(VOCABULARY)
    assert drawn.rows[0] == 0
    falls = {
        entry.reason.code: explainer.moves(decision, decision.slots[0], entry.reason, policy=policy)
        for entry in VOCABULARY.entries
        if isinstance(entry, Personal)
    }
    assert falls["LIKE_YOURS"] == pytest.approx(1 / 3)
    assert falls["SAVES_REGULARLY"] == pytest.approx(1 / 3)
    assert falls["SAVINGS_HELD"] == 0.0
    general = VOCABULARY.general("chance", CATALOGUE.product("pot"))
    assert explainer.moves(decision, decision.slots[0], general, policy=policy) is None
