"""`recsys keys`: create, list, rotate and revoke keys."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from recsys.errors import InvalidConfiguration
from recsys.keys import Keys, Scope
from recsys.rewards import duration
from serving.commands.switches import opened, who


@click.group
def command() -> None:
    """Keys that callers show: named, scoped, expiring, shown once."""


@command.command
@click.option("--name", required=True, help="who will use it, such as app-backend")
@click.option("--scope", "scopes", multiple=True, required=True, help=f"may be repeated: {', '.join(Scope)}")
@click.option("--expires", help="how long it holds, such as 90d (default: until revoked)")
def create(name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a key and print it: the only time it is shown."""
    home = opened()
    secret = Keys(home.database).create(name, scopes=list(scopes), expires_in=_lasting(expires))
    home.trail.note(by=who(), action="create_key", subject=f"{name}: {' '.join(sorted(scopes))}")
    click.echo(secret)


@command.command("list")
def list_() -> None:
    """Every key without its secret."""
    keys = Keys(opened().database).all()
    if not keys:
        click.echo("no keys yet: recsys keys create --name NAME --scope SCOPE")
    for key in keys:
        until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{key.name:24} {key.state}{until}  {' '.join(sorted(key.scopes))}")


@command.command
@click.argument("name")
def revoke(name: str) -> None:
    """End the key NAME at once, on every worker, under every secret it has."""
    home = opened()
    Keys(home.database).revoke(name)
    home.trail.note(by=who(), action="revoke_key", subject=name)
    click.echo(f"{name} is revoked")


@command.command
@click.argument("name")
@click.option("--overlap", default="7d", show_default=True, help="how long the old secret still opens; 0s ends it now")
def rotate(name: str, overlap: str) -> None:
    """Give the key NAME a new secret and print it: the only time it is shown. Name and scopes stay."""
    home = opened()
    secret = Keys(home.database).rotate(name, overlap=duration(overlap))
    home.trail.note(by=who(), action="rotate_key", subject=name)
    click.echo(secret)


def _lasting(expires: str | None) -> timedelta | None:
    if expires is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,4}[smhd]", expires):
        raise InvalidConfiguration(f'--expires "{expires}": write a number and s, m, h or d, such as 90d')
    return duration(expires)
