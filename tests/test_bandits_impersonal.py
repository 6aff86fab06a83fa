"""What is learned of advice-sensitive products is learned of everybody, and scores them for everybody alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandits.impersonal import scores_of
from bandits.learner import make_learner
from bandits.recipe import parse_recipes
from bandits.teaching import checked_values
from recsys import features, rewards
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.vocabulary import Candidate, Context
from serving.settings import Settings
from tests.builders import START
from tests.rules.people import profile_of

CATALOGUE = load(BANK_CATALOGUE)
COARSE = {"ss-isa", "pension"}
REWARDS = rewards.load().with_values({product.product_id: product.value for product in CATALOGUE.products})
RECIPES = [
    recipe
    for recipe in parse_recipes(Settings().recipes.read_text(encoding="utf-8"), where="recipes.toml")
    if recipe.learner in ("linear", "vowpal")
]


def context(**facts: object) -> Context:
    return features.context_of(profile_of(facts), at=START, surface="home", given={})


def candidates(affinity: float = 0.0) -> list[Candidate]:
    return [features.candidate_of(product, affinity=affinity) for product in CATALOGUE.products]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_adv_2_no_learned_feature_of_the_customer_moves_the_score_of_what_is_advice_sensitive(recipe) -> None:
    learner = make_learner(recipe, REWARDS)
    rng = np.random.default_rng(5)
    rich, poor = context(savings_pence=9_000_000, signals=("saver",)), context(savings_pence=0, balance_pence=5_000)
    for _ in range(300):
        candidate = candidates()[rng.integers(21)]
        who = rich if rng.random() < 0.5 else poor
        learner.teach(who, candidate, stage="tapped", label=float(who is rich))
    policy = learner.snapshot(1)
    first = scores_of(policy, rich, candidates(affinity=2.0))
    second = scores_of(policy, poor, candidates(affinity=-2.0))
    same = {candidate.product_id: one == two for candidate, one, two in zip(candidates(), first, second, strict=True)}
    assert all(same[name] for name in COARSE)
    assert sum(same.values()) < len(same) / 2  # the others are made for the person
    others = [row for row, candidate in enumerate(candidates()) if candidate.product_id not in COARSE]
    np.testing.assert_array_equal(first[others], policy.scores(rich, candidates(affinity=2.0))[others])


def test_adv_2_a_lesson_of_it_teaches_nothing_of_the_person() -> None:
    chain = make_learner(RECIPES[0], REWARDS).chain
    product = features.candidate_of(CATALOGUE.product("pension"), affinity=1.5)
    extra = replace(product, names=(*product.names, "seen_lately"), values=(*product.values, 3.0))
    taught = checked_values(context(savings_pence=10**8), extra, stage="tapped", label=1.0, chain=chain)
    again = checked_values(context(savings_pence=0), product, stage="tapped", label=1.0, chain=chain)
    assert (taught.context, taught.candidate) == (again.context, again.candidate)
    assert taught.candidate.affinity is None
    own = features.candidate_of(CATALOGUE.product("pot"), affinity=1.5)
    assert checked_values(context(), own, stage="tapped", label=1.0, chain=chain).candidate == own


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-2, 2), min_size=len(features.NAMES), max_size=len(features.NAMES)))
def test_an_impersonal_context_keeps_the_calendar_and_nothing_made_from_a_fact(values: list[float]) -> None:
    plain = features.impersonal_context(Context(features.NAMES, tuple(values)))
    kept = {name: value for name, value in zip(plain.names, plain.values, strict=True) if value}
    personal = {feature.name for feature in features.CUSTOMER + features.MOMENT if feature.reads}
    assert not personal & set(kept)
    assert plain == features.impersonal_context(plain)
