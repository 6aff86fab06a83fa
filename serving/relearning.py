"""Learn recipes anew from the log before a moment, so that what came after can judge them.

The same lessons, in the same order, as the learner process would have learned by then; nothing is
published. What was decided from that moment on is then new to the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bandits.learner import make_learner
from bandits.policy import Policy
from bandits.recipe import Recipe
from recsys.errors import Misuse
from recsys.waiting import Closed
from serving.bootstrap import Installation
from serving.curriculum import STILL, Curriculum, learns_from, stages_of


def relearned(
    home: Installation, recipes: Sequence[Recipe], *, until: datetime, told: Callable[[int], None] = lambda _: None
) -> Mapping[str, Policy]:
    """Recipe name → the policy it would have been at `until`, named after that day.

    Raises `Misuse` where a recipe that learns found nothing to learn from.
    """
    learners = {recipe.name: make_learner(recipe, home.rewards) for recipe in recipes}
    stages = {recipe.name: stages_of(recipe, home.rewards) for recipe in recipes}
    forms = [recipe.reward for recipe in recipes]
    curriculum = Curriculum(home.rewards, forms=forms, bounds=home.settings.bounds, past=home.log)
    for event in home.log.read(until=home.log.position_before(until)):
        for each in curriculum.feed(event):
            if isinstance(each, Closed) or each.kind:
                continue
            for recipe in recipes:
                if learns_from(recipe, each, stages=stages[recipe.name]):
                    try:
                        learners[recipe.name].learn([each.lesson])
                    except Misuse:  # the learner process puts such a lesson into quarantine
                        continue
        told(event.position)
    for recipe in recipes:
        if recipe.learner not in STILL and not learners[recipe.name].taught:
            raise Misuse(
                f"{recipe.name} finds no lesson in the log before {until:%Y-%m-%d %H:%M}: choose a later time, or wait "
                "until the windows of cards that were seen have closed"
            )
    return {name: learner.snapshot(int(until.strftime("%Y%m%d"))) for name, learner in learners.items()}
