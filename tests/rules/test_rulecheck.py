"""The linter finds what can be read but never works, and says where."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.asking import KINDS, Asked, Tables
from recsys.conditions import OPERATORS, Condition, question_of
from recsys.eligibility import GB_RULES
from recsys.facts import Kind
from recsys.logic import excludes, implies
from recsys.rulecheck import findings
from recsys.vocabulary import CustomerId, Fact, Profile, Token
from tests.rules.people import CATALOGUE, NOON

TODAY = date(2026, 5, 12)
HEAD = """pack = "xx"
version = "1"
country = "GB"
"""


def rule(
    rule_id: str = "CRD-1",
    *,
    applies_to: str = 'regulated_class = ["credit"]',
    require: str = '{ fact = "arrears_days", at_most = 0 }',
    more: str = "",
) -> str:
    return f"""
[[rule]]
id = "{rule_id}"
version = 1
kind = "suitable"
reason = "No."
applies_to = {{ {applies_to} }}
require = [{require}]
{more}
"""


def found(text: str) -> list[str]:
    return [str(each) for each in findings(HEAD + text, where="xx.toml", catalogue=CATALOGUE, today=TODAY)]


def test_the_pack_of_great_britain_has_nothing_to_mend() -> None:
    text = GB_RULES.read_text(encoding="utf-8")
    assert findings(text, where="gb.toml", catalogue=CATALOGUE, today=TODAY) == ()


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (
            rule(more="effective_to = 2026-05-12"),
            "rule CRD-1: ended on 2026-05-12; remove it, the version history keeps it (line 5)",
        ),
        (
            rule(applies_to='product = ["lone"]'),
            "rule CRD-1: names the product lone, which the catalogue does not have; did you mean loan? (line 5)",
        ),
        (
            rule(applies_to='tags = ["isas"]'),
            "rule CRD-1: names the tags isas, which the catalogue does not have; did you mean isa? (line 5)",
        ),
        (
            rule(applies_to='family = ["help"], regulated_class = ["credit"]'),
            "rule CRD-1: can concern no product on any surface and path; widen applies_to or remove it (line 5)",
        ),
        (
            rule(require='{ fact = "age", at_least = 18 }, { fact = "age", at_most = 17 }'),
            "rule CRD-1: asks two things of age that nobody can satisfy; it would refuse everybody (line 5)",
        ),
        (
            rule(require='{ fact = "status", equals = "active" }, { fact = "status", not_in = ["active", "dormant"] }'),
            "rule CRD-1: asks two things of status that nobody can satisfy; it would refuse everybody (line 5)",
        ),
        (
            rule(require='{ fact = "surface", equals = "home" }', applies_to='surface = ["push"]'),
            "rule CRD-1: applies to a surface that it then refuses; it would refuse everybody (line 5)",
        ),
        (
            rule() + rule("CRD-9", require='{ fact = "arrears_days", at_most = 30 }'),
            "rule CRD-9: refuses nobody whom CRD-1 lets through; remove it (line 14)",
        ),
        (
            rule("CRD-9", applies_to='product = ["loan"]') + rule(),
            "rule CRD-9: refuses nobody whom CRD-1 lets through; remove it (line 5)",
        ),
        (
            rule(require='{ fact = "isa_remaining_pence", at_least = 1 }'),
            "isa_allowance: no allowance is in force on 2026-05-12, so no ISA could be shown; add one (line 1)",
        ),
        (
            rule(require='{ fact = "isa_remaining_pence", at_least = 1 }')
            + "[[isa_allowance]]\nfrom = 2026-04-05\ntotal_pence = 5\ncash_under_65_pence = 5\n",
            "isa_allowance from 2026-04-05: does not begin with a tax year; let it begin on 6 April (line 13)",
        ),
        (
            rule(require='{ fact = "isa_remaining_pence", at_least = 1 }')
            + "[[isa_allowance]]\nfrom = 2026-04-06\ntotal_pence = 5\ncash_under_65_pence = 6\n",
            "isa_allowance from 2026-04-06: allows more in cash than in all; mend one of the two (line 13)",
        ),
        (
            rule(require='{ fact = "audience_for", contains = "product.id" }'),
            "audience: a rule asks for an audience and there is none, so nobody gets through; declare one (line 1)",
        ),
        (
            '[max_age]\nbalance_pence = "7d"\n' + rule(),
            "max_age: no rule reads balance_pence; remove its age (line 1)",
        ),
    ],
)
def test_a_finding_names_file_line_and_what_to_do(text: str, finding: str) -> None:
    assert found(text) == [f"xx.toml: {finding}"]


def test_an_audience_is_for_what_is_advice_sensitive_and_there() -> None:
    audience = """
