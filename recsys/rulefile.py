"""Rules as they stand in a rule pack file, read strictly: one sentence for each mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from recsys.asking import KINDS, Allowance
from recsys.catalogue import CLASSES, REGULATED_CLASSES
from recsys.conditions import OPERATORS, Condition, Literal, ordered
from recsys.facts import FACTS, Kind, nearest
from recsys.ruling import ATTRIBUTES_TO_HAVE, PATHS, PRODUCT_NUMBERS, PRODUCT_TEXTS, SELECTORS, Rule, Selector
from recsys.tomls import Table

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


def rule_of(row: Mapping[str, Any], *, top: Table) -> Rule:
    """One `[[rule]]` table."""
    table = top.inside(row, what="rule")
    rule_id = table.text("id")
    table.where = f"{top.where}: rule {rule_id}"
    rule = Rule(
        rule_id=rule_id,
        version=table.whole("version", least=1),
        reason=table.text("reason"),
        applies_to=_selector(table, "applies_to"),
        except_for=_selector(table, "except_for") if "except_for" in table.row else None,
        require=tuple(_condition(each, rule=table) for each in table.tables("require")),
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
    if rule.effective_from and rule.effective_to and rule.effective_from >= rule.effective_to:
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


def _condition(row: Mapping[str, Any], *, rule: Table) -> Condition:
    table = Table(row, where=rule.where, error=rule.error)
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
        return attribute == "id"
    if operator in ("in", "not_in"):
        return attribute in PRODUCT_TEXTS
    return (
        attribute in PRODUCT_NUMBERS and kind is _PRODUCT_KINDS[attribute] and operator not in ("equals", "not_equals")
    )
