"""Products on offer: load, look up, digest; what each is in law and where it may appear.

A catalogue is one TOML file that product and compliance people edit. It is read whole or refused
with a sentence that names the file and the product. Its digest is that of its canonical text, so
layout and comments do not change it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from recsys.derivations import ADULT_AGE
from recsys.errors import InvalidCatalogue, NotFound
from recsys.tomls import Table, check_unique, document, read_text
from recsys.vocabulary import NOTHING, CommunicationClass, Creative, Product, ProductId

BANK_CATALOGUE = Path(__file__).parent / "bank" / "catalogue.toml"
"""The catalogue of the synthetic bank (domain 3.2)."""

CLASSES = tuple(each.value for each in CommunicationClass)
REGULATED_CLASSES = ("none", "savings", "isa", "investment", "pension", "credit")
ADULT_CLASSES = frozenset({"isa", "investment", "pension", "credit"})  # AGE-1


@dataclass(frozen=True, slots=True)
class Surface:
    """A place in the app: how many slots, whether "nothing" may be drawn, and the limit of one family."""

    name: str
    max_slots: int
    null_allowed: bool
    per_family: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All products on offer, in the order of the file.

    >>> "pot" in load(BANK_CATALOGUE), "pot" in Catalogue.empty()
    (True, False)
    """

    EMPTY: ClassVar[Catalogue]

    products: tuple[Product, ...]
    version: str
    digest: str
    surfaces: Mapping[str, Surface] = field(default_factory=lambda: MappingProxyType({}))
    _by_id: Mapping[ProductId, Product] = field(init=False, repr=False, compare=False)
    _turns: tuple[datetime, ...] = field(init=False, repr=False, compare=False)
    _offers: dict[tuple[str, int], tuple[Product, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {product.product_id: product for product in self.products})
        turns = {at for product in self.products for at in (product.launched_at, product.retired_at) if at}
        object.__setattr__(self, "_turns", tuple(sorted(turns)))

    @classmethod
    def empty(cls) -> Catalogue:
        """A catalogue without products or surfaces: what an empty home serves."""
        return cls.EMPTY

    @property
    def ids(self) -> tuple[ProductId, ...]:
        """Product ids in order."""
        return tuple(self._by_id)

    def __contains__(self, product_id: object) -> bool:
        return product_id in self._by_id

    def product(self, product_id: ProductId) -> Product:
        """The product of this id, or `NotFound`."""
        try:
            return self._by_id[product_id]
        except KeyError:
            raise NotFound(f"the catalogue has no product {product_id[:60]}") from None

    def offered(self, surface: str, at: datetime) -> tuple[Product, ...]:
        """Products that are launched, not retired and belong on `surface`; the same tuple until one changes.

        An unknown surface offers nothing.
        """
        key = (surface, bisect_right(self._turns, at))
        if key not in self._offers:
            if surface not in self.surfaces:
                return ()
            self._offers[key] = tuple(p for p in self.products if surface in p.surfaces and _on_offer(p, at))
        return self._offers[key]


def _on_offer(product: Product, at: datetime) -> bool:
    launched = product.launched_at is None or product.launched_at <= at
    return launched and (product.retired_at is None or at < product.retired_at)


def broadcast_creative(product: Product) -> Creative | None:
    """The wording that may be shown to everyone alike, chosen without looking at the person (MKT-2), if any."""
    personalised = CommunicationClass.PROMO_PERSONALISED
    return next((c for c in product.creatives if c.communication_class != personalised), None)


def load(path: Path) -> Catalogue:
    """Read a catalogue file; `InvalidCatalogue` when it is missing or cannot be published."""
    return parse(read_text(path, error=InvalidCatalogue), where=str(path))


def parse(text: str, *, where: str) -> Catalogue:
    """Read a catalogue from TOML text; `where` names the file in errors."""
    top = document(text, where=where, error=InvalidCatalogue)
    version = top.text("version")
    surfaces = tuple(_surface(row, top=top) for row in top.tables("surface"))
    known = frozenset(surface.name for surface in surfaces)
    products = tuple(_product(row, top=top, surfaces=known) for row in top.tables("product"))
    top.done()
    for what, names in (
        ("surface", [surface.name for surface in surfaces]),
        ("product", [product.product_id for product in products]),
        ("creative", [creative.creative_id for product in products for creative in product.creatives]),
    ):
        check_unique(names, where=where, what=what, error=InvalidCatalogue)
    return _digested(products, version=version, surfaces=surfaces)


def dump(catalogue: Catalogue) -> str:
    """Canonical TOML of a catalogue: `parse(dump(c)) == c`, and equal catalogues have equal text."""
    return _canonical(catalogue.products, catalogue.version, tuple(catalogue.surfaces.values()))


def _digested(products: tuple[Product, ...], *, version: str, surfaces: tuple[Surface, ...]) -> Catalogue:
    digest = sha256(_canonical(products, version, surfaces).encode()).hexdigest()
    return Catalogue(products, version, digest, MappingProxyType({s.name: s for s in surfaces}))


def _surface(row: Mapping[str, Any], *, top: Table) -> Surface:
    table = top.inside(row, what="surface")
    name = table.text("name")
    table.where += f" {name}"
    max_slots = table.whole("max_slots", least=1)
    null_allowed: bool = table.take("null_allowed", bool, "true or false")
    surface = Surface(name, max_slots, null_allowed, table.whole("per_family", least=1))
    table.done()
    return surface


def _product(row: Mapping[str, Any], *, top: Table, surfaces: frozenset[str]) -> Product:
    table = top.inside(row, what="product")
    product_id = table.text("id")
    table.where += f" {product_id}"
    value: float = table.take("value", (int, float), "a number of points")
    product = Product(
        product_id=product_id,
        name=table.text("name"),
        family=table.text("family"),
        communication_class=CommunicationClass(table.choice("class", CLASSES)),
        regulated_class=table.choice("regulated_class", REGULATED_CLASSES),
        surfaces=frozenset(table.texts("surfaces")),
        text=table.text("text"),
        creatives=tuple(_creative(each, product=table) for each in table.tables("creative")),
        tags=table.texts("tags", ()),
        value=float(value),
        min_age=table.whole("min_age", least=0, default=0),
        countries=table.texts("countries", ("GB",)),
        launched_at=table.moment("launched_at"),
        retired_at=table.moment("retired_at"),
    )
    table.done()
    for why in _faults(product, surfaces=surfaces):
        raise table.fail(why)
    return product


def _creative(row: Mapping[str, Any], *, product: Table) -> Creative:
    table = product.inside(row, what="creative")
    creative_id = table.text("id")
    table.where += f" {creative_id}"
    creative = Creative(creative_id, table.text("text"), CommunicationClass(table.choice("class", CLASSES)))
    table.done()
    return creative


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
    if product.launched_at and product.retired_at and product.launched_at >= product.retired_at:
        yield "is retired before it is launched; mend launched_at or retired_at"


def _canonical(products: Sequence[Product], version: str, surfaces: Sequence[Surface]) -> str:
    lines = [f"version = {_toml(version)}"]
    for surface in surfaces:
        pairs = {key: getattr(surface, key) for key in ("name", "max_slots", "null_allowed", "per_family")}
        lines += ["", "[[surface]]", *_pairs(pairs)]
    for product in products:
        pairs = {
            "id": product.product_id,
            "name": product.name,
            "family": product.family,
            "class": product.communication_class.value,
            "regulated_class": product.regulated_class,
            "surfaces": sorted(product.surfaces),
            "text": product.text,
            "tags": product.tags,
            "value": product.value,
            "min_age": product.min_age,
            "countries": product.countries,
            "launched_at": product.launched_at,
            "retired_at": product.retired_at,
        }
        lines += ["", "[[product]]", *_pairs(pairs)]
        for creative in product.creatives:
            words = {"id": creative.creative_id, "text": creative.text, "class": creative.communication_class.value}
            lines += ["", "[[product.creative]]", *_pairs(words)]
    return "\n".join(lines) + "\n"


def _pairs(pairs: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in pairs.items() if value is not None]


def _toml(value: Any) -> str:
    """A TOML literal; JSON's texts, numbers, truths and lists are TOML's."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


Catalogue.EMPTY = _digested((), version="empty", surfaces=())
