"""Products on offer: load, look up, digest; what each is in law and where it may appear.

A catalogue is one TOML file that product and compliance people edit. It is read whole or refused
with a sentence that names the file and the product. Its digest is that of its canonical text, so
layout and comments do not change it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from recsys.errors import InvalidCatalogue, NotFound
from recsys.productfile import Approved, check_dominance, product_of
from recsys.tomls import Table, check_unique, document, read_text
from recsys.tomltext import written
from recsys.vocabulary import CommunicationClass, Creative, Product, ProductId

BANK_CATALOGUE = Path(__file__).parent / "bank" / "catalogue.toml"
"""The catalogue of the synthetic bank (domain 3.2)."""


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
    templates: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # approved wordings (MKT-8)
    apr_blocks: tuple[str, ...] = ()  # approved representative examples (CRD-5)
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
    apr_blocks = top.texts("apr_blocks", ())
    templates = tuple(_template(row, top=top) for row in top.tables("template"))
    surfaces = tuple(_surface(row, top=top) for row in top.tables("surface"))
    approved = Approved(frozenset(surface.name for surface in surfaces), dict(templates), frozenset(apr_blocks))
    rows = top.tables("product")
    lines = [top.inside(row, what="").line for row in rows]
    products = tuple(product_of(row, top=top, approved=approved) for row in rows)
    top.done()
    for what, names, at in (
        ("template", [template_id for template_id, _ in templates], []),
        ("surface", [surface.name for surface in surfaces], []),
        ("product", [product.product_id for product in products], lines),
        ("creative", [creative.creative_id for product in products for creative in product.creatives], []),
    ):
        check_unique(names, where=where, what=what, error=InvalidCatalogue, lines=at)
    check_dominance(products, where=where, lines=lines)
    by_name = MappingProxyType({surface.name: surface for surface in surfaces})
    return _digested(Catalogue(products, version, "", by_name, MappingProxyType(dict(templates)), apr_blocks))


def dump(catalogue: Catalogue) -> str:
    """Canonical TOML of a catalogue: `parse(dump(c)) == c`, and equal catalogues have equal text."""
    return _canonical(catalogue)


def _digested(catalogue: Catalogue) -> Catalogue:
    return replace(catalogue, digest=sha256(_canonical(catalogue).encode()).hexdigest())


def _surface(row: Mapping[str, Any], *, top: Table) -> Surface:
    table = top.inside(row, what="surface")
    name = table.text("name")
    table.where += f" {name}"
    max_slots = table.whole("max_slots", least=1)
    null_allowed: bool = table.take("null_allowed", bool, "true or false")
    surface = Surface(name, max_slots, null_allowed, table.whole("per_family", least=1))
    table.done()
    return surface


def _template(row: Mapping[str, Any], *, top: Table) -> tuple[str, str]:
    table = top.inside(row, what="template")
    template = (table.text("id"), table.text("text"))
    table.done()
    return template


def _canonical(catalogue: Catalogue) -> str:
    top = {"version": catalogue.version, "apr_blocks": catalogue.apr_blocks or None}
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("template", {"id": template_id, "text": text}) for template_id, text in catalogue.templates.items()
    ]
    for surface in catalogue.surfaces.values():
        keys = ("name", "max_slots", "null_allowed", "per_family")
        tables.append(("surface", {key: getattr(surface, key) for key in keys}))
    for product in catalogue.products:
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
            "dominated_by": product.dominated_by or None,
        }
        tables.append(("product", pairs))
        for creative in product.creatives:
            words = {
                "id": creative.creative_id,
                "template": creative.template or None,
                "text": None if creative.template else creative.text,
                "class": creative.communication_class.value,
                "apr_block": creative.apr_block or None,
            }
            tables.append(("product.creative", words))
    return written(top, tables)


Catalogue.EMPTY = _digested(Catalogue((), "empty", ""))
