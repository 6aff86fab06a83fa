"""One product of a catalogue file, read strictly: what it is in law, its words, and where it may appear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from recsys import wording
from recsys.derivations import ADULT_AGE
from recsys.errors import InvalidCatalogue
from recsys.tomls import Table
from recsys.vocabulary import NOTHING, CommunicationClass, Creative, Product

CLASSES = tuple(each.value for each in CommunicationClass)
REGULATED_CLASSES = ("none", "savings", "isa", "investment", "pension", "credit")
ADULT_CLASSES = frozenset({"isa", "investment", "pension", "credit"})  # AGE-1
ADULT_TAGS = frozenset({"referral_bonus"})  # AGE-1
EFFECTS = ("information",)


@dataclass(frozen=True, slots=True)
class Approved:
    """What the rest of the file allows a product to name."""

    surfaces: frozenset[str]
    templates: Mapping[str, str]
    apr_blocks: frozenset[str]


def product_of(row: Mapping[str, Any], *, top: Table, approved: Approved) -> Product:
    """One `[[product]]` table; raises `InvalidCatalogue` where it cannot be published."""
    table = top.inside(row, what="product")
    product_id = table.text("id")
    table.where += f" {product_id}"
    _check_effect(table)
    words = [_creative(each, product=table, approved=approved) for each in table.tables("creative")]
    value: float = table.take("value", (int, float), "a number of points")
    product = Product(
        product_id=product_id,
        name=table.text("name"),
        family=table.text("family"),
        communication_class=CommunicationClass(table.choice("class", CLASSES)),
        regulated_class=table.choice("regulated_class", REGULATED_CLASSES),
        surfaces=frozenset(table.texts("surfaces")),
        text=table.text("text"),
        creatives=tuple(creative for creative, _ in words),
        tags=table.texts("tags", ()),
        value=float(value),
        min_age=table.whole("min_age", least=0, default=0),
        countries=table.texts("countries", ("GB",)),
        launched_at=table.moment("launched_at"),
        retired_at=table.moment("retired_at"),
        dominated_by=table.texts("dominated_by", ()),
    )
    table.done()
    for why in _faults(product, surfaces=approved.surfaces):
        raise table.fail(why)
    for why in wording.faults(product.text, product=product):
        raise table.fail(why, key="text")
    for creative, inner in words:
        for why in wording.faults(creative.text, product=product, creative=creative, apr_blocks=approved.apr_blocks):
            raise inner.fail(why, key="text")
    return product


def _check_effect(table: Table) -> None:
    """A product is shown and no more: what would decide on a price or on access is refused (TRN-5)."""
    effect = table.text("effect") if "effect" in table.row else EFFECTS[0]
    if effect not in EFFECTS:
        raise table.fail(
            f"effect is {effect!r}, a significant decision about a person (TRN-5); only information is shown from here",
            key="effect",
        )


def _creative(row: Mapping[str, Any], *, product: Table, approved: Approved) -> tuple[Creative, Table]:
    table = product.inside(row, what="creative")
    creative_id = table.text("id")
    table.where += f" {creative_id}"
    template = table.text("template") if "template" in table.row else ""
    free_text = table.text("text") if "text" in table.row or not template else None
    if template and template not in approved.templates:
        raise table.fail(f"there is no approved template {template} (MKT-8); add a [[template]]", key="template")
    creative = Creative(
        creative_id,
        approved.templates[template] if template else str(free_text),
        CommunicationClass(table.choice("class", CLASSES)),
        template=template,
        apr_block=table.text("apr_block") if "apr_block" in table.row else "",
    )
    table.done()
    if (why := wording.template_fault(creative, free_text=free_text)) is not None:
        raise table.fail(why)
    return creative, table


def _faults(product: Product, *, surfaces: frozenset[str]) -> Iterator[str]:
    """What makes a well-formed product unfit to publish, each a sentence that says how to mend it."""
    own = product.communication_class
    if product.product_id == NOTHING:
        yield f"{NOTHING} is the name of the null choice; choose another id"
    if not isfinite(product.value):
        yield "value must be finite"
    if unknown := sorted(product.surfaces - surfaces):
        yield f"names the surface {unknown[0]}, which this file does not describe; add a [[surface]]"
    if not product.creatives:
        yield "has no creative; add a [[product.creative]]"
    elif product.creatives[0].communication_class != own:
        yield f"is {own} but its first creative is not; put a creative of that class first"
    for creative in product.creatives[1:]:
        if own != CommunicationClass.PROMO_PERSONALISED and creative.communication_class != own:
            yield f"creative {creative.creative_id} is not {own}; only a personalised promotion may mix classes"
    if product.regulated_class in ADULT_CLASSES and product.min_age < ADULT_AGE:
        yield f"is {product.regulated_class} (AGE-1); set min_age to at least {ADULT_AGE}"
    if ADULT_TAGS & set(product.tags) and product.min_age < ADULT_AGE:
        yield f"pays for bringing friends (AGE-1); set min_age to at least {ADULT_AGE}"
    if product.launched_at and product.retired_at and product.launched_at >= product.retired_at:
        yield "is retired before it is launched; mend launched_at or retired_at"


def check_dominance(products: Sequence[Product], *, where: str, lines: Sequence[int]) -> None:
    """Refuse `dominated_by` that names nobody, or goes round so that each keeps the other away (SAV-5)."""
    better = {product.product_id: product.dominated_by for product in products}
    for product, line in zip(products, lines, strict=True):
        for other in product.dominated_by:
            if other not in better:
                why = f"is dominated by {other}, which is not in the catalogue; mend dominated_by"
                raise InvalidCatalogue(f"{where}: product {product.product_id}: {why} (line {line})")
        above, seen = list(product.dominated_by), set[str]()
        while above:
            other = above.pop()
            if other == product.product_id:
                why = "is dominated by itself in the end, so that neither would be shown; mend dominated_by"
                raise InvalidCatalogue(f"{where}: product {product.product_id}: {why} (line {line})")
            if other not in seen:
                seen.add(other)
                above += better.get(other, ())
