"""A pack that cannot be enforced is refused in one sentence with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.eligibility import load as load_pack
from recsys.eligibility import parse as parse_pack
from recsys.errors import InvalidRulePack

RULE = """
pack = "xx"
version = "1"
country = "GB"
[[rule]]
id = "CRD-1"
version = 1
kind = "suitable"
reason = "No."
applies_to = { regulated_class = ["credit"] }
require = [{ fact = "arrears_days", at_most = 0 }]
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("arrears_days", "arears_days", "rule CRD-1: there is no fact arears_days .*did you mean arrears_days"),
        ("arrears_days", "household_id", "rule CRD-1: there is no fact household_id that a rule may read"),
        ("at_most", "atmost", "rule CRD-1: there is no operator atmost; did you mean at_most"),
        ("at_most = 0", 'at_most = "none"', "rule CRD-1: the value of at_most does not fit arrears_days"),
        ("at_most = 0", "at_most = nan", "rule CRD-1: the value of at_most does not fit"),
        ("at_most = 0", 'at_most = "product.name"', "rule CRD-1: the value of at_most does not fit"),
        ("at_most = 0", 'at_most = "now"', "rule CRD-1: the value of at_most does not fit"),
        ("at_most", "contains", "rule CRD-1: contains does not fit arrears_days, which is a whole number"),
        (", at_most = 0", "", "rule CRD-1: the condition on arrears_days needs exactly one of"),
        ('"arrears_days", at_most = 0', '"status", equals = "actve"', "rule CRD-1: the value of equals does not fit"),
        ('[{ fact = "arrears_days", at_most = 0 }]', "[]", "rule CRD-1: requires nothing"),
        ('reason = "No."', 'reason = ""', "rule CRD-1: reason is empty"),
        ('reason = "No."', 'reason = "no"', "rule CRD-1: reason must be a sentence"),
        ('reason = "No."\n', "", "rule CRD-1: reason is missing"),
        ('kind = "suitable"', 'kind = "nice"', "rule CRD-1: kind is 'nice'; choose eligible, applicable, suitable"),
        ("version = 1\n", "version = 0\n", "rule CRD-1: version must be at least 1"),
        ("regulated_class", "regulatd_class", "applies_to: there is no selector regulatd_class; did you mean"),
        ('["credit"]', '["loans"]', "applies_to: regulated_class names 'loans'; choose among"),
        ('["credit"]', "[]", "applies_to: regulated_class selects nothing"),
        ('reason = "No."', 'reason = "No."\neffective_from = "soon"', "rule CRD-1: effective_from must be a day"),
        (
            'reason = "No."',
            'reason = "No."\neffective_from = 2026-02-01\neffective_to = 2026-02-01',
            "rule CRD-1: is never in force",
        ),
        ('reason = "No."', 'reason = "No."\nunknown_passes_on = ["personalised"]', "unknown_passes_on may only name"),
        ('reason = "No."', 'reason = "No."\nexcept_for = {}', "is excepted for everything"),
        ('reason = "No."', 'reason = "No."\nwhen = 1', "rule CRD-1: does not know the key when"),
        ("[[rule]]", "[[rules]]", "has no rule, which would allow everything|does not know the key rules"),
        ('country = "GB"', "", "country is missing"),
        ("[[rule]]", "[[rule]", "is not TOML"),
        ("[[rule]]", "[[isa_allowance]]\ntotal_pence = 1\n[[rule]]", "isa_allowance: from is missing"),
    ],
)
def test_a_pack_that_cannot_be_enforced_is_refused_in_one_sentence(old: str, new: str, complaint: str) -> None:
    assert old in RULE
    with pytest.raises(InvalidRulePack, match=complaint) as caught:
        parse_pack(RULE.replace(old, new), where="xx.toml")
    assert str(caught.value).startswith("xx.toml: ")
    assert "\n" not in str(caught.value)


def test_a_rule_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(
        InvalidRulePack, match=r"xx.toml: rule CRD-1@1: is there 2 times; ids must differ \(lines 5 and 12\)"
    ):
        parse_pack(RULE + RULE[RULE.index("[[rule]]") :], where="xx.toml")


def test_a_pack_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRulePack, match=r"gone\.toml: there is no such file"):
        load_pack(tmp_path / "gone.toml")


def test_trn_2_the_digest_is_of_the_meaning() -> None:
    digest = parse_pack(RULE, where="xx").digest
    assert parse_pack("# a comment\n" + RULE.replace(" = ", "="), where="yy").digest == digest
    assert parse_pack(RULE.replace("at_most = 0", "at_most = 1"), where="xx").digest != digest
    assert parse_pack(RULE.replace("No.", "No!"), where="xx").digest != digest


