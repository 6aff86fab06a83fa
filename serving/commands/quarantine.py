"""`recsys quarantine`: look at what was put aside, let it teach, or drop it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from recsys.errors import Misuse
from recsys.quarantine import KEPT
from serving.commands.switches import opened, who
from serving.settling import dropped, released

STATES = ("kept", "released", "dropped", "passed", "all")
_MOST = 100_000


@click.group
def command() -> None:
    """What may not teach: lessons, outcomes and snapshots that were put aside, each with its reason."""


@command.command("list")
@click.option("--state", type=click.Choice(STATES), default="kept", show_default=True)
@click.option("--recipe", help='of one recipe; "" is what concerns all')
@click.option("--last", default=50, show_default=True, type=click.IntRange(1, _MOST), help="how many, newest first")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def list_(state: str, recipe: str | None, last: int, *, as_json: bool) -> None:
    """Show what was put aside, and why."""
    quarantine = opened().quarantine
    found = quarantine.all(limit=last, state=None if state == "all" else state, recipe=recipe)
    if as_json:
        click.echo(json.dumps({"quarantine": [asdict(each) for each in found]}))
        return
    for each in found:
        click.echo(f"{each.kind:9} {each.state:9} {each.key}\n    {each.reason}")
    if not found:
        click.echo("nothing stands in quarantine" if state == "kept" else f"nothing in quarantine is {state}")


@command.command
@click.argument("key")
def show(key: str) -> None:
    """Everything held on one of them, as JSON."""
    click.echo(json.dumps(asdict(opened().quarantine.one(key)), indent=2))


@command.command
@click.argument("keys", nargs=-1)
@click.option("--every-doubt", is_flag=True, help="all that is only doubted, such as what a flood brought")
@click.option("--reason", required=True, help="kept for as long as the log")
def release(keys: tuple[str, ...], reason: str, *, every_doubt: bool) -> None:
    """Let KEYS teach, or a held-back snapshot be published. It stands in the log from then on."""
    home = opened()
    found = [home.quarantine.one(key) for key in keys]
    if every_doubt:
        found += [each for each in home.quarantine.all(limit=_MOST, state=KEPT) if each.kind == "doubt"]
    if not found:
        raise Misuse("name what to release by its KEY, or say --every-doubt: `recsys quarantine list` shows the keys")
    released(home, found, by=who(), why=reason)
    click.echo(f"{len(found):,} released: the learner takes them up where they stand in the log")


@command.command
@click.argument("keys", nargs=-1, required=True)
@click.option("--reason", required=True, help="kept with it")
def drop(keys: tuple[str, ...], reason: str) -> None:
    """Settle KEYS: they never teach, and need nobody's attention any more."""
    home = opened()
    dropped(home, [home.quarantine.one(key) for key in keys], by=who(), why=reason)
    click.echo(f"{len(keys):,} dropped")
