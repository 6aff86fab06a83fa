"""`recsys switches`: turn things off, at once and on every worker, and on again."""

from __future__ import annotations

import getpass
from datetime import datetime

import click

from recsys.steering import SCOPES
from recsys.vocabulary import Switch
from serving import settings
from serving.bootstrap import Installation, compose
from serving.commands.lasting import until


@click.group
def command() -> None:
    """Kill switches: everything, a policy, a product, a family or a surface, out of service for a while."""


@command.command
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("subject", default="")
@click.option("--reason", required=True, help="kept for as long as the log")
@click.option("--for", "lasting", required=True, help="how long, such as 2h or 30d")
def off(scope: str, subject: str, reason: str, lasting: str) -> None:
    """Turn SCOPE SUBJECT off: in force on every worker within five seconds."""
    home = opened()
    order = Switch(scope, subject, True, reason, who(), until(lasting, now=home.clock.now()))  # noqa: FBT003  # a field
    done = home.orders.switch(order, known=home.subjects())
    click.echo(_told(done, now=home.clock.now()))


@command.command
@click.argument("scope", type=click.Choice(SCOPES))
@click.argument("subject", default="")
@click.option("--reason", required=True, help="kept for as long as the log")
def on(scope: str, subject: str, reason: str) -> None:
    """Turn SCOPE SUBJECT on again before its time."""
    home = opened()
    done = home.orders.switch(Switch(scope, subject, False, reason, who()), known=home.subjects())  # noqa: FBT003
    click.echo(_told(done, now=home.clock.now()))


@command.command("list")
def list_() -> None:
    """The last word on every switch."""
    home = opened()
    switches, _ = home.orders.history()
    for each in switches:
        click.echo(_told(each, now=home.clock.now()))
    if not switches:
        click.echo("nothing was ever switched off")


def _told(switch: Switch, *, now: datetime) -> str:
    name = f"{switch.scope} {switch.subject}".strip()
    if not switch.off:
        return f"{name} is on: {switch.reason} ({switch.by})"
    if switch.expires_at is not None and switch.expires_at <= now:
        return f"{name} is on again since {switch.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"{name} is off until {switch.expires_at:%Y-%m-%d %H:%M} UTC: {switch.reason} ({switch.by})"


def who() -> str:
    """Who gives an order at this machine."""
    return f"{getpass.getuser()}@console"


def opened() -> Installation:
    """The home with its catalogue."""
    return compose(settings.load())
