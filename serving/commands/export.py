"""`recsys export`: the log as daily Parquet, for SQL in a warehouse."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path

import click
from tqdm import tqdm

from recsys.errors import Misuse
from serving import settings
from serving.bootstrap import Installation, compose
from serving.commands.moments import MOMENT
from serving.export_schema import described
from serving.exporting import Written, export
from serving.exporting_parts import export_all
from serving.leading import calm_the_collector
from serving.spread import HERE, spread_of


@click.command
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="the folder to write to")
@click.option("--since", type=MOMENT, help="the first day, such as 2026-03-02")
@click.option("--until", type=MOMENT, help="the day after the last")
@click.option("--describe", is_flag=True, help="print the data dictionary and an example query each, and end")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(*, out: Path | None, since: datetime | None, until: datetime | None, describe: bool, as_json: bool) -> None:
    """Write decisions, slots, outcomes and rounds, a Parquet file a table and day; days that are over, once each.

    Run it again whenever you like: the same days give the same bytes.
    """
    if describe:
        click.echo(described())
        return
    if out is None:
        raise Misuse("say where to: --out FOLDER (or --describe for the data dictionary)")
    days = [None if at is None else at.date() for at in (since, until)]
    if days[0] is not None and days[1] is not None and days[0] >= days[1]:
        raise Misuse("there are no days to export: --until must come after --since")
    calm_the_collector()
    home = compose(settings.load())
    home.erasures.note_export(str(out.absolute()))
    while True:
        erasures = home.erasures.begun()
        done = _exported(home, out=out, since=days[0], until=days[1])
        if home.erasures.begun() == erasures:  # else somebody was forgotten meanwhile: those days are written anew
            break
    if as_json:
        found = {"days": sorted(map(str, done.days)), "rows": done.rows, "files": done.files, "unchanged": done.same}
        click.echo(json.dumps(found))
        return
    rows = ", ".join(f"{n:,} {table}" for table, n in done.rows.items())
    n = len(done.days)
    click.echo(
        f"{n:,} {'day' if n == 1 else 'days'} in {out}: {rows}; {done.files:,} files written, {done.same:,} unchanged"
    )


def _exported(home: Installation, *, out: Path, since: date | None, until: date | None) -> Written:
    spread = spread_of(home.settings)
    if spread is not HERE:
        return export_all(home, out=out.absolute(), spread=spread, since=since, until=until)
    with tqdm(total=home.log.last_position(), unit="events", desc="exporting", mininterval=0.5, leave=False) as bar:

        def tell(position: int) -> None:
            bar.update(position - bar.n)

        return export(home.log, out=out, rewards=home.rewards, since=since, until=until, told=tell)
