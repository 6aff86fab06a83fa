"""`recsys encode`: the process that keeps customer vectors fresh."""

from __future__ import annotations

import click

from recsys.leases import Lease
from serving import settings
from serving.bootstrap import compose
from serving.encoder_loop import LEASE, EncoderLoop
from serving.encoding_parts import encode_all
from serving.leading import Stop, lead
from serving.spread import HERE, spread_of


@click.command
@click.option("--once", is_flag=True, help="encode everybody who changed, and end")
def command(*, once: bool) -> None:
    """Follow changes of facts and activity, and write vectors stamped with the bundle's digest."""
    home = compose(settings.load())
    loop = EncoderLoop(home.customers, root=home.settings.artefacts, clock=home.clock, source=home.profiles)
    if once:
        spread = spread_of(home.settings)
        n = loop.catch_up() if spread is HERE else encode_all(home, spread=spread)
        click.echo(f"{n} customers encoded")
        return
    lead(Lease(home.database, name=LEASE), work=loop.step, poll=home.settings.poll_seconds, stop=Stop())
