"""What a bank knows and offers: customers, products, wordings, rates.

Three readings of a fact are kept apart, as at the API: a null is a fact nobody told us, a name in
`known_none` is a fact known to be none, and anything else is the fact.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from recsys.facts import FACTS, LARGEST_NUMBER, LONGEST_TEXT, FactDefinition, Kind
from recsys.productfile import CLASSES, REGULATED_CLASSES
from recsys.tables.columns import (
    MOMENT,
    UNKNOWN,
    Column,
    Rule,
    Table,
    choice,
    day,
    identifier,
    moment,
    text,
    texts,
    truth,
)

_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.TRUTH: pl.Boolean(),
    Kind.WHOLE: pl.Int64(),
    Kind.NUMBER: pl.Float64(),
    Kind.TEXT: pl.String(),
    Kind.DATE: pl.Date(),
    Kind.MOMENT: MOMENT,
    Kind.TEXTS: pl.List(pl.String),
}


def _fact(fact: FactDefinition) -> Column:
    single = fact.kind is Kind.TEXT and fact.choices
    whole = fact.kind in (Kind.WHOLE, Kind.NUMBER)
    unit = "pence" if fact.name.endswith("_pence") else "UTC" if fact.kind is Kind.MOMENT else ""
    return Column(
        fact.name,
        pl.Enum(fact.choices) if single else _TYPES[fact.kind],
        fact.about,
        unit=unit,
        nullable=UNKNOWN,
        least=(-LARGEST_NUMBER if fact.least is None else fact.least) if whole else None,
        most=LARGEST_NUMBER if whole else None,
        longest=LONGEST_TEXT if fact.kind in (Kind.TEXT, Kind.TEXTS) else None,
        choices=fact.choices,
    )


_MAY_BE_NONE = tuple(name for name, fact in FACTS.items() if fact.may_be_none)

CUSTOMERS = Table(
    "customers",
    "What the bank knew of a customer at a moment: the facts, and what the customer allows.",
    (
        identifier("customer_id", "the bank's name for the customer"),
        moment("as_of", "since when these facts hold; a later row replaces an earlier one"),
        *(_fact(fact) for fact in FACTS.values()),
        texts("known_none", "facts known to be none, which a null alone does not say", choices=_MAY_BE_NONE),
        truth("in_app", "allows marketing in the app"),
        truth("push", "allows push messages"),
        truth("email", "allows e-mail"),
        truth("targeted_support", "allows targeted support"),
        moment("objected_at", "when the customer objected to direct marketing", nullable="never"),
    ),
    key=("customer_id", "as_of"),
    by_month="as_of",
    rules=tuple(
        Rule(f"{name} has a value and is also named in known_none",
             pl.col(name).is_not_null() & pl.col("known_none").list.contains(name))
        for name in _MAY_BE_NONE
    ),
)  # fmt: skip

PRODUCTS = Table(
    "products",
    "What the bank offers: one row a product, as in the catalogue file.",
    (
        identifier("product_id", "name of the product"),
        text("name", "what customers call it"),
        text("family", "products that stand in for each other"),
        choice("communication_class", "what kind of message it is, in law", choices=CLASSES),
        choice("regulated_class", "what the product is, in law", choices=REGULATED_CLASSES),
        texts("surfaces", "where it may appear"),
        text("text", "what it is, in a sentence or two", longest=2_000),
        texts("tags", "words that rules and features read"),
        Column("value", pl.Float64(), "what one opening is worth, before costs", unit="points"),
        Column("min_age", pl.Int64(), "youngest age that may have it", unit="years", least=0, most=150),
        texts("countries", "residences that may have it, two letters each"),
        moment("launched_at", "when it is first on offer", nullable="always was"),
        moment("retired_at", "when it is no longer on offer", nullable="for good"),
        texts("dominated_by", "better products for the same need"),
    ),
    key=("product_id",),
    rules=(Rule("it is retired before it is launched", pl.col("launched_at") >= pl.col("retired_at")),),
)

CREATIVES = Table(
    "creatives",
    "The approved ways of saying a product; the first of each product is its own.",
    (
        identifier("creative_id", "name of the wording"),
        identifier("product_id", "the product it speaks of"),
        text("text", "what the customer reads", longest=2_000),
        choice("communication_class", "what kind of message it is, in law", choices=CLASSES),
        text("template", "the approved template it is taken from", nullable="of its own"),
        text("apr_block", "the approved representative example that goes with it", nullable="needs none"),
    ),
    key=("creative_id",),
)

RATES = Table(
    "rates",
    "What a product pays or costs from a day on, until its next row.",
    (
        identifier("product_id", "the product"),
        day("effective_on", "first day of this rate"),
        Column("aer", pl.Float64(), "interest, 0.045 for 4.5 %", unit="share a year", least=-1, most=10),
    ),
    key=("product_id", "effective_on"),
)
