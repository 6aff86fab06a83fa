"""`recsys trail`: who did what to this installation, and when."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import click

from serving.commands.moments import MOMENT
from serving.commands.switches import opened
from serving.formats import rfc3339


@click.command
@click.option("--since", type=MOMENT, help="a day, or a time with its zone")
@click.option("--by", default="", help="one key's name, or one person's")
@click.option("--last", default=100, show_default=True, type=click.IntRange(1, 100_000), help="how many lines")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(since: datetime | None, by: str, last: int, *, as_json: bool) -> None:
    """Show who made and ended keys, gave orders, steered experiments and read receipts."""
    found = opened().trail.read(since=since, by=by, limit=last)
    if as_json:
        click.echo(json.dumps({"trail": [asdict(each) | {"at": rfc3339(each.at)} for each in found]}))
        return
    for each in found:
        click.echo(f"{each.at:%Y-%m-%d %H:%M:%S} UTC  {each.by:24} {each.action:20} {each.status}  {each.subject}")
    if not found:
        click.echo("nothing was done yet that the trail notes")
