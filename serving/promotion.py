"""Promotion: a recipe before the gate, the evidence it leaves, and who is champion.

A recipe becomes challenger by passing the gate; champion by an experiment's read-out, or by a named
override that expires. A refusal gives its reasons and changes nothing; only the look that was taken
stays recorded, because taking it spent some of the error that all looks together may make.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import EllipsisType
from typing import Any

from bandits.recipe import Recipe
from recsys import keys
from recsys.promotions import CHAMPION, Promotion
from recsys.scorecards import Scorecard
from recsys.tracking import Parameter, Tracker
from serving import charts
from serving.bootstrap import Installation
from serving.hearing import Heard
from serving.inventory import Entry
from serving.judged_report import metrics_of, rows_of, told

EXPERIMENT = "promotions"


def objections(
    entry: Entry | None, *, recipe: Recipe, surface: str, approver: keys.Key | None, home: Installation
) -> Iterator[str]:
    """What stands against a recipe before any number is looked at."""
    if entry is None:
        yield f"{recipe.name} has no entry in the inventory"
        return
    for name in entry.missing():
        yield f"the inventory entry of {recipe.name} has no {name}"
    if entry.surfaces and surface not in entry.surfaces:
        yield f"{recipe.name} is not meant for {surface} (its entry allows {', '.join(entry.surfaces)})"
    offered = {p.regulated_class for p in home.offers.current.catalogue.products if surface in p.surfaces}
    if entry.product_classes and (beyond := sorted(offered - set(entry.product_classes))):
        yield f"{surface} shows {', '.join(beyond)} products, which the entry of {recipe.name} does not allow"
    if approver is None:
        yield "nobody approves it: give a key with the scope approve (--approve-key, or RECSYS_APPROVE_KEY)"
    elif keys.Scope.APPROVE not in approver.scopes:
        yield f"the key {approver.name} has no scope approve"
    elif approver.name == entry.author:
        yield f"{approver.name} made {recipe.name} and may not approve it: somebody else has to"


def evidence_of(found: Heard, *, tracker: Tracker, approver: str) -> str:
    """Write a hearing down, passed or not; the run's id."""
    parameters: dict[str, Parameter] = {
        "recipe": found.recipe.name,
        "recipe_digest": found.recipe.digest,
        "champion": found.champion.name,
        "surface": found.surface,
        "look": found.ruling.look,
        "alpha": found.ruling.alpha,
        "margin": found.terms.margin,
        "approver": approver,
        "passed": found.ruling.passed,
    }
    name = f"{found.recipe.name} {'passed' if found.ruling.passed else 'refused'}"
    with tracker.run(
        name, experiment=EXPERIMENT, parameters=parameters, tags={"log_digest": found.judged.digest}
    ) as run:
        run.record(metrics_of(found.judged) | {"clearance": found.ruling.value.clearance})
        run.file("ruling.json", json.dumps(found.to_json(), indent=1))
        run.file("ruling.txt", f"{found.told()}\n\n{told(found.judged)}\n")
        run.file("forest.png", charts.png(charts.forest(rows_of(found.judged), logged=found.judged.logged)))
        return run.run_id


def predicted_of(found: Heard) -> dict[str, Any]:
    """What the gate expects: points a round of recipe and champion, off-policy, and the days that it read."""
    value = found.ruling.value
    return {
        "surface": found.surface,
        "against": found.champion.name,
        "outcome": found.outcome,
        "since": found.splits.select_until.isoformat(),
        "until": found.splits.end.isoformat(),
        "candidate": value.candidate,
        "champion": value.champion,
        "clearance": value.clearance,
        "margin": value.margin,
        "units": value.units,
    }


def read_out_evidence(recipe: Recipe, card: Scorecard, *, tracker: Tracker, approver: str, sentence: str) -> str:
    """Write the read-out that crowns a recipe down; the run's id."""
    experiment = card.experiment.experiment_id
    parameters: dict[str, Parameter] = {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "read_out": experiment,
        "approver": approver,
    }
    with tracker.run(f"{recipe.name} crowned by {experiment}", experiment=EXPERIMENT, parameters=parameters) as run:
        run.file("scorecard.json", json.dumps(card.to_json(), indent=1))
        run.file("read_out.txt", sentence + "\n")
        return run.run_id


def promoted(
    home: Installation,
    recipe: Recipe,
    *,
    role: str,
    by: str,
    reason: str,
    evidence: str,
    tracker: Tracker,
    expires_at: datetime | None = None,
    while_: Promotion | EllipsisType | None = ...,
    predicted: Mapping[str, Any] | None = None,
) -> Promotion:
    """Name a recipe for a role, and let the tracker mirror it with its evidence.

    With `while_`, the champion that it was heard against, raises `Conflict` where that is no longer in force.
    """
    promotion = Promotion(role, recipe.name, recipe.digest, by, reason, evidence, home.clock.now(), expires_at,
                          predicted or {})  # fmt: skip
    home.promotions.name(promotion, while_=while_)
    mirrored(promotion, tracker=tracker)
    return promotion


def mended(home: Installation, *, tracker: Tracker) -> list[str]:
    """Let every alias follow its pointer where it does not: after a crash between the two, or an override's end.

    The roles that were mended.
    """
    now, found = home.clock.now(), []
    champion = home.promotions.champion(now=now)
    tags = tracker.mirrored(CHAMPION)
    if champion is None and tags and tags["recipe"] != home.settings.champion:
        recipe = next(each for each in home.recipes if each.name == home.settings.champion)
        by_default = Promotion(CHAMPION, recipe.name, recipe.digest, "settings", "no promotion is in force", "", now)
        mirrored(by_default, tracker=tracker)
        found.append(CHAMPION)
    for standing in (champion, home.promotions.challenger(now=now)):
        if standing is not None and tracker.mirrored(standing.role).get("at") != standing.at.isoformat():
            mirrored(standing, tracker=tracker)
            found.append(standing.role)
    return found


def mirrored(promotion: Promotion, *, tracker: Tracker) -> None:
    """Let the tracker's alias follow; the run that stands behind it is made where there is none."""
    evidence = promotion.evidence
    tags = {"digest": promotion.digest, "by": promotion.by, "reason": promotion.reason, "at": promotion.at.isoformat()}
    if not evidence:
        name = f"{promotion.recipe} named {promotion.role}"
        with tracker.run(name, experiment=EXPERIMENT, parameters={"recipe": promotion.recipe}, tags=tags) as run:
            evidence = run.run_id
    tracker.mirror(promotion.role, name=promotion.recipe, evidence=evidence, tags=tags)


def ramp_of(found: Heard) -> str:
    """The experiment that a challenger is offered, as `recsys experiments create` takes it."""
    return (
        "[[experiment]]\n"
        f'experiment_id = "{found.recipe.name}-on-{found.surface}"\n'
        'owner = "…"\n'
        f'hypothesis = "{found.recipe.name} brings more value than {found.champion.name}"\n'
        'primary = "value"\nunit = "household"\n'
        f'surfaces = ["{found.surface}"]\n'
        f'variants = [{{name = "{found.champion.name}", recipe = "{found.champion.name}", share = 0.9}}, '
        f'{{name = "{found.recipe.name}", recipe = "{found.recipe.name}", share = 0.1}}]\n'
        f'control = "{found.champion.name}"\n'
        "starts_at = …\nends_at = …\n"
        'stop_rule = "after 28 days, or at once when a guardrail is worse"\n'
    )
