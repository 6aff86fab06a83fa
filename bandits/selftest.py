"""A self-test at the start of every learner: does the context matter to what it learns?

Without crossed features the context has no effect, and nothing warns (architecture.md, lessons).
"""

from __future__ import annotations

from dataclasses import replace

from bandits.chain import one_stage
from bandits.learner import make_learner
from bandits.recipe import Recipe
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Candidate, Context

PERSONAL = ("linear", "vowpal")
"""Learners whose policies look at the customer's moment."""
_LESSONS = 200


def context_matters(recipe: Recipe) -> bool:
    """Whether a learner that is taught that two products suit two contexts then tells them apart."""
    learner = make_learner(replace(recipe, reward="attributed"), one_stage())  # one stage has no other form
    contexts = [Context(("payday", "travel"), values) for values in ((1.0, 0.0), (0.0, 1.0))]
    products = [Candidate("pot"), Candidate("card")]
    for i in range(_LESSONS):
        here, product = i % 2, i // 2 % 2
        learner.teach(contexts[here], products[product], stage="reward", label=float(here == product))
    policy = learner.snapshot(0)
    return all(int(policy.scores(context, products).argmax()) == i for i, context in enumerate(contexts))


def checked_recipe(recipe: Recipe) -> Recipe:
    """Return a recipe whose learner, if it is a personal one, heeds the context; raises `InvalidConfiguration`."""
    if recipe.learner in PERSONAL and not context_matters(recipe):
        raise InvalidConfiguration(
            f"recipe {recipe.name}: its learner does not heed the context, so it would show everybody the same; "
            "mend its options, or call it popularity"
        )
    return recipe
