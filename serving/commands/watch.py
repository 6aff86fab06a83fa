"""`recsys watch`: how features, scores, rewards, shares and the age of facts moved, day by day."""

from __future__ import annotations

import json

import click

from serving.commands.switches import opened
from serving.watching import LIGHTS, watched, worst


@click.command
@click.option("--days", default=14, show_default=True, type=click.IntRange(2, 400), help="how far back")
@click.option("--json", "as_json", is_flag=True, help="every reading, as one JSON object")
def command(days: int, *, as_json: bool) -> None:
    """Compare each day with the days before it; tell what is amber or red."""
    home = opened()
    found = watched(home.log, rewards=home.rewards, days=days, thresholds=home.settings.thresholds)
    if as_json:
        click.echo(json.dumps({"light": worst(found), "readings": [each.to_json() for each in found]}))
        return
    for each in found:
        if each.light != LIGHTS[0]:
            before = "" if each.before is None else f", {each.before:.3g} before"
            click.echo(f"{each.day} {each.light:6} {each.kind} {each.name}: {each.value:.3g}{before}")
    click.echo(f"{len(found):,} readings, the whole is {worst(found)}")
