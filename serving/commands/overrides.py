"""`recsys overrides`: pin, ban and boost products for a while, by name and with a reason."""

from __future__ import annotations

import json

import click

from recsys.steering import ACTIONS
from recsys.vocabulary import Override
from serving.commands.lasting import until
from serving.commands.switches import opened, who
from serving.steered import effects_of


@click.group
def command() -> None:
    """Overrides: a product pinned to the top, banned, or its probability multiplied; at most 90 days."""


@command.command
@click.argument("override_id")
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("product")
@click.option("--strength", type=float, help="what a boost multiplies the probability by, 0.1 to 10")
@click.option("--surface", default="", help="one surface (default: every one)")
@click.option("--reason", required=True, help="kept for as long as the log")
@click.option("--for", "lasting", required=True, help="how long, such as 12h or 30d")
def put(
    override_id: str, action: str, product: str, strength: float | None, surface: str, reason: str, lasting: str
) -> None:
    """Give the override OVERRIDE_ID: pin, ban or boost PRODUCT."""
    if (strength is None) == (action == "boost"):
        raise click.UsageError("a boost says its --strength, and nothing else does")
    home = opened()
    end = until(lasting, now=home.clock.now())
    weight = {"pin": 1.0, "ban": 0.0}.get(action, strength or 0.0)
    order = Override(override_id, action, product, weight, reason, who(), end, surface)
    home.orders.override(order, known=home.subjects())
    click.echo(f"{override_id}: {action} {product} until {end:%Y-%m-%d %H:%M} UTC")


@command.command
@click.argument("override_id")
@click.option("--reason", required=True, help="kept for as long as the log")
def withdraw(override_id: str, reason: str) -> None:
    """End an override now."""
    done = opened().orders.withdraw(override_id, by=who(), reason=reason)
    click.echo(f"{override_id} has ended ({done.ends_at:%Y-%m-%d %H:%M} UTC)")


@command.command("list")
def list_() -> None:
    """Every override that was ever given."""
    home = opened()
    _, overrides = home.orders.history()
    for each in overrides:
        state = "in force until" if home.clock.now() < each.ends_at else "ended"
        where = f" on {each.surface}" if each.surface else ""
        by = f" ×{each.strength:g}" if each.action == "boost" else ""
        told = f"{each.action} {each.product_id}{by}{where}: {state} {each.ends_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{each.override_id:20} {told}, {each.reason} ({each.by})")
    if not overrides:
        click.echo("no overrides yet: recsys overrides put ID pin|ban|boost PRODUCT --reason R --for 7d")


@command.command
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def effect(*, as_json: bool) -> None:
    """How much each override has moved: decisions, and probability, over the whole log."""
    home = opened()
    home.live.refresh()
    found = effects_of(home.log.read(kinds=("decision",)), policy_of=home.live.policy_of)
    if as_json:
        click.echo(json.dumps({name: each.to_json() for name, each in found.items()}))
        return
    for name, each in found.items():
        click.echo(f"{name}: {each.told()}")
    if not found:
        click.echo("no override has touched a decision yet")
