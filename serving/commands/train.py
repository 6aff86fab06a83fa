"""`recsys train`: train and publish embeddings from the log."""

from __future__ import annotations

import json

import click

from embeddings.fitting import Epoch
from serving import settings
from serving.bootstrap import compose
from serving.nightly import train
from serving.tracked import tracker_of


@click.command
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(seed: int, *, as_json: bool) -> None:
    """Train on taps and openings as the log froze them; publish if the gate opens."""
    home = compose(settings.load())

    def tell(epoch: Epoch) -> None:
        click.echo(f"epoch {epoch.number}: loss {epoch.loss:.3f}, recall {epoch.recall:.3f}", err=True)

    published = train(home, tracker=tracker_of(home.settings), seed=seed, progress=tell)
    manifest = dict(published.manifest)
    if as_json:
        click.echo(json.dumps({"digest": published.digest, "manifest": manifest}))
    else:
        click.echo(f"bundle {published.digest[:12]} is in force")
