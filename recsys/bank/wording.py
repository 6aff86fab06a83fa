"""The catalogue file of any list of the bank's products: what `recsys catalogue apply` takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from recsys.bank.offers import words_of
from recsys.bank.truth import NEWCOMERS, TRUTHS, truth_of
from recsys.catalogue import BANK_CATALOGUE, Catalogue, dump, load
from recsys.vocabulary import CommunicationClass, Creative, Product, ProductId

_NEWCOMERS = {
    "rainy-day": (
        "Rainy-day pot",
        "Put a few pounds aside on payday and take them out the day you need them. It earns more while it is small.",
    ),
    "metal-card": ("Metal card", "A card made of steel, with a monthly fee. It pays like any other card."),
}


def catalogue_text(catalogue: Sequence[ProductId], *, start: datetime | None = None) -> str:
    """Canonical TOML for these products, in order, on the surfaces of the bank's own catalogue.

    `start` is the bank's first midnight (aware UTC): with it, products that come and go say when.
    Raises InvalidConfiguration for a product that the bank does not know.
    """
    known = load(BANK_CATALOGUE)
    products = tuple(_product(each, known=known, start=start) for each in catalogue)
    return dump(replace(known, products=products, version=f"{known.version}+{len(products)}"))


def _product(product_id: ProductId, *, known: Catalogue, start: datetime | None) -> Product:
    truth = truth_of(product_id)
    if product_id in TRUTHS:
        return known.product(product_id)
    name, text = _NEWCOMERS[product_id] if product_id in NEWCOMERS else words_of(product_id)
    promoted = CommunicationClass.PROMO_PERSONALISED
    kind = CommunicationClass.EDUCATION if truth.family == "help" else promoted
    surfaces = {"home", "search"} | ({"savings"} if truth.topic in ("saving", "investing") else set())
    launch, retire = truth.launch_day, truth.retire_day
    return Product(
        product_id=product_id,
        name=name,
        family=truth.family,
        communication_class=kind,
        regulated_class="savings" if truth.family == "savings" else "none",
        surfaces=frozenset(surfaces),
        text=text,
        creatives=(Creative(f"{product_id}-1", text, kind),),
        tags=("money_tips",) if truth.family == "help" else ("everyday",),
        value=truth.points,
        min_age=18 if truth.adults_only else 0,
        launched_at=None if start is None or launch is None else start + timedelta(days=launch),
        retired_at=None if start is None or retire is None else start + timedelta(days=retire),
    )
