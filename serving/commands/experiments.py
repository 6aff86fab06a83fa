"""`recsys experiments`: create, start, stop, list, read out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment, parse
from recsys.metrics import default_metrics
from recsys.scorecards import roll_up
from serving import settings
from serving.bootstrap import Installation, compose


@click.group
def command() -> None:
    """Experiments: who gets which recipe, and what came of it."""


@command.command
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Check the [[experiment]] tables of FILE and keep them."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file}: cannot be read ({type(error).__name__})") from None
    home = _home()
    experiments = parse(text, where=file.name)
    if not experiments:
        raise InvalidConfiguration(f"{file.name}: there is no [[experiment]] table in it")
    for experiment in experiments:
        _check_recipes(experiment, known=[recipe.name for recipe in home.recipes], where=file.name)
    for experiment in experiments:
        home.register.create(experiment)
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
def start(experiment_id: str) -> None:
    """Let an experiment assign units."""
    click.echo(f"{experiment_id}: {_home().register.move(experiment_id, state='running').state}")


@command.command
@click.argument("experiment_id")
def stop(experiment_id: str) -> None:
    """End an experiment's assignment; what it showed stays readable."""
    click.echo(f"{experiment_id}: {_home().register.move(experiment_id, state='stopped').state}")


@command.command("read-out")
@click.argument("experiment_id")
@click.option("--json", "as_json", is_flag=True, help="the scorecard as one JSON object")
def read_out(experiment_id: str, *, as_json: bool) -> None:
    """What the log says of an experiment: the numbers of its page."""
    home = _home()
    values = {product.product_id: product.value for product in home.offers.current.catalogue.products}
    experiment = home.register.experiment(experiment_id)
    scorecard = roll_up(
        home.log.glance(after=home.log.position_before(experiment.starts_at)),
        experiment=experiment,
        metrics=default_metrics(values),
    )
    click.echo(json.dumps(scorecard.to_json()) if as_json else scorecard.status.sentence)


def _check_recipes(experiment: Experiment, *, known: Sequence[str], where: str) -> None:
    for variant in experiment.variants:
        if variant.recipe not in known:
            raise InvalidConfiguration(
                f'{where}: experiment {experiment.experiment_id}: no recipe is called "{variant.recipe}"; '
                f"known are {', '.join(sorted(known))}"
            )


def _home() -> Installation:
    return compose(settings.load())
