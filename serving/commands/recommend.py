"""`recsys recommend --batch`: one message for every customer, through the rules and the log, once each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
from tqdm import tqdm

from recsys.errors import Misuse
from serving import campaign, settings
from serving.bootstrap import compose, random_id, recommender_of
from serving.leading import calm_the_collector


@click.command
@click.option("--batch", is_flag=True, help="for all customers: the only way there is here; one at a time, ask the API")
@click.option("--campaign", "name", required=True, help="names it: under one name nobody is decided for twice")
@click.option("--surface", default="push", show_default=True)
@click.option("--slots", default=1, show_default=True, type=click.IntRange(1, 20))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="the messages, one JSON a line"
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(*, batch: bool, name: str, surface: str, slots: int, out: Path, as_json: bool) -> None:
    """Decide what to say to everybody, log it, and write the messages to OUT.

    Rules, permissions, caps, experiments and hold-out hold as in any answer. Killed, it goes on where it stood
    when it is run again; OUT appears whole, when all is decided.
    """
    if not batch:
        raise Misuse("say --batch, for all customers; for one, ask POST /v1/recommendations")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise Misuse("a campaign is named by letters, digits, dots, dashes and underscores, 80 at most")
    calm_the_collector()
    home = compose(settings.load())
    home.live.refresh()
    layers = home.layers()
    recommender = recommender_of(home, layers=lambda: layers, new_id=random_id)
    asked = campaign.Campaign(name, surface, slots)
    with tqdm(total=home.customers.count(), unit="customers", desc=name, mininterval=0.5) as bar:

        def tell(done: int) -> None:
            bar.update(done - bar.n)
            home.orders.refresh()  # a switch that is turned meanwhile holds from the next chunk on

        sent = campaign.run(home, asked, recommender=recommender, out=out, told=tell)
    if as_json:
        click.echo(json.dumps(sent.to_json()))
        return
    why = "".join(f"\n  {n:,} {reason}" for reason, n in sorted(sent.silent.items()))
    click.echo(
        f"{sent.messages:,} messages to {sent.customers:,} customers in {out} "
        f"({sent.before:,} decided in an earlier run); nothing to say to {sent.silent.total():,}{why}"
    )
