"""The table of cases holds, and nothing can be taken from the pack without a case of it changing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from recsys.asking import Tables
from recsys.conditions import Condition
from recsys.eligibility import RulePack
from recsys.ruling import Rule, Selector
from tests.rules.people import PACK, Case, cases

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_refused_by_just_the_rules_it_names(case: Case) -> None:
    assert case.refusals(PACK) == case.refused_by


def test_every_rule_refuses_somebody_alone() -> None:
    alone = {next(iter(case.refused_by)) for case in CASES if len(case.refused_by) == 1}
    assert alone == {rule.rule_id for rule in PACK.rules}


def mutants() -> Iterator[tuple[str, str, RulePack]]:
    """(what was done, the rule concerned, the pack) for everything that could be lost from the pack."""
    for j, rule in enumerate(PACK.rules):
        yield f"{rule.rule_id} removed", rule.rule_id, with_rules((*PACK.rules[:j], *PACK.rules[j + 1 :]))
        for what, changed in changes(rule):
            rules = (*PACK.rules[:j], changed, *PACK.rules[j + 1 :])
            yield f"{rule.rule_id}: {what}", rule.rule_id, with_rules(rules)
    tables = PACK.tables
    for name in tables.max_age:
        ages = MappingProxyType({each: age for each, age in tables.max_age.items() if each != name})
        yield f"max_age {name} removed", "", with_tables(replace(tables, max_age=ages))
    for name in ("allowances", "audiences"):
        rows = getattr(tables, name)
        for i in range(len(rows)):
            fewer: Any = (*rows[:i], *rows[i + 1 :])
            yield f"{name} {i} removed", "", with_tables(replace(tables, **{name: fewer}))
    for i, audience in enumerate(PACK.tables.audiences):
        for what, changed in without_each(audience.require):
            audiences = list(tables.audiences)
            audiences[i] = replace(audience, require=changed)
            yield f"audience {audience.name}: {what}", "ADV-2", with_tables(replace(tables, audiences=tuple(audiences)))


def changes(rule: Rule) -> Iterator[tuple[str, Rule]]:
    if rule.except_for is not None:
        yield "its exception removed", replace(rule, except_for=None)
    if rule.unknown_passes_on:
        yield "unknown refuses", replace(rule, unknown_passes_on=())
    for what, selector in narrower(rule.applies_to):
        yield what, replace(rule, applies_to=selector)
    if len(rule.require) > 1:
        for what, left in without_each(rule.require):
            yield what, replace(rule, require=left)
    for i, condition in enumerate(rule.require):
        for what, other in moved(condition):
            yield what, replace(rule, require=(*rule.require[:i], other, *rule.require[i + 1 :]))


def narrower(selector: Selector) -> Iterator[tuple[str, Selector]]:
    """A selector fits less without one of its values, and more without one of its keys."""
    for key, values in selector.wanted.items():
        others = {name: each for name, each in selector.wanted.items() if name != key}
        yield f"applies whatever the {key}", Selector(others)
        for value in values if len(values) > 1 else ():
            left = tuple(each for each in values if each != value)
            yield f"no longer for {key} {value}", Selector({**others, key: left})


def without_each(require: tuple[Condition, ...]) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    for i, condition in enumerate(require):
        yield f"without its condition on {condition.fact}", (*require[:i], *require[i + 1 :])


def moved(condition: Condition) -> Iterator[tuple[str, Condition]]:
    if condition.or_none:
        yield f"none refuses {condition.fact}", replace(condition, or_none=False)
    value = condition.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        step = 0.05 if condition.fact == "emergency_months" else 1
        if condition.fact != "months_of_spend":
            yield f"{condition.fact} one more", replace(condition, value=value + step)
            yield f"{condition.fact} one less", replace(condition, value=value - step)
    if isinstance(value, tuple):
        for each in value:
            yield f"{condition.fact} not {each}", replace(condition, value=tuple(v for v in value if v != each))


def with_rules(rules: tuple[Rule, ...]) -> RulePack:
    return replace(PACK, rules=rules)


def with_tables(tables: Tables) -> RulePack:
    return replace(PACK, tables=tables)


def survives(pack: RulePack, *, concerned: str) -> bool:
    """Whether the whole table still holds; the cases of the rule concerned are tried first."""
    ordered = sorted(CASES, key=lambda case: concerned not in case.refused_by)
    return all(case.refusals(pack) == case.refused_by for case in ordered)


def test_nothing_can_be_taken_from_the_pack_unnoticed() -> None:
    found = list(mutants())
    survivors = [what for what, concerned, pack in found if survives(pack, concerned=concerned)]
    assert survivors == []
    assert len(found) > 150