def dated(*spans: tuple[int, str, str]) -> str:
    """The rule again and again, each with its version and its days."""
    rule = RULE[RULE.index("[[rule]]") :]
    versions = [
        rule.replace("version = 1", f"version = {number}").replace(
            'reason = "No."', f'reason = "No."\n{begins}\n{ends}'
        )
        for number, begins, ends in spans
    ]
    return RULE[: RULE.index("[[rule]]")] + "".join(versions)


def test_sav_2_a_rule_may_change_from_a_day_on() -> None:
    text = dated((1, "", "effective_to = 2027-04-06"), (2, "effective_from = 2027-04-06", ""))
    assert [rule.name for rule in parse_pack(text, where="xx.toml").rules] == ["CRD-1@1", "CRD-1@2"]


@pytest.mark.parametrize(
    "spans",
    [
        ((1, "", "effective_to = 2027-04-07"), (2, "effective_from = 2027-04-06", "")),
        ((1, "", ""), (2, "effective_from = 2027-04-06", "effective_to = 2027-05-01")),
        ((2, "effective_from = 2027-04-06", ""), (1, "effective_from = 2026-04-06", "")),
    ],
)
def test_two_versions_of_a_rule_on_the_same_day_are_refused(spans: tuple[tuple[int, str, str], ...]) -> None:
    with pytest.raises(InvalidRulePack, match=r"rule CRD-1: versions \d and \d are in force on the same days.*lines"):
        parse_pack(dated(*spans), where="xx.toml")


AGED = ', { fact = "age", at_least = 1 }'
AUDIENCE = """
[[audience]]
id = "savers"
version = 1
route = "targeted_support"
about = "Savers."
products = ["pot"]
require = [{ fact = "permission_targeted_support", equals = true }]
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("equals = true }]", "equals = false }]", "is a targeted-support segment"),
        ('"targeted_support"', '"anybody"', "route is 'anybody'; choose coarse, targeted_support"),
        ('["pot"]', "[]", "names no product"),
        (
            'fact = "permission_targeted_support", equals = true',
            'fact = "arrears_days", at_least = 1',
            "is a targeted-support segment",
        ),
        (
            "equals = true }]",
            'equals = true }, { fact = "arrears_days", at_least = 1 }]',
            "keyed on arrears_days.*EUA-2",
        ),
        (
            "equals = true }]",
            'equals = true }, { fact = "low_balance", equals = true }]',
            "keyed on low_balance.*EUA-2",
        ),
        ("equals = true }]", 'equals = true }, { fact = "held", lacks = "product.id" }]', "compares held with the"),
        ("equals = true }]", "equals = true }" + AGED * 4 + "]", "has 5 conditions"),
        ('about = "Savers."', 'about = ""', "about is empty"),
    ],
)
def test_adv_2_eua_2_an_audience_that_is_no_coarse_declared_one_is_refused(old: str, new: str, complaint: str) -> None:
    assert old in AUDIENCE
    assert parse_pack(RULE + AUDIENCE, where="xx.toml").tables.audiences
    with pytest.raises(InvalidRulePack, match=rf"xx\.toml: audience savers: .*{complaint}.*\(line \d+\)$"):
        parse_pack(RULE + AUDIENCE.replace(old, new), where="xx.toml")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('ballance_pence = "7d"', "there is no fact ballance_pence .*did you mean balance_pence"),
        ('household_id = "7d"', "there is no fact household_id that a rule may read"),
        ('balance_pence = "a week"', 'balance_pence: "a week" is not a duration'),
        ("balance_pence = 7", "balance_pence must be a text"),
    ],
)
def test_ops_6_an_age_that_cannot_be_kept_is_refused_with_its_line(line: str, complaint: str) -> None:
    text = RULE.replace("[[rule]]", f"[max_age]\n{line}\n[[rule]]")
    with pytest.raises(InvalidRulePack, match=rf"xx\.toml: max_age: {complaint}.*\(line 6\)$"):
        parse_pack(text, where="xx.toml")


def test_a_complaint_names_the_line_of_the_key() -> None:
    text = RULE.replace('reason = "No."', 'reason = ""').replace("country", "# a comment with [[rule]]\ncountry")
    with pytest.raises(InvalidRulePack, match=r"reason is empty; give a text \(line 10\)$"):
        parse_pack(text, where="xx.toml")
