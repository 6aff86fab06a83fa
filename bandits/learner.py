"""From a recipe to a learner or a policy: the one place that knows which class a recipe means."""

from __future__ import annotations

from bandits import counting, linear, vowpal
from bandits.counting import PopularityLearner, StillLearner
from bandits.linear import LinearLearner
from bandits.policy import Policy
from bandits.recipe import LEARNERS, Learner, Options, Recipe, parse_recipes
from bandits.vowpal import VowpalLearner
from recsys.errors import Corrupt
from recsys.rewards import Rewards

__all__ = ["LEARNERS", "Learner", "Options", "Recipe", "from_state", "load_policy", "make_learner", "parse_recipes"]


def make_learner(recipe: Recipe, rewards: Rewards) -> Learner:
    """A learner that knows nothing yet; raises `InvalidConfiguration` for options it has not."""
    if recipe.learner == vowpal.KIND:
        return vowpal.new(recipe, rewards)
    if recipe.learner == linear.KIND:
        return linear.new(recipe, rewards)
    return counting.new(recipe, rewards)


def from_state(recipe: Recipe, state: bytes) -> Learner:
    """The learner that `state` was taken from; raises `Corrupt`, or `InvalidConfiguration` for another recipe's."""
    if recipe.learner == vowpal.KIND:
        return VowpalLearner.from_state(recipe, state)
    if recipe.learner == LinearLearner.kind:
        return LinearLearner.from_state(recipe, state)
    if recipe.learner == PopularityLearner.kind:
        return PopularityLearner.from_state(recipe, state)
    return StillLearner.from_state(recipe, state)


def load_policy(recipe: Recipe, state: bytes, version: int) -> Policy:
    """The snapshot `recipe.name@version` of a stored state; what the API serves.

    Raises `Corrupt` for bytes that are no state, `InvalidConfiguration` for another recipe's.
    """
    if not state:
        raise Corrupt(f"recipe {recipe.name}: an empty state")
    if recipe.learner == vowpal.KIND:
        return vowpal.load_policy(recipe, state, version=version)
    return from_state(recipe, state).snapshot(version)
