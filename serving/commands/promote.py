"""`recsys promote`: the gate, the champion, and the way back."""

from __future__ import annotations

import json
from datetime import datetime

import click

from bandits.gate import Terms
from bandits.recipe import Recipe
from recsys.errors import Conflict, Misuse
from recsys.experiments import Experiment
from recsys.keys import Key, Keys
from recsys.promotions import CHALLENGER, CHAMPION
from recsys.rewards import duration
from recsys.scorecards import Scorecard
from recsys.tracking import Tracker
from serving import inventory, settings
from serving.bootstrap import Installation, compose
from serving.commands.moments import MOMENT
from serving.hearing import heard, splits_of
from serving.judged_policies import known_outcome
from serving.leading import calm_the_collector
from serving.promotion import (
    evidence_of,
    mended,
    mirrored,
    objections,
    predicted_of,
    promoted,
    ramp_of,
    read_out_evidence,
)
from serving.tracked import tracker_of


class Refused(Conflict):
    """The gate refuses; the reasons were told."""


@click.command
@click.argument("recipe", required=False)
@click.option("--approve-key", envvar="RECSYS_APPROVE_KEY", help="the approver's key, with the scope approve")
@click.option("--surface", help="where it is to serve; default: the first its inventory entry allows")
@click.option("--since", type=MOMENT, help="split the log from then on")
@click.option("--until", type=MOMENT, help="split the log up to then")
@click.option(
    "--margin",
    type=click.FloatRange(0, 0.5),
    default=0.02,
    show_default=True,
    help="share of value it may fall short of",
)
@click.option("--outcome", help="certify on this kind of outcome (tapped, …) instead of points")
@click.option("--rehearse", is_flag=True, help="only look at the select split: costs nothing, changes nothing")
@click.option("--experiment", "experiment_id", help="make it champion by the read-out of this experiment")
@click.option("--override", "reason", help="make it champion for this reason, against or without evidence")
@click.option("--expires", help="when an override ends, such as 14d")
@click.option("--rollback", is_flag=True, help="return to the last champion")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    *,
    recipe: str | None,
    approve_key: str | None,
    surface: str | None,
    since: datetime | None,
    until: datetime | None,
    margin: float,
    outcome: str | None,
    rehearse: bool,
    experiment_id: str | None,
    reason: str | None,
    expires: str | None,
    rollback: bool,
    as_json: bool,
) -> None:
    """Bring RECIPE before the gate: it becomes challenger, or is refused with reasons.

    With --experiment or --override it becomes champion; --rollback returns to the champion before.
    """
    calm_the_collector()
    home = compose(settings.load())
    approver = None if approve_key is None else Keys(home.database).check(approve_key)
    if approve_key is not None and approver is None:
        raise Misuse("the approve key is not known, has expired or was revoked")
    tracker = tracker_of(home.settings)
    for role in mended(home, tracker=tracker):
        click.echo(f"MLflow named another {role}: mended", err=True)
    if rollback:
        if recipe or experiment_id or reason:
            raise Misuse("--rollback stands alone: it returns to the last champion, whichever that was")
        _roll_back(home, tracker=tracker, by=approver.name if approver else "the command line")
        return
    chosen = _recipe(home, recipe)
    if experiment_id or reason:
        _crown(
            home,
            chosen,
            tracker=tracker,
            approver=approver,
            experiment_id=experiment_id,
            reason=reason,
            expires=expires,
        )
        return
    if expires:
        raise Misuse("--expires belongs to --override")
    _gate(
        home,
        chosen,
        approver,
        tracker=tracker,
        surface=surface,
        days=(since, until),
        margin=margin,
        outcome=outcome,
        rehearse=rehearse,
        as_json=as_json,
    )