[[audience]]
id = "savers"
version = 1
route = "coarse"
about = "Savers."
products = ["pot", "yacht"]
require = [{ fact = "emergency_months", at_least = 3 }, { fact = "emergency_months", at_most = 2 }]
effective_to = 2026-05-01
"""
    assert [each.partition(": audience savers: ")[2] for each in found(rule() + audience)] == [
        "ended on 2026-05-01; remove it, the version history keeps it (line 14)",
        "names pot, which is not advice-sensitive and needs no audience (line 14)",
        "names the product yacht, which the catalogue does not have (line 14)",
        "asks two things of emergency_months that nobody can satisfy (line 14)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        rule(more='unknown_passes_on = ["broadcast"]')
        + rule("CRD-9", require='{ fact = "arrears_days", at_most = 9 }'),
        rule(more="effective_from = 2026-06-01") + rule("CRD-9", require='{ fact = "arrears_days", at_most = 30 }'),
        rule(applies_to='product = ["loan"]') + rule("CRD-9", require='{ fact = "arrears_days", at_most = 30 }'),
        rule(require='{ fact = "credit_declined_on", before = 2026-01-01, or_none = true }')
        + rule("CRD-9", require='{ fact = "credit_declined_on", before = 2026-02-01 }'),
    ],
    ids=["laxer about the unknown", "later", "narrower", "laxer about none"],
)
def test_a_rule_that_is_needed_after_all_is_left_alone(text: str) -> None:
    assert found(text) == []


# -- what conditions imply, against asking everybody --------------------------------------------

VALUES: dict[str, list[object]] = {
    "arrears_days": [0, 1, 2, 3, 4],
    "emergency_months": [0.0, 0.5, 1.0, 1.5, 2.0, 2.5],
    "status": ["active", "dormant", "bereaved"],
    "age_verified": [True, False],
    "credit_declined_on": ["2026-01-01", "2026-01-02", "2026-01-03", None],
    "signals": [("saver",), ("family",), ("family", "saver"), ()],
}


def written(fact: str) -> st.SearchStrategy[Condition]:
    kind = KINDS[fact]
    constants = [value for value in VALUES[fact] if value is not None]

    def of(operator: str) -> st.SearchStrategy[Condition]:
        if operator in ("in", "not_in"):
            values: st.SearchStrategy[object] = st.lists(st.sampled_from(constants), min_size=1, unique=True).map(tuple)
        elif kind is Kind.TEXTS:
            values = st.sampled_from(["saver", "family"])
        else:
            values = st.sampled_from(constants)
        return st.builds(Condition, st.just(fact), st.just(operator), values, st.booleans())

    return st.sampled_from(sorted(name for name, kinds in OPERATORS.items() if kind in kinds)).flatmap(of)


TWO = st.sampled_from(sorted(VALUES)).flatmap(lambda fact: st.tuples(written(fact), written(fact)))


def holds(condition: Condition, value: object) -> bool:
    facts = {condition.fact: Fact(value, NOON)}  # type: ignore[arg-type]
    profile = Profile(CustomerId("c"), Token("t"), facts)
    asked = Asked(profile, at=NOON, surface="home", path="personalised", tables=Tables())
    return question_of(condition)(asked) is True


@settings(max_examples=500, deadline=None, derandomize=True)
@given(TWO)
def test_what_conditions_imply_or_exclude_is_true_of_everybody(two: tuple[Condition, Condition]) -> None:
    one, other = two
    both = [(holds(one, value), holds(other, value)) for value in VALUES[one.fact]]
    if implies(one, other):
        assert all(second for first, second in both if first)
    if excludes(one, other):
        assert not any(first and second for first, second in both)


def test_conditions_on_different_facts_say_nothing_of_each_other() -> None:
    one, other = Condition("age", "at_least", 18), Condition("arrears_days", "at_least", 18)
    assert not implies(one, other)
    assert not excludes(one, other)
    assert implies(one, one)
