"""`recsys catalogue`: load, check and publish the products."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from recsys.errors import InvalidCatalogue, StoreUnavailable
from serving import settings
from serving.bootstrap import compose
from serving.commands.switches import who
from serving.offer import apply_catalogue


@click.group
def command() -> None:
    """Load, check and publish the products on offer."""


@command.command
@click.argument("file", type=click.Path(path_type=Path))
def apply(file: Path) -> None:
    """Check FILE and put it in force; nothing changes where it is wrong."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCatalogue(f"{file}: cannot be read ({type(error).__name__})") from None
    chosen = settings.load()
    published = apply_catalogue(chosen.artefacts, text=text, where=file.name)
    with contextlib.suppress(StoreUnavailable):  # what is in force is in force, also while nothing can be noted
        compose(chosen).trail.note(by=who(), action="apply_catalogue", subject=published.digest[:12])
    click.echo(f"{published.manifest['products']} products are in force ({published.digest[:12]})")


@command.command
def show() -> None:
    """List the products in force."""
    catalogue = compose(settings.load()).offers.current.catalogue
    if not catalogue.products:
        click.echo("no catalogue yet: recsys catalogue apply FILE")
        return
    click.echo(f"version {catalogue.version}, {len(catalogue.products)} products")
    for product in catalogue.products:
        surfaces = ", ".join(sorted(product.surfaces))
        click.echo(f"{product.product_id:16} {product.communication_class.value:20} {product.value:>5g}  {surfaces}")
