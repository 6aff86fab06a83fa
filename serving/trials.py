"""Experiments steered: made, started, stopped and decided, for the command line and for HTTP alike.

Every change says who and why and stays in the experiment's history. Deciding for a variant names its
recipe champion; that needs somebody with the scope approve who did not make the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from recsys.checklist import Checklist, baseline_of, checklist_of
from recsys.errors import Conflict, InvalidConfiguration
from recsys.experiments import Experiment
from recsys.promotions import CHAMPION, Promotion
from recsys.scorecards import Scorecard, ordered_by_role
from serving import inventory
from serving.bootstrap import Installation


def create(home: Installation, experiments: Sequence[Experiment], *, by: str, why: str, where: str) -> None:
    """Keep them all, or none: each is checked first. Raises `InvalidConfiguration` or `Conflict`."""
    for experiment in experiments:
        try:
            check(home, experiment)
        except InvalidConfiguration as error:
            raise InvalidConfiguration(f"{where}: {error}") from None
    for experiment in experiments:
        home.register.create(experiment, by=by, why=why, at=home.clock.now())


def check(home: Installation, experiment: Experiment) -> None:
    """Raise `InvalidConfiguration` where it names what is not there, or shares what it does not declare."""
    recipes = {recipe.name: recipe for recipe in home.recipes}
    name = f"experiment {experiment.experiment_id}"
    for variant in experiment.variants:
        if variant.recipe and variant.recipe not in recipes:
            known = ", ".join(sorted(recipes))
            raise InvalidConfiguration(f'{name}: no recipe is called "{variant.recipe}"; known are {known}')
        if variant.recipe and recipes[variant.recipe].shares_traffic and experiment.sharing == "own":
            raise InvalidConfiguration(
                f'{name}: the recipe {variant.recipe} learns from all traffic; declare sharing = "shared", or let it '
                "learn from its own"
            )
    ordered_by_role(experiment, metrics=home.metrics())


def checklist(home: Installation, experiment_id: str) -> Checklist:
    """What must be known before the start; raises `UnknownExperiment`."""
    return checklist_for(home, home.register.experiment(experiment_id))


def checklist_for(home: Installation, experiment: Experiment) -> Checklist:
    """What must be known before the start of an experiment, whether or not it is kept yet."""
    metrics, now = home.metrics(), home.clock.now()
    metric = ordered_by_role(experiment, metrics=metrics)[0]
    since = home.log.position_before(now - metric.window - timedelta(days=15))
    return checklist_of(
        experiment, metrics=metrics, baseline=baseline_of(home.log.glance(after=since), metric=metric, until=now)
    )


def start(home: Installation, experiment_id: str, *, by: str, why: str) -> Experiment:
    """Let it assign units. Raises `Conflict` where the checklist says no, and like `Register.move`."""
    check(home, home.register.experiment(experiment_id))
    if stops := checklist(home, experiment_id).stops:
        raise Conflict(f"experiment {experiment_id} cannot start: {stops[0].question} {stops[0].answer}")
    return home.register.move(experiment_id, state="running", by=by, why=why, at=home.clock.now())


def ramp(home: Installation, experiment_id: str, *, share: float, by: str, why: str) -> Experiment:
    """Let more of its units in from now on; those that are in keep what they have."""
    return home.register.ramp(experiment_id, share=share, by=by, why=why, at=home.clock.now())


def stop(home: Installation, experiment_id: str, *, by: str, why: str) -> Experiment:
    """End its assignment; what it showed stays readable."""
    return home.register.move(experiment_id, state="stopped", by=by, why=why, at=home.clock.now())


def crowned(home: Installation, experiment_id: str, *, variant: str, by: str, card: Scorecard | None = None) -> str:
    """The recipe that deciding a stopped experiment for a variant would make champion, "" where it would make none.

    Raises `Conflict` where the read-out does not crown the variant or `by` made its recipe,
    `InvalidConfiguration` for an unknown variant.
    """
    experiment = home.register.experiment(experiment_id)
    if experiment.state != "stopped":
        raise Conflict(f"{experiment_id} is {experiment.state}: stop it before its read-out decides")
    named = next((each for each in experiment.variants if each.name == variant), None)
    if named is None:
        known = ", ".join(each.name for each in experiment.variants)
        raise InvalidConfiguration(f'{experiment_id}: no variant is called "{variant}"; there are {known}')
    if variant == experiment.control:
        return ""
    card = card or home.scorecard(experiment_id)
    ours = next(c for c in card.primary.comparisons if c.variant == variant)
    if ours.judgement.kind != "better":
        raise Conflict(f"{experiment_id} does not crown {variant}: {ours.judgement.sentence}")
    if card.alarms:
        raise Conflict(f"{experiment_id} does not crown {variant}: {card.alarms[0]}")
    if named.recipe:  # else configurations are the app's own: there is no recipe to promote
        entry = inventory.load(home.settings.inventory).get(named.recipe)
        if entry is None:
            raise Conflict(f"{named.recipe} has no entry in the inventory")
        if entry.author == by:
            raise Conflict(f"{by} made {named.recipe} and may not approve it: somebody else has to")
    return named.recipe


def decide(
    home: Installation, experiment_id: str, *, variant: str, by: str, why: str, link: str = "", evidence: str = "",
    card: Scorecard | None = None,
) -> Promotion | None:  # fmt: skip
    """Decide a stopped experiment for a variant; where that is not the control, its recipe becomes champion.

    Keeping the control changes nothing else: None. `card` is its scorecard where that is known. Raises as `crowned`.
    """
    card = card or home.scorecard(experiment_id)
    recipe = crowned(home, experiment_id, variant=variant, by=by, card=card)
    promotion = None
    if recipe:
        ours = next(c for c in card.primary.comparisons if c.variant == variant)
        found = next(each for each in home.recipes if each.name == recipe)
        said = f"{experiment_id}: {ours.judgement.sentence}"
        promotion = Promotion(CHAMPION, recipe, found.digest, by, said, evidence, home.clock.now())
    home.register.move(experiment_id, state="decided", by=by, why=f"{variant}: {why}", link=link, at=home.clock.now())
    if promotion is not None:
        home.promotions.name(promotion)
    return promotion
