"""Names → what is judged: a recipe as it serves now, a recipe learned anew, or a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.targets import LoggedTarget, PolicyTarget
from recsys import artefacts
from recsys.errors import Misuse
from recsys.facts import nearest
from recsys.rewards import Rewards
from serving.bootstrap import Installation
from serving.curriculum import STILL
from serving.intake import ALWAYS_KNOWN
from serving.judging import Candidate
from serving.live_policy import policy_name
from serving.relearning import relearned

AS_LOGGED, UNIFORM, CATALOGUE_ORDER = "as-logged", "uniform", "catalogue-order"
BASELINES = (AS_LOGGED, UNIFORM, CATALOGUE_ORDER)


def candidates_of(
    home: Installation,
    names: Sequence[str],
    *,
    learn_until: datetime | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> list[Candidate]:
    """What to judge under each name. With `learn_until`, recipes are learned anew from the log before it.

    Raises `Misuse` for a name that is none, and for a recipe that has no snapshot yet.
    """
    recipes = {recipe.name: recipe for recipe in home.recipes}
    for name in names:
        if name not in recipes and name not in BASELINES:
            known = dict.fromkeys((*recipes, *BASELINES))
            raise Misuse(
                f'no recipe or baseline is called "{name}"{nearest(name, among=known)}; there are {", ".join(known)}'
            )
    anew = [recipes[name] for name in dict.fromkeys(names) if name in recipes and learn_until is not None]
    learned = {} if learn_until is None else relearned(home, anew, until=learn_until, told=told)
    return [
        Candidate(PolicyTarget(learned[name])) if name in learned else _as_it_stands(home, name, known=set(recipes))
        for name in names
    ]


def _as_it_stands(home: Installation, name: str, *, known: set[str]) -> Candidate:
    if name in known:
        live = home.live.policy(name)
        if live is not None:
            manifest = artefacts.read(home.settings.artefacts, policy_name(name), live.snapshot).manifest
            still = home.live.recipes[name].learner in STILL
            return Candidate(PolicyTarget(live.policy), 0 if still else int(manifest["position"]))
        if name != UNIFORM:
            raise Misuse(f"{name} has no snapshot yet: run `recsys learn --once`, or judge it with --learn-until")
    if name == AS_LOGGED:
        return Candidate(LoggedTarget())
    if name == CATALOGUE_ORDER:
        return Candidate(PolicyTarget(StaticPolicy(home.offers.current.catalogue.ids, name="catalogue-order@0")))
    return Candidate(PolicyTarget(UniformPolicy()))


def known_outcome(rewards: Rewards, outcome: str | None) -> str | None:
    """The kind of outcome that was named, or `Misuse` where there is no such kind."""
    known = sorted((rewards.kinds | ALWAYS_KNOWN) - {"seen"})
    if outcome is not None and outcome not in known:
        raise Misuse(f'"{outcome}" is no kind of outcome; there are {", ".join(known)}')
    return outcome
