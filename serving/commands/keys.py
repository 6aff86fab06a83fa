"""`recsys keys`: create, list and revoke keys."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from recsys.errors import InvalidConfiguration
from recsys.keys import Keys, Scope
from recsys.rewards import duration
from serving import settings
from serving.bootstrap import compose


@click.group
def command() -> None:
    """Keys that callers show: named, scoped, expiring, shown once."""


@command.command
@click.option("--name", required=True, help="who will use it, such as app-backend")
@click.option("--scope", "scopes", multiple=True, required=True, help=f"may be repeated: {', '.join(Scope)}")
@click.option("--expires", help="how long it holds, such as 90d (default: until revoked)")
def create(name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a key and print it: the only time it is shown."""
    click.echo(_keys().create(name, scopes=list(scopes), expires_in=_lasting(expires)))


@command.command("list")
def list_() -> None:
    """Every key without its secret."""
    keys = _keys().all()
    if not keys:
        click.echo("no keys yet: recsys keys create --name NAME --scope SCOPE")
    for key in keys:
        until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{key.name:24} {key.state}{until}  {' '.join(sorted(key.scopes))}")


@command.command
@click.argument("name")
def revoke(name: str) -> None:
    """End the key NAME at once, on every worker."""
    _keys().revoke(name)
    click.echo(f"{name} is revoked")


def _keys() -> Keys:
    return Keys(compose(settings.load()).database)


def _lasting(expires: str | None) -> timedelta | None:
    if expires is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,4}[smhd]", expires):
        raise InvalidConfiguration(f'--expires "{expires}": write a number and s, m, h or d, such as 90d')
    return duration(expires)
