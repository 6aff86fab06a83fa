"""`recsys features`: what a policy may see, and the same as definitions for a feature store."""

from __future__ import annotations

from pathlib import Path

import click

from recsys import features
from serving import feast_definitions


@click.command
@click.option("--feast", type=click.Path(path_type=Path), help="write the facts behind them as a Feast repository here")
@click.option("--redis", metavar="HOST:PORT", help="with --feast: the online store is this Redis, not SQLite")
def command(*, feast: Path | None, redis: str | None) -> None:
    """Every feature of a context: how it is made, and of which facts."""
    if feast is not None:
        for path in feast_definitions.write(feast, redis=redis):
            click.echo(f"wrote {path}")
        click.echo(
            f"Then, in {feast}: fill data/{feast_definitions.VIEW}.parquet or name your own source, `feast apply`, "
            f'`feast materialize-incremental …`; and in settings.toml feature_store = "{feast.absolute()}"'
        )
        return
    if redis is not None:
        raise click.UsageError("--redis belongs to --feast DIR")
    click.echo(f"features of version {features.VERSION[:12]}")
    for feature in features.CUSTOMER + features.MOMENT:
        reads = ", ".join(feature.reads) or "no fact"
        click.echo(f"{feature.name:>16}  {feature.how} ({reads})")
