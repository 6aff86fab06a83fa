"""What a rule is: whom it concerns, what must hold, since when, and what it says when it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import nan

from recsys.asking import facts_behind
from recsys.catalogue import broadcast_creative
from recsys.conditions import Condition
from recsys.vocabulary import Product

PATHS = ("personalised", "broadcast")
"""A slate made for this person, or the one that is the same for everyone (MKT-2)."""

SELECTORS = ("class", "regulated_class", "family", "product", "tags", "has", "surface", "path")
ATTRIBUTES_TO_HAVE = ("min_age", "launched_at", "retired_at", "dominated_by")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which products, surfaces and paths a rule concerns: all of these must fit, an absent one fits all."""

    wanted: Mapping[str, tuple[str, ...]]

    def fits(self, product: Product, *, surface: str, path: str) -> bool:
        """Whether the product on this surface and path is concerned."""
        found: Mapping[str, tuple[str, ...]] = {
            "class": (product.communication_class,),
            "regulated_class": (product.regulated_class,),
            "family": (product.family,),
            "product": (product.product_id,),
            "tags": product.tags,
            "has": tuple(name for name in ATTRIBUTES_TO_HAVE if getattr(product, name)),
            "surface": (surface,),
            "path": (path,),
        }
        return all(any(each in found[key] for each in values) for key, values in self.wanted.items())


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: whom it concerns, what must hold, since when, and what to say when it refuses."""

    rule_id: str
    version: int
    kind: str  # eligible | applicable | suitable
    reason: str
    applies_to: Selector
    except_for: Selector | None
    require: tuple[Condition, ...]
    unknown_passes_on: tuple[str, ...] = ()
    effective_from: date | None = None
    effective_to: date | None = None  # first day no longer in force

    @property
    def name(self) -> str:
        """`id@version`, as verdicts carry it."""
        return f"{self.rule_id}@{self.version}"

    @property
    def reads(self) -> frozenset[str]:
        """The facts of the bank that it rests on."""
        return frozenset(name for condition in self.require for name in facts_behind(condition.fact))

    def applies(self, product: Product, *, surface: str, path: str) -> bool:
        """Whether the rule concerns this product on this surface and path."""
        if not self.applies_to.fits(product, surface=surface, path=path):
            return False
        return self.except_for is None or not self.except_for.fits(product, surface=surface, path=path)

    def overlaps(self, other: Rule) -> bool:
        """Whether there is a day on which both are in force."""
        begins = max(self.effective_from or date.min, other.effective_from or date.min)
        return begins < min(self.effective_to or date.max, other.effective_to or date.max)

    def in_force(self, day: date) -> bool:
        """Whether the rule is in force on a London day."""
        begun = self.effective_from is None or self.effective_from <= day
        return begun and (self.effective_to is None or day < self.effective_to)


def _timestamp(moment: datetime | None) -> float:
    return nan if moment is None else moment.timestamp()


def paths_of(product: Product) -> tuple[str, ...]:
    """The paths on which a product has words: every product is written for the personalised one."""
    return PATHS if broadcast_creative(product) else PATHS[:1]


PRODUCT_TEXTS: Mapping[str, Callable[[Product], frozenset[str]]] = {
    "surfaces": lambda product: product.surfaces,
    "countries": lambda product: frozenset(product.countries),
    "paths": lambda product: frozenset(paths_of(product)),
}
PRODUCT_IDS: Mapping[str, Callable[[Product], tuple[str, ...]]] = {
    "id": lambda product: (product.product_id,),
    "dominated_by": lambda product: product.dominated_by,
}
PRODUCT_NUMBERS: Mapping[str, Callable[[Product], float]] = {
    "min_age": lambda product: float(product.min_age),
    "launched_at": lambda product: _timestamp(product.launched_at),
    "retired_at": lambda product: _timestamp(product.retired_at),
}