def _gate(
    home: Installation,
    recipe: Recipe,
    approver: Key | None,
    *,
    tracker: Tracker,
    surface: str | None,
    days: tuple[datetime | None, datetime | None],
    margin: float,
    outcome: str | None,
    rehearse: bool,
    as_json: bool,
) -> None:
    entry = inventory.load(home.settings.inventory).get(recipe.name)
    where = surface or (entry.surfaces[0] if entry and entry.surfaces else "home")
    in_force = home.promotions.champion(now=home.clock.now())
    champion = _recipe(home, home.champion())
    if champion.name == recipe.name:
        raise Misuse(f"{recipe.name} is the champion already")
    if not rehearse and (
        against := list(objections(entry, recipe=recipe, surface=where, approver=approver, home=home))
    ):
        raise Refused(f"{recipe.name} is refused: {'; '.join(against)}")
    counted = known_outcome(home.rewards, outcome)
    splits = splits_of(home, surface=where, since=days[0], until=days[1])
    found = heard(
        home,
        recipe=recipe,
        champion=champion,
        surface=where,
        splits=splits,
        terms=Terms(margin=margin),
        rehearse=rehearse,
        outcome=counted,
        say=lambda sentence: click.echo(sentence, err=True),
    )
    evidence = evidence_of(found, tracker=tracker, approver="" if approver is None else approver.name)
    click.echo(json.dumps(found.to_json() | {"run": evidence}) if as_json else found.told())
    if rehearse:
        return
    if not found.ruling.passed or approver is None:
        raise Refused(f"{recipe.name} is refused; {champion.name} stays champion (evidence: run {evidence})")
    said = f"passed the gate against {champion.name} on {where}"
    promoted(
        home,
        recipe,
        role=CHALLENGER,
        by=approver.name,
        reason=said,
        evidence=evidence,
        tracker=tracker,
        while_=in_force,
        predicted=predicted_of(found),
    )
    if not as_json:
        click.echo(
            f"\n{recipe.name} is challenger. Try it in an experiment (recsys experiments create FILE):"
            f"\n\n{ramp_of(found)}"
        )


def _crown(
    home: Installation,
    recipe: Recipe,
    *,
    tracker: Tracker,
    approver: Key | None,
    experiment_id: str | None,
    reason: str | None,
    expires: str | None,
) -> None:
    entry = inventory.load(home.settings.inventory).get(recipe.name)
    where = entry.surfaces[0] if entry and entry.surfaces else "home"
    if against := list(objections(entry, recipe=recipe, surface=where, approver=approver, home=home)):
        raise Refused(f"{recipe.name} is refused: {'; '.join(against)}")
    assert approver is not None
    in_force = home.promotions.champion(now=home.clock.now())
    until, evidence = None, ""
    if reason is not None:
        if experiment_id:
            raise Misuse("choose --experiment or --override: evidence, or a named exception")
        if not reason.strip() or not expires:
            raise Misuse("an override needs a reason and an end: --override WHY --expires 14d")
        until = home.clock.now() + duration(expires)
    else:
        if expires:
            raise Misuse("--expires belongs to --override")
        reason, card = _read_out(home, recipe, experiment=home.register.experiment(experiment_id or ""))
        evidence = read_out_evidence(recipe, card, tracker=tracker, approver=approver.name, sentence=reason)
    named = promoted(
        home,
        recipe,
        role=CHAMPION,
        by=approver.name,
        reason=reason,
        evidence=evidence,
        tracker=tracker,
        expires_at=until,
        while_=in_force,
    )
    end = "" if named.expires_at is None else f" until {named.expires_at:%Y-%m-%d %H:%M} UTC"
    click.echo(f"{recipe.name} is champion{end}: {reason}")


def _read_out(home: Installation, recipe: Recipe, *, experiment: Experiment) -> tuple[str, Scorecard]:
    """The sentence of an experiment that crowns a recipe, and its scorecard; raises `Refused` where it does not."""
    variants = {variant.name: variant.recipe for variant in experiment.variants}
    if experiment.state not in ("stopped", "decided"):
        raise Refused(f"{experiment.experiment_id} is {experiment.state}: stop it before its read-out decides")
    if recipe.name not in variants.values() or variants[experiment.control] == recipe.name:
        raise Refused(f"{experiment.experiment_id} does not try {recipe.name}")
    card = home.scorecard(experiment.experiment_id)
    ours = [c for c in card.primary.comparisons if variants[c.variant] == recipe.name]
    if not any(comparison.judgement.kind == "better" for comparison in ours):
        raise Refused(f"{experiment.experiment_id} does not crown {recipe.name}: {ours[0].judgement.sentence}")
    if card.alarms:
        raise Refused(f"{experiment.experiment_id} does not crown {recipe.name}: {card.alarms[0]}")
    return f"{experiment.experiment_id}: {ours[0].judgement.sentence}", card


def _roll_back(home: Installation, *, tracker: Tracker, by: str) -> None:
    first = _recipe(home, home.settings.champion)
    back = home.promotions.roll_back(
        first=(first.name, first.digest),
        by=by,
        reason=f"rolled back from {home.champion()}",
        now=home.clock.now(),
        known={(recipe.name, recipe.digest) for recipe in home.recipes},
    )
    click.echo(f"{back.recipe} is champion again")
    mirrored(back, tracker=tracker)


def _recipe(home: Installation, name: str | None) -> Recipe:
    known = {recipe.name: recipe for recipe in home.recipes}
    if not name:
        raise Misuse(f"name a recipe to promote: {', '.join(known)} (or --rollback)")
    if name not in known:
        raise Misuse(f'no recipe is called "{name}"; there are {", ".join(known)}')
    return known[name]
