"""`recsys encode`: the process that keeps customer vectors fresh."""

from __future__ import annotations

import click

from recsys.leases import Lease
from serving import settings
from serving.bootstrap import compose
from serving.encoder_loop import LEASE, EncoderLoop
from serving.leading import Stop, lead


@click.command
@click.option("--once", is_flag=True, help="encode everybody who changed, and end")
def command(*, once: bool) -> None:
    """Follow changes of facts and activity, and write vectors stamped with the bundle's digest."""
    home = compose(settings.load())
    loop = EncoderLoop(home.customers, root=home.settings.artefacts, clock=home.clock, source=home.profiles)
    if once:
        click.echo(f"{loop.catch_up()} customers encoded")
        return
    lead(Lease(home.database, name=LEASE), work=loop.step, poll=home.settings.poll_seconds, stop=Stop())
