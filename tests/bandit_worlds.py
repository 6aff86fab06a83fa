"""What the tests of the bandits share: recipes of every kind, moments, products, real lessons."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from bandits.adjusting import Adjusted
from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import draw_slate, everything_open
from bandits.exploration import Exploration
from bandits.learner import Learner, Recipe, make_learner
from bandits.policy import Policy
from bandits.relevance import RelevancePolicy
from recsys import rewards
from recsys.vocabulary import NOTHING, Candidate, Context, Decision, Lesson, Slot
from tests import builders

NAMES = ("payday", "low_balance", "savings")
PRODUCT_NAMES = ("family:savings", "family:credit")
REWARDS = rewards.parse(
    """
version = "test"
[[stage]]
name = "tapped"
window = "1d"
worth = 0.1
[[stage]]
name = "opened"
given = "tapped"
window = "7d"
worth = "value"
[[stage]]
name = "dismissed"
window = "1d"
worth = -0.2
""",
    where="test",
).with_values({"pot": 2.0, "loan": 5.0})

RECIPES = (
    Recipe("vowpal-greedy", options={"bits": 12}),
    Recipe("vowpal-squared", options={"bits": 12, "loss": "squared", "knots": 3}, exploration=Exploration("softmax")),
    Recipe("vowpal-squarecb", options={"bits": 12}, exploration=Exploration("squarecb", epsilon=0.02)),
    Recipe("linear", learner="linear"),
    Recipe("linear-bent", learner="linear", options={"knots": 3, "context": 1.0}, exploration=Exploration("softmax")),
    Recipe(
        "linear-waves",
        learner="linear",
        options={"waves": 8, "context": 3.0, "keep": 0.99, "keep_per": "lesson"},
        exploration=Exploration("squarecb", epsilon=0.02, bonus=1.0),
    ),
    Recipe("vowpal-hopeful", options={"bits": 12, "keep": 0.9}, exploration=Exploration("softmax", bonus=0.5)),
    Recipe("vowpal-rehearsing", options={"bits": 12, "replays": 3, "replayed": 20, "regression": "mtr"}),
    Recipe("vowpal-robust", options={"bits": 12, "loss": "squared", "regression": "dr", "learning_rate": 0.05}),
    Recipe("linear-forgetful", learner="linear", options={"keep": 0.9}),
    Recipe("linear-quota", learner="linear", exploration=Exploration(quota=0.2, new_until=12.0)),
    Recipe("vowpal-quota", options={"bits": 12}, exploration=Exploration("squarecb", epsilon=0.02, quota=0.1)),
    Recipe("taps", learner="popularity"),
    Recipe("forgetful", learner="popularity", options={"keep": 0.9}),
    Recipe("value", learner="popularity", options={"by": "value", "strength": 5.0}),
    Recipe("fair", learner="uniform"),
    Recipe("fixed", learner="static", options={"order": "loan, pot"}),
)


def moment(seed: int = 0) -> Context:
    """One customer's moment."""
    return Context(NAMES, tuple(np.random.default_rng(seed).normal(size=len(NAMES)).tolist()))


def products(*, null: bool = True) -> list[Candidate]:
    """Four products with features and affinities, and the null choice."""
    real = [
        Candidate("pot", "pot-a", PRODUCT_NAMES, (1.0, 0.0), 0.4, 2.5),
        Candidate("loan", "loan-a", PRODUCT_NAMES, (0.0, 1.0), -1.2),
        Candidate("cash-isa", "cash-isa-a", PRODUCT_NAMES, (1.0, 0.0), None),
        Candidate("budgeting", "budgeting-a"),
    ]
    return [*real, Candidate(NOTHING)] if null else real


def all_learners() -> list[Learner]:
    """One fresh learner of every kind."""
    return [make_learner(recipe, REWARDS) for recipe in RECIPES]


def all_policies() -> list[Policy]:
    """Every policy there is, the learned ones after some lessons."""
    learned = []
    for recipe in RECIPES:
        learner = make_learner(recipe, REWARDS)
        learner.learn(lessons(60))
        learned.append(learner.snapshot(7))
    steered = [
        Adjusted(learned[4], pins=("cash-isa", "gone")),
        Adjusted(learned[4], boosts={"loan": 4.0, "pot": 0.2, "gone": 9.0}),
        Adjusted(UniformPolicy(), pins=("budgeting",), boosts={"pot": 3.0}),
    ]
    return [
        UniformPolicy(),
        StaticPolicy(["loan", "pot"]),
        RelevancePolicy({"pot": 0.9, "loan": 0.85}),
        *learned,
        *steered,
    ]


def drawn_decision(number: int, *, policy: Policy | None = None, length: int = 3) -> Decision:
    """A decision whose slate was really drawn."""
    context, candidates = moment(number), products()
    policy = policy or UniformPolicy()
    drawn = draw_slate(
        policy,
        context,
        candidates,
        length=length,
        decision_id=f"d-{number}",
        mask_of=everything_open(len(candidates)),
    )
    slots = tuple(
        Slot(i + 1, candidates[row].product_id, candidates[row].creative_id, drawn.propensities[i])
        for i, row in enumerate(drawn.rows)
    )
    return replace(
        builders.decision(f"d-{number}"),
        policy=policy.name,
        context=context,
        candidates=tuple(candidates),
        scores=drawn.scores,
        pmfs=drawn.pmfs,
        slots=slots,
    )


def lessons(n: int, *, seed: int = 0) -> list[Lesson]:
    """n lessons from drawn slates: savers at payday tap the pot, others seldom tap anything."""
    rng, made, number = np.random.default_rng(seed), [], seed * 100_000
    while len(made) < n:
        decision = drawn_decision(number)
        number += 1
        for slot in decision.shown:
            stage = ("tapped", "opened", "dismissed")[int(rng.integers(3))]
            likely = 0.8 if slot.product_id == "pot" and decision.context.values[0] > 0 else 0.1
            made.append(lesson(decision, slot, stage=stage, happened="yes" if rng.random() < likely else "no"))
    return made[:n]


def lesson(decision: Decision, slot: Slot, *, stage: str = "tapped", happened: str = "yes") -> Lesson:
    """A lesson of one slot."""
    row = [candidate.product_id for candidate in decision.candidates].index(slot.product_id)
    return Lesson(decision, slot, row, stage, happened == "yes", datetime(2026, 3, 9, tzinfo=UTC), 1)
