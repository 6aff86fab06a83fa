"""`recsys compact`: move old decisions from the database to Parquet."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

import click
from tqdm import tqdm

from recsys.compaction import compact, shrink
from serving.commands.switches import opened, who

_MIB = 1 << 20


@click.command
@click.option(
    "--older-than",
    "days",
    default=90,
    show_default=True,
    type=click.IntRange(8, 3_660),
    help="days since a decision; request ids are remembered for seven",
)
@click.option("--shrink", "shrinking", is_flag=True, help="then rewrite the database's file; everybody waits meanwhile")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(days: int, *, shrinking: bool, as_json: bool) -> None:
    """Move the texts of decisions older than that to RECSYS_HOME/archive, where everything still reads them.

    It may run beside the service, and be killed at any moment: run it again, and it goes on.
    """
    home = opened()
    until = home.log.position_before(home.clock.now() - timedelta(days=days))
    with tqdm(total=until, unit="events", desc="archiving", mininterval=0.5, leave=False) as bar:

        def tell(position: int) -> None:
            bar.update(position - bar.n)

        done = compact(home.database, folder=home.settings.archive, until=until, told=tell)
    if shrinking:
        shrink(home.database)
    home.trail.note(by=who(), action="compact", subject=f"{done.decisions} decisions")
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    if not done.decisions:
        click.echo(f"no decision older than {days} days is in the database any more")
        return
    sizes = f"{done.text_bytes / _MIB:,.1f} MiB of text became {done.file_bytes / _MIB:,.1f} MiB"
    click.echo(f"{done.decisions:,} decisions in {done.files:,} files: {sizes}")
