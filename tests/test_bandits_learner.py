"""Recipes, and the baselines that a bandit has to beat."""

from __future__ import annotations

import pytest

from bandits.baselines import StaticPolicy
from bandits.exploration import Exploration
from bandits.learner import Recipe, make_learner, parse_recipes
from bandits.state import pack, unpack
from recsys.errors import Corrupt, InvalidConfiguration, Misuse
from recsys.vocabulary import NOTHING, Candidate, Context
from tests.bandit_worlds import REWARDS, drawn_decision, lesson, products

TEXT = """
[[recipe]]
name = "bandit"
learner = "vowpal"
shares_traffic = true
[recipe.options]
learning_rate = 0.25
loss = "squared"
[recipe.exploration]
kind = "epsilon_greedy"
epsilon = 0.05

[[recipe]]
name = "popular"
learner = "popularity"
"""


def test_recipes_are_read_and_named_exactly() -> None:
    bandit, popular = parse_recipes(TEXT)
    assert bandit.options == {"learning_rate": 0.25, "loss": "squared"}
    assert bandit.exploration == Exploration("epsilon_greedy", epsilon=0.05)
    assert bandit.shares_traffic
    assert not popular.shares_traffic
    assert bandit.digest == parse_recipes(TEXT)[0].digest
    changed = parse_recipes(TEXT.replace("epsilon = 0.05", "epsilon = 0.06"))[0]
    assert changed.digest != bandit.digest
    assert make_learner(bandit, REWARDS).snapshot(3).name == "bandit@3"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[recipe", "recipes.toml"),
        ('[[recipe]]\nname = "Bandit!"', "lower-case"),
        ('[[recipe]]\nlearner = "vowpal"', "name"),
        ('[[recipe]]\nname = "a"\nlearner = "magic"', '"magic" is no learner'),
        ('[[recipe]]\nname = "a"\nlearning = "vowpal"', "unknown key learning"),
        ('[[recipe]]\nname = "a"\n[recipe.exploration]\nepsilons = 1', "unknown key epsilons"),
        ('[[recipe]]\nname = "a"\n[recipe.exploration]\nepsilon = 2.0', "epsilon"),
        ('[[recipe]]\nname = "a"\n[recipe.exploration]\nepsilon = "much"', "a"),
        ('[[recipe]]\nname = "a"\n[recipe.options]\nbits = true', "option bits"),
        ('[[recipe]]\nname = "a"\n[[recipe]]\nname = "a"', "twice"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_name(text: str, why: str) -> None:
    with pytest.raises(InvalidConfiguration, match=why):
        parse_recipes(text, where="recipes.toml")


@pytest.mark.parametrize("learner", ["popularity", "uniform", "static"])
def test_unknown_options_of_baselines_are_refused(learner: str) -> None:
    with pytest.raises(InvalidConfiguration, match="option"):
        make_learner(Recipe("x", learner=learner, options={"speed": 2.0}), REWARDS)


def _popular(by: str) -> list[str]:
    learner = make_learner(
        Recipe("p", learner="popularity", options={"by": by}, exploration=Exploration("greedy")), REWARDS
    )
    for product, tapped, opened in (("pot", 60, 2), ("loan", 30, 20), ("cash-isa", 5, 0)):
        for i in range(100):
            learner.teach(Context(), Candidate(product), stage="tapped", label=float(i < tapped))
        for i in range(tapped):
            learner.teach(Context(), Candidate(product), stage="opened", label=float(i < opened))
    learner.teach(Context(), Candidate("budgeting"), stage="tapped", label=1.0)  # one lucky tap
    scores = learner.snapshot(1).scores(Context(), products())
    return [products()[i].product_id for i in (-scores).argsort(kind="stable")]


def test_popularity_by_taps_and_by_value_differ_as_they_should() -> None:
    assert _popular("taps") == ["pot", "budgeting", "loan", "cash-isa", NOTHING]
    assert _popular("value")[0] == "loan"


def test_a_fixed_order_is_kept_and_the_null_choice_comes_last() -> None:
    policy = StaticPolicy(["loan", "pot"], name="approved@4")
    scores = policy.scores(Context(), products())
    order = [products()[i].product_id for i in (-scores).argsort(kind="stable")]
    assert order == ["loan", "pot", "cash-isa", "budgeting", NOTHING]


def test_the_null_choice_teaches_nothing() -> None:
    decision = next(d for d in map(drawn_decision, range(100)) if d.slots[-1].product_id == NOTHING)
    with pytest.raises(Misuse, match="null choice"):
        make_learner(Recipe("fair", learner="uniform"), REWARDS).learn([lesson(decision, decision.slots[-1])])


def test_states_that_do_not_add_up_are_corrupt() -> None:
    good = pack({"kind": "uniform"})
    assert unpack(good)[0] == {"kind": "uniform"}
    for bad in (b"", good[:20], good[:-1], good + b"\0", good.replace(b"{", b"[")):
        with pytest.raises(Corrupt):
            unpack(bad)
