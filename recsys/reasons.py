"""Why am I seeing this? The approved vocabulary: sentences, what each speaks of, and of which products (TRN-1).

A personal reason names a feature, the side of the middle on which its sentence is true, and the
features that tell the same thing. Whether it may be given for one product is then a measurement, not
an opinion: put those features to the middle and see whether the score falls by more than `share`.
The file is read strictly (`reasonfile`); nothing is ever filled into a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from recsys.ruling import Selector
from recsys.vocabulary import Product, Reason

AFFINITY = "affinity"
"""The one number of a candidate that comes from embeddings, as reasons name it."""

Given: TypeAlias = Literal["broadcast", "chance", "pinned", "popular", "searched", "otherwise"]
GIVEN: tuple[Given, ...] = get_args(Given)
ABSENT = ("not_allowed", "asked", "nothing", "not_proposed", "lower", "closed", "not_drawn")
_NOBODY_IS_PICKED_FOR = frozenset({"credit", "investment", "pension"})
_ADVICE = "advice_sensitive"
_MOST_KEPT = 20_000  # products whose sentences are looked up once, before starting afresh


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of data in plain words, the facts it covers, and how to turn its use off."""

    category_id: str
    name: str
    facts: tuple[str, ...]
    turn_off: str


@dataclass(frozen=True, slots=True)
class Personal:
    """A reason that must have moved the score. Exactly one of `at_least` and `at_most` is given."""

    reason: Reason
    category: str
    feature: str
    at_least: float | None
    at_most: float | None
    along: tuple[str, ...]  # features that tell the same thing
    said_of: Selector
    needs: frozenset[str]  # facts without which the sentence is a guess
    retired: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """All that goes to the middle when the reason is put to the test."""
        return (self.feature, *self.along)

    def true_at(self, value: float) -> bool:
        """Whether the sentence is true of a feature's value."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


@dataclass(frozen=True, slots=True)
class General:
    """A reason for where nothing personal was looked at, or nothing personal moved the score enough."""

    reason: Reason
    category: str
    given: Given
    said_of: Selector
    retired: bool = False


Entry: TypeAlias = Personal | General


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Everything that may be said, in the order of the file; `digest` covers its meaning."""

    version: str
    share: float
    checked_only: str  # how data was used where the cards are the same for everyone
    middle: Mapping[str, float]
    categories: Mapping[str, Category]
    entries: tuple[Entry, ...]
    absent: Mapping[str, str]
    digest: str
    _by_code: Mapping[str, Entry] = field(init=False, repr=False)
    _of_product: dict[int, tuple[Product, tuple[Personal, ...]]] = field(init=False, repr=False, default_factory=dict)

    _general: dict[tuple[Given, int], tuple[Product, Reason]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_code", {entry.reason.code: entry for entry in self.entries})

    def entry(self, code: str) -> Entry | None:
        """What the file says of a code, retired ones too; None for one that was never approved here."""
        return self._by_code.get(code)

    def category(self, code: str) -> Category | None:
        """The data that a reason speaks of."""
        entry = self._by_code.get(code)
        return None if entry is None else self.categories[entry.category]

    def category_of_fact(self, fact: str) -> Category | None:
        """The category that covers a fact."""
        return next((each for each in self.categories.values() if fact in each.facts), None)

    def personal(self, product: Product) -> tuple[Personal, ...]:
        """The personal reasons that may be said of a product; none where nobody may be picked (ADV-2, CRD-4)."""
        known = self._of_product.get(id(product))
        if known is None or known[0] is not product:
            if len(self._of_product) >= _MOST_KEPT:
                self._of_product.clear()
            known = self._of_product[id(product)] = (product, self._sayable(product))
        return known[1]

    def general(self, given: Given, product: Product) -> Reason:
        """The first general reason of a situation that may be said of a product."""
        known = self._general.get((given, id(product)))
        if known is None or known[0] is not product:
            if len(self._general) >= _MOST_KEPT:
                self._general.clear()
            found = (each for each in self.entries if isinstance(each, General) and not each.retired)
            reason = next(each.reason for each in found if each.given == given and _fits(each, product))
            known = self._general[given, id(product)] = (product, reason)
        return known[1]

    def _sayable(self, product: Product) -> tuple[Personal, ...]:
        if product.regulated_class in _NOBODY_IS_PICKED_FOR or _ADVICE in product.tags:
            return ()
        found = (each for each in self.entries if isinstance(each, Personal) and not each.retired)
        return tuple(each for each in found if _fits(each, product))


def _fits(entry: Entry, product: Product) -> bool:
    return entry.said_of.fits(product, surface="", path="")
