"""`recsys import`: a bank's own tables, checked whole and then taken in."""

from __future__ import annotations

import json
from pathlib import Path

import click
from tqdm import tqdm

from recsys import imports
from recsys.errors import Misuse
from recsys.tables import described
from serving import settings
from serving.bootstrap import compose
from serving.commands.switches import who
from serving.importing import can_take, checking, take
from serving.leading import calm_the_collector

_MEANS = {"activities conflict": ": held under their ids with another content, which stays"}


@click.command
@click.option("--map", "path", type=click.Path(path_type=Path, dir_okay=False), help="what stands where in your tables")
@click.option(
    "--check", "only_check", is_flag=True, help="say what fits, what is missing and what that costs; change nothing"
)
@click.option(
    "--rounds",
    type=click.Path(path_type=Path, file_okay=False),
    help="where past decisions are written for evaluate --log",
)
@click.option(
    "--describe", type=click.Choice(list(imports.IMPORTED)), help="what stands in the columns of a table of ours"
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(*, path: Path | None, only_check: bool, rounds: Path | None, describe: str | None, as_json: bool) -> None:
    """Take in products, creatives, customers, activity, outcomes and past decisions from Parquet, CSV or SQL.

    Nothing changes until every row fits. Run again, or carried on after an interruption, it adds nothing twice.
    """
    if describe is not None:
        click.echo(described(imports.IMPORTED[describe]))
        return
    if path is None:
        raise Misuse("say --map FILE: which of your columns is which of ours (recsys import --describe customers)")
    plan = imports.load(path)
    if not only_check:
        can_take(plan, rounds=rounds)
    calm_the_collector()
    home = compose(settings.load())
    with tqdm(unit="rows", unit_scale=True, mininterval=0.5, leave=False) as bar:

        def told(what: str, rows: int) -> None:
            if bar.desc != what:  # each table is counted by itself
                bar.reset()
                bar.set_description_str(what, refresh=False)
            bar.update(rows)

        with checking(home, plan, told=told) as checked:
            sizes = {name: staged.rows for name, staged in checked.tables.items()}
            taken = None if only_check else take(home, checked, rounds=rounds, told=told)
    if taken is not None:
        home.trail.note(by=who(), action="import", subject=plan.name)
    if as_json:
        click.echo(json.dumps({"rows": sizes, "notes": checked.notes, **(taken.to_json() if taken else {})}))
        return
    for name, rows in sizes.items():
        click.echo(f"{name:10} {rows:>12,} rows fit")
    for note in checked.notes:
        click.echo(f"  {note}")
    if taken is None:
        click.echo("nothing was changed (--check)")
        return
    for what, n in sorted(taken.counts.items()):
        click.echo(f"{n:>12,} {what}{_MEANS.get(what, '')}")
    for each in taken.rounds:
        click.echo(f"rounds in {each}")
