"""`recsys experiments`: create, check, start, stop, decide, list, show, read out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recsys.errors import Conflict, InvalidConfiguration
from recsys.experiments import parse, to_json
from recsys.keys import Keys, Scope
from serving import settings, trials
from serving.bootstrap import Installation, compose
from serving.commands.switches import who
from serving.promotion import mirrored
from serving.read_outs import recorded
from serving.tracked import tracker_of

WHY = click.option("--why", default="", help="kept in the experiment's history")
JSON = click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")


@click.group
def command() -> None:
    """Experiments: who gets which recipe, and what came of it."""


@command.command
@click.argument("file", type=click.Path(path_type=Path))
@WHY
def create(file: Path, *, why: str) -> None:
    """Check the [[experiment]] tables of FILE and keep them."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file}: cannot be read ({type(error).__name__})") from None
    experiments = parse(text, where=file.name)
    if not experiments:
        raise InvalidConfiguration(f"{file.name}: there is no [[experiment]] table in it")
    trials.create(_home(), experiments, by=who(), why=why, where=file.name)
    for experiment in experiments:
        click.echo(f"{experiment.experiment_id}: {experiment.state}")


@command.command("list")
def list_() -> None:
    """Every experiment and its state."""
    experiments = _home().register.experiments()
    if not experiments:
        click.echo("no experiments yet: recsys experiments create FILE")
    for each in experiments:
        click.echo(f"{each.experiment_id:24} {each.state:8} {each.starts_at:%Y-%m-%d} to {each.ends_at:%Y-%m-%d}")


@command.command
@click.argument("experiment_id")
@JSON
def show(experiment_id: str, *, as_json: bool) -> None:
    """An experiment's record, and who changed it, when and why."""
    home = _home()
    experiment, changes = home.register.experiment(experiment_id), home.register.history(experiment_id)
    told = {"experiment": to_json(experiment), "history": [change.to_json() for change in changes]}
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"{experiment_id} ({experiment.state}), {experiment.owner}: {experiment.hypothesis}")
    for v in experiment.variants:
        control = " (control)" if v.name == experiment.control else ""
        click.echo(f"  {v.share:.0%} {v.name}{control}: {v.recipe or dict(v.configuration)}")
    for change in changes:
        by = change.by or "nobody named"
        click.echo(f"{change.at:%Y-%m-%d %H:%M} {change.what} by {by} {change.why} {change.link}".rstrip())


@command.command
@click.argument("experiment_id")
@JSON
def checklist(experiment_id: str, *, as_json: bool) -> None:
    """What must be known before the start, and the chance to find what is looked for."""
    found = trials.checklist(_home(), experiment_id)
    if as_json:
        click.echo(json.dumps(found.to_json()))
        return
    for item in found.items:
        click.echo(f"{ {'yes': '✓', 'no': '✕', 'unknown': '?'}[item.ok] } {item.question} {item.answer}")


@command.command
@click.argument("experiment_id")
@WHY
def start(experiment_id: str, *, why: str) -> None:
    """Let an experiment assign units, where its checklist has no objection."""
    click.echo(f"{experiment_id}: {trials.start(_home(), experiment_id, by=who(), why=why).state}")


@command.command
@click.argument("experiment_id")
@click.argument("share", type=click.FloatRange(0.0, 1.0, min_open=True))
@WHY
def ramp(experiment_id: str, share: float, *, why: str) -> None:
    """Let SHARE of a running experiment's units in from now on; it only grows."""
    trials.ramp(_home(), experiment_id, share=share, by=who(), why=why)
    click.echo(f"{experiment_id}: lets in {share:.0%}")


@command.command
@click.argument("experiment_id")
@WHY
def stop(experiment_id: str, *, why: str) -> None:
    """End an experiment's assignment; what it showed stays readable."""
    click.echo(f"{experiment_id}: {trials.stop(_home(), experiment_id, by=who(), why=why).state}")


@command.command
@click.argument("experiment_id")
@click.argument("variant")
@click.option("--why", required=True, help="kept in the experiment's history")
@click.option("--approve-key", envvar="RECSYS_APPROVE_KEY", required=True, help="a key with the scope approve")
def decide(experiment_id: str, variant: str, *, why: str, approve_key: str) -> None:
    """Decide a stopped experiment for VARIANT; its recipe becomes champion where it is not the control."""
    home = _home()
    approver = Keys(home.database).check(approve_key)
    if approver is None or Scope.APPROVE not in approver.scopes:
        raise Conflict("deciding needs a key with the scope approve")
    trials.crowned(home, experiment_id, variant=variant, by=approver.name)
    tracker = tracker_of(home.settings)
    run_id, link = recorded(home, home.scorecard(experiment_id), tracker=tracker, decision=f"{variant}: {why}")
    made = trials.decide(home, experiment_id, variant=variant, by=approver.name, why=why, link=link, evidence=run_id)
    if made is not None:
        mirrored(made, tracker=tracker)
    click.echo(f"{experiment_id}: decided for {variant}" + (f"; {made.recipe} is champion" if made else ""))


@command.command("read-out")
@click.argument("experiment_id")
@click.option("--record", is_flag=True, help="write it down as a run in MLflow, linked from the history")
@JSON
def read_out(experiment_id: str, *, record: bool, as_json: bool) -> None:
    """What the log says of an experiment: the numbers of its page."""
    home = _home()
    card = home.scorecard(experiment_id)
    if record:
        _, link = recorded(home, card, tracker=tracker_of(home.settings))
        home.register.note(
            experiment_id, what="read out", by=who(), why=card.status.sentence, link=link, at=home.clock.now()
        )
    if as_json:
        click.echo(json.dumps(card.to_json()))
        return
    click.echo(card.status.sentence)
    for flag in card.flags:
        click.echo(f"  {flag.sentence}")
    if card.as_of is not None:
        click.echo(f"Next: {card.recommendation.sentence}")


def _home() -> Installation:
    return compose(settings.load())
