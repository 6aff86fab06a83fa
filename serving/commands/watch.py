"""`recsys watch`: how features, scores, rewards, shares, the age of facts and shadows moved, day by day."""

from __future__ import annotations

import json
from pathlib import Path

import click

from serving.commands.switches import opened
from serving.skew import read, skewed
from serving.watching import LIGHTS, watched, worst


@click.command
@click.option("--days", default=14, show_default=True, type=click.IntRange(2, 400), help="how far back")
@click.option(
    "--facts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="an export of the bank's table of customers (Parquet): are decisions served with the same facts?",
)
@click.option("--json", "as_json", is_flag=True, help="every reading, as one JSON object")
def command(days: int, *, facts: Path | None, as_json: bool) -> None:
    """Compare each day with the days before it; tell what is amber or red, and how shadows choose."""
    exported = None if facts is None else read(facts)
    home = opened()
    chosen = home.settings.thresholds
    found = watched(home.log, rewards=home.rewards, days=days, thresholds=chosen)
    if exported is not None:
        skew = skewed(home, exported, thresholds=chosen)
        if not skew:
            click.echo("no decision was made within a day after this export for a customer in it", err=True)
        found += skew
    if as_json:
        click.echo(json.dumps({"light": worst(found), "readings": [each.to_json() for each in found]}))
        return
    for each in found:
        if each.light != LIGHTS[0] or each.kind in ("shadow", "skew"):
            before = "" if each.before is None else f", {each.before:.3g} before"
            if each.kind == "shadow":
                before = "" if each.before is None else f", {each.before:.3g} of what was shown"
            click.echo(f"{each.day} {each.light:6} {each.kind} {each.name}: {each.value:.3g}{before}")
    click.echo(f"{len(found):,} readings, the whole is {worst(found)}")
