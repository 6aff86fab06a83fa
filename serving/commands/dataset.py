"""`recsys dataset`: a part of the log as tables that many runs may use."""

from __future__ import annotations

import json
from datetime import datetime

import click

from serving import datasets, settings
from serving.bootstrap import compose
from serving.commands.moments import MOMENT
from serving.datasets import dataset, make, names, recorded, sentence, versions
from serving.leading import calm_the_collector
from serving.tracked import tracker_of


@click.group
def command() -> None:
    """Datasets of the log: made once, used by train, evaluate and replay with --dataset NAME."""


@command.command
@click.argument("name")
@click.option("--since", type=MOMENT, help="only what was recorded from then on (a day, or a time with its zone)")
@click.option("--until", type=MOMENT, help="only what was recorded before; name it to make the same again later")
@click.option(
    "--facts",
    type=click.Choice([datasets.AS_DECIDED, datasets.IN_STORE]),
    default=datasets.AS_DECIDED,
    show_default=True,
    help="of interactions: those that decisions used, or the feature store's as they were known then",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def create(name: str, *, since: datetime | None, until: datetime | None, facts: str, as_json: bool) -> None:
    """Make interactions, lessons and rounds of a part of the log: nothing in them was unknown at its decision.

    Made again of the same days, it is the same version.
    """
    calm_the_collector()
    home = compose(settings.load())
    made = make(home, name, since=since, until=until, facts=facts)
    url = recorded(made, tracker=tracker_of(home.settings))
    if as_json:
        click.echo(json.dumps({"name": name, "digest": made.digest, "manifest": dict(made.about), "run": url}))
        return
    click.echo(f"{sentence(made)}\nin {datasets.folder_of(made)}")


@command.command("list")
def list_() -> None:
    """Every dataset, with its versions."""
    root = settings.load().artefacts
    for name in names(root):
        made, others = dataset(root, name), len(versions(root, name)) - 1
        more = f" (and {others} earlier {'version' if others == 1 else 'versions'})" if others else ""
        click.echo(sentence(made) + more)


@command.command
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def show(name: str, *, as_json: bool) -> None:
    """One dataset: what it was made of, its tables and their columns. NAME may be NAME@DIGEST."""
    root = settings.load().artefacts
    made = dataset(root, name)
    if as_json:
        click.echo(json.dumps({"name": made.name, "digest": made.digest, "manifest": dict(made.about)}))
        return
    click.echo(f"{sentence(made)}\nin {datasets.folder_of(made)}")
    for key in ("log_digest", "rewards", "catalogue", "features", "position"):
        click.echo(f"  {key}: {made.about[key]}")
    for table in datasets.TABLES:
        read = made.table(table)
        click.echo(f"\n{table}: {read.height:,} rows\n  " + ", ".join(f"{n} {kind}" for n, kind in read.schema.items()))
    click.echo(f"\nversions: {', '.join(each[:12] for each in versions(root, made.name))}")
