"""Rules as they stand in a rule pack file, read strictly: one sentence for each mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any

from recsys.asking import KINDS, Allowance, facts_behind
from recsys.audiences import MOST_CONDITIONS, ROUTES, Audience
from recsys.conditions import OPERATORS, Condition, Literal, ordered
from recsys.errors import InvalidConfiguration
from recsys.facts import FACTS, RULE_FACTS, STRAIN_FACTS, Kind, nearest
from recsys.productfile import CLASSES, REGULATED_CLASSES
from recsys.rewards import duration
from recsys.ruling import (
    ATTRIBUTES_TO_HAVE,
    PATHS,
    PRODUCT_IDS,
    PRODUCT_NUMBERS,
    PRODUCT_TEXTS,
    SELECTORS,
    Rule,
    Selector,
)
from recsys.tomls import Table
from recsys.vocabulary import RULE_KINDS

_CHOICES = {"class": CLASSES, "regulated_class": REGULATED_CLASSES, "has": ATTRIBUTES_TO_HAVE, "path": PATHS}
_PRODUCT_KINDS = {"min_age": Kind.WHOLE, "launched_at": Kind.MOMENT, "retired_at": Kind.MOMENT}


def allowance_of(row: Mapping[str, Any], *, top: Table) -> Allowance:
    """One `[[isa_allowance]]` table."""
    table = top.inside(row, what="isa_allowance")
    starts_on = table.day("from")
    if starts_on is None:
        raise table.fail("from is missing; give the day it begins, such as 2027-04-06")
    table.where += f" from {starts_on}"
    total = table.whole("total_pence", least=0)
    allowance = Allowance(starts_on, total, table.whole("cash_under_65_pence", least=0))
    table.done()
    return allowance


def max_age_of(row: Mapping[str, Any], *, top: Table) -> Mapping[str, timedelta]:
    """The `[max_age]` table: how old a fact may be before it is as a missing one (OPS-6)."""
    table = top.inside(row, what="max_age")
    ages = {}
    for name in row:
        if name not in RULE_FACTS:
            raise table.fail(f"there is no fact {name} that a rule may read{nearest(name, among=FACTS)}", key=name)
        try:
            ages[name] = duration(table.text(name))
        except InvalidConfiguration as problem:
            raise table.fail(f"{name}: {problem}", key=name) from None
    return MappingProxyType(ages)


def audience_of(row: Mapping[str, Any], *, top: Table) -> Audience:
    """One `[[audience]]` table."""
    table = top.inside(row, what="audience")
    audience_id = table.text("id")
    table.where += f" {audience_id}"
    audience = Audience(
        audience_id=audience_id,
        version=table.whole("version", least=1),
        route=table.choice("route", ROUTES),
        about=table.text("about"),
        products=table.texts("products"),
        require=_conditions(table),
        effective_from=table.day("effective_from"),
        effective_to=table.day("effective_to"),
    )
    table.done()
    for why in _audience_faults(audience):
        raise table.fail(why)
    return audience


def _audience_faults(audience: Audience) -> Iterator[str]:
    if not audience.products:
        yield "names no product; list those it may be shown"
    if not 1 <= len(audience.require) <= MOST_CONDITIONS:
        yield f"has {len(audience.require)} conditions; a declared audience is coarse and has 1 to {MOST_CONDITIONS}"
    permitted = Condition("permission_targeted_support", "equals", value=True)
    if audience.route == "targeted_support" and permitted not in audience.require:
        yield "is a targeted-support segment (MKT-9); require permission_targeted_support equals true"
    for condition in audience.require:
        if condition.of_product is not None:
            yield f"compares {condition.fact} with the product; an audience is about people"
        if STRAIN_FACTS & set(facts_behind(condition.fact)) or condition.fact == "low_balance":
            yield f"is keyed on {condition.fact}, a sign of vulnerability (EUA-2); keep people out by a rule instead"
    if not _begins_before_it_ends(audience):
        yield "is never in force; effective_to must come after effective_from"


def _begins_before_it_ends(dated: Rule | Audience) -> bool:
    return not (dated.effective_from and dated.effective_to and dated.effective_from >= dated.effective_to)


def rule_of(row: Mapping[str, Any], *, top: Table) -> Rule:
    """One `[[rule]]` table."""
    table = top.inside(row, what="rule")
    rule_id = table.text("id")
    table.where = f"{top.where}: rule {rule_id}"
    rule = Rule(
        rule_id=rule_id,
        version=table.whole("version", least=1),
        kind=table.choice("kind", RULE_KINDS),
        reason=table.text("reason"),
        applies_to=_selector(table, "applies_to"),
        except_for=_selector(table, "except_for") if "except_for" in table.row else None,
        require=_conditions(table),
        unknown_passes_on=_paths(table),
        effective_from=table.day("effective_from"),
        effective_to=table.day("effective_to"),
    )
    table.done()
    for why in _faults(rule):
        raise table.fail(why)
    return rule


def _faults(rule: Rule) -> Iterator[str]:
    if not rule.require:
        yield "requires nothing; add a condition to require"
    if rule.reason[-1] not in ".!?":
        yield "reason must be a sentence that can be read out, with a full stop"
    if not _begins_before_it_ends(rule):
        yield "is never in force; effective_to must come after effective_from"
    if rule.except_for is not None and not rule.except_for.wanted:
        yield "is excepted for everything; name a selector in except_for or remove it"


def _paths(table: Table) -> tuple[str, ...]:
    paths = table.texts("unknown_passes_on", ())
    if not set(paths) <= {"broadcast"}:
        raise table.fail("unknown_passes_on may only name broadcast: a personalised slate needs the fact")
    return paths


def _selector(table: Table, key: str) -> Selector:
    row: dict[str, Any] = table.take(key, dict, 'selectors such as { family = ["credit"] }', default={})
    wanted: dict[str, tuple[str, ...]] = {}
    inner = table.inside(row, what=key)
    for name in row:
        if name not in SELECTORS:
            raise inner.fail(f"there is no selector {name}{nearest(name, among=dict.fromkeys(SELECTORS))}")
        wanted[name] = inner.texts(name)
        if not wanted[name]:
            raise inner.fail(f"{name} selects nothing; list what it should fit")
        for each in wanted[name]:
            if each not in _CHOICES.get(name, (each,)):
                raise inner.fail(f"{name} names {each!r}; choose among {', '.join(_CHOICES[name])}")
    return Selector(wanted)


def _conditions(table: Table) -> tuple[Condition, ...]:
    return tuple(_condition(table.inside(each, what="require")) for each in table.tables("require"))


def _condition(table: Table) -> Condition:
    table.where = table.where.removesuffix(": require")
    fact = table.text("fact")
    if fact not in KINDS:
        raise table.fail(f"there is no fact {fact} that a rule may read{nearest(fact, among=KINDS)}")
    or_none: bool = table.take("or_none", bool, "true or false", default=False)
    if len(table.row) != 1:
        raise table.fail(f"the condition on {fact} needs exactly one of {', '.join(OPERATORS)}")
    operator, value = next(iter(table.row.items()))
    if operator not in OPERATORS:
        raise table.fail(f"there is no operator {operator}{nearest(operator, among=OPERATORS)}")
    if KINDS[fact] not in OPERATORS[operator]:
        raise table.fail(f"{operator} does not fit {fact}, which is {KINDS[fact].value}")
    condition = Condition(fact, operator, _canonical(value), or_none)
    if not _fits(condition):
        raise table.fail(f"the value of {operator} does not fit {fact}, which is {KINDS[fact].value}")
    return condition


def _canonical(value: Any) -> Literal:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    literal: Literal = value
    return literal


def _fits(condition: Condition) -> bool:
    """Whether the value, constant or the product's own, can be compared with the fact."""
    kind, value = KINDS[condition.fact], condition.value
    if condition.of_product is not None:
        return _fits_product(condition.of_product, operator=condition.operator, kind=kind)
    if value == "now":
        return kind is Kind.MOMENT
    if condition.operator in ("at_least", "at_most", "before", "after"):
        try:
            return ordered(value, kind=kind) == ordered(value, kind=kind)  # False for nan
        except (TypeError, ValueError):
            return False
    if kind is Kind.TRUTH:
        return isinstance(value, bool)
    if kind in (Kind.WHOLE, Kind.NUMBER):
        return isinstance(value, int | float) and not isinstance(value, bool)
    texts = value if condition.operator in ("in", "not_in") else (value,)
    choices = FACTS[condition.fact].choices if condition.fact in FACTS else ()
    return isinstance(texts, tuple) and all(isinstance(t, str) and t in (choices or (t,)) for t in texts)


def _fits_product(attribute: str, *, operator: str, kind: Kind) -> bool:
    if operator in ("contains", "lacks"):
        return attribute in PRODUCT_IDS
    if operator in ("in", "not_in"):
        return attribute in PRODUCT_TEXTS
    return (
        attribute in PRODUCT_NUMBERS and kind is _PRODUCT_KINDS[attribute] and operator not in ("equals", "not_equals")
    )
