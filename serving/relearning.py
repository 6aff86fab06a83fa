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
from recsys.joining import Joiner
from recsys.vocabulary import Lesson, PermissionChange, Token
from serving.bootstrap import Installation
from serving.learner_loop import STILL, is_traffic_of, teaches


def relearned(
    home: Installation, recipes: Sequence[Recipe], *, until: datetime, told: Callable[[int], None] = lambda _: None
) -> Mapping[str, Policy]:
    """Recipe name → the policy it would have been at `until`, named after that day.

    Raises `Misuse` where a recipe that learns found nothing to learn from.
    """
    learners = {recipe.name: make_learner(recipe, home.rewards) for recipe in recipes}
    joiner, objected = Joiner(home.rewards), set[Token]()
    for event in home.log.read(until=home.log.position_before(until)):
        for each in joiner.feed(event):
            if not isinstance(each, Lesson) or not teaches(each.decision) or each.decision.token in objected:
                continue
            for recipe in recipes:
                if recipe.learner not in STILL and is_traffic_of(recipe, each.decision):
                    try:
                        learners[recipe.name].learn([each])
                    except Misuse:  # the learner process puts such a lesson into quarantine
                        continue
        if isinstance(event.body, PermissionChange):
            allowed = event.body.permissions.in_app and event.body.permissions.objected_at is None
            (objected.discard if allowed else objected.add)(event.body.token)
        told(event.position)
    for recipe in recipes:
        if recipe.learner not in STILL and not learners[recipe.name].taught:
            raise Misuse(f"{recipe.name} finds no lesson in the log before {until:%Y-%m-%d %H:%M}: choose a later time")
    return {name: learner.snapshot(int(until.strftime("%Y%m%d"))) for name, learner in learners.items()}
