"""`recsys quarantine`: look at what was put aside, let it teach, or drop it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from bandits.chain import Chain
from bandits.teaching import checked
from recsys.entries import Entry
from recsys.errors import Misuse
from recsys.quarantine import DROPPED, KEPT, RELEASED, Refused
from recsys.vocabulary import Decision, Release
from serving.bootstrap import Installation
from serving.commands.switches import opened, who
from serving.curriculum import lesson_of

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
    for each in found:
        _check(home, each)
    for each in found:
        home.log.append([Entry(_release(each, reason=reason, by=who()))])  # once: again, it changes nothing
        home.quarantine.settle(each.key, state=RELEASED, by=who(), why=reason)
        home.trail.note(by=who(), action="release_quarantined", subject=each.key)
    click.echo(f"{len(found):,} released: the learner takes them up where they stand in the log")


@command.command
@click.argument("keys", nargs=-1, required=True)
@click.option("--reason", required=True, help="kept with it")
def drop(keys: tuple[str, ...], reason: str) -> None:
    """Settle KEYS: they never teach, and need nobody's attention any more."""
    home = opened()
    for each in [home.quarantine.one(key) for key in keys]:
        if each.state == RELEASED:
            raise Misuse(f"{each.key} was released by {each.by}: what the log holds cannot be dropped")
        home.quarantine.settle(each.key, state=DROPPED, by=who(), why=reason)
        home.trail.note(by=who(), action="drop_quarantined", subject=each.key)
    click.echo(f"{len(keys):,} dropped")


def _release(item: Refused, *, reason: str, by: str) -> Release:
    told = (item.decision_id, item.slot, item.stage, item.happened, item.share)
    return Release(item.key, item.recipe, reason, by, *told)


def _check(home: Installation, item: Refused) -> None:
    """Raise `Misuse` where a release would change nothing."""
    if item.state not in (KEPT, DROPPED):
        raise Misuse(f"{item.key} is {item.state} already ({item.by}: {item.why})")
    if item.kind == "outcome":
        raise Misuse(f"{item.key}: {item.reason}, so there is nothing that it could teach: drop it")
    if item.kind == "snapshot":
        return
    found = home.log.decisions([item.decision_id]).get(item.decision_id) if item.decision_id else None
    if found is None or not isinstance(found.body, Decision):
        raise Misuse(f"{item.key}: {item.reason}; it cannot be released: drop it")
    lesson = lesson_of(found.body, _release(item, reason="", by=""), position=found.position, at=found.recorded_at)
    if lesson is None:
        raise Misuse(f"{item.key}: its decision shows no such slot: drop it")
    try:
        checked(lesson, chain=Chain.of(home.rewards))
    except Misuse as error:
        raise Misuse(f"{item.key} still cannot teach ({error}): drop it") from None
