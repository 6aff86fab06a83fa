"""Packs compared in words, and verdicts explained."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from recsys.clocks import FixedClock
from recsys.customers import Customers, Told
from recsys.database import Database
from recsys.eligibility import GB_RULES, parse
from recsys.eventlog import EventLog
from recsys.explaining import explanation
from recsys.rulediff import changes
from recsys.vocabulary import CustomerId
from serving.settings import Settings
from tests.conftest import Recsys
from tests.rules.people import ALL_PERMISSIONS, CATALOGUE, EVERYTHING_ALLOWED, NOON, PACK, profile_of
from tests.service import apply_products

TEXT = GB_RULES.read_text(encoding="utf-8")


def edited(*edits: tuple[str, str]) -> str:
    text = TEXT
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_equal_packs_have_no_changes() -> None:
    assert changes(PACK, parse("# a comment\n" + TEXT, where="gb.toml")) == ()


def test_every_kind_of_change_is_told_in_words() -> None:
    text = edited(
        ('fact = "days_since_credit_declined", at_least = 90', 'fact = "days_since_credit_declined", at_least = 60'),
        ('balance_pence = "7d"', 'balance_pence = "3d"'),
        ('version = "2026.2"', 'version = "2026.3"'),
        ('{ fact = "emergency_months", at_least = 3 }', '{ fact = "emergency_months", at_least = 6 }'),
        ('id = "CRD-8"', 'id = "CRD-88"'),
    )
    told = [str(change) for change in changes(PACK, parse(text, where="gb.toml"))]
    assert told[0] == "changed pack\n    version: 2026.2 → 2026.3"
    assert told[1] == "changed max_age\n    balance_pence: 7 days, 0:00:00 → 3 days, 0:00:00"
    assert told[2].startswith("changed audience spare-savings\n    requires: ")
    assert told[3] == (
        "changed rule CRD-1.declined\n"
        "    requires: days_since_credit_declined is at least 90 or known to be none → "
        "days_since_credit_declined is at least 60 or known to be none\n"
        "    beware: its version was not raised"
    )
    assert told[4].startswith("added rule CRD-88\n    version: 1\n    kind: suitable\n")
    assert told[5].startswith("removed rule CRD-8\n")
    assert len(told) == 6


def test_a_refusal_is_explained_with_its_facts_and_their_ages() -> None:
    told = {"balance_pence": NOON - timedelta(days=8), "arrears_days": NOON - timedelta(hours=26)}
    found = explanation(
        profile_of({"arrears_days": 3}, told=told), product_id="loan", pack=PACK, products=CATALOGUE.products,
        surface="home", path="personalised", at=NOON,
    )  # fmt: skip
    assert not found.allowed
    refused = {each.rule: each for each in found.verdicts if not each.allowed}
    assert set(refused) == {"CRD-1.arrears@1", "CRD-4@1"}
    assert refused["CRD-1.arrears@1"].facts == ("arrears_days = 3, told 1 day 2 hours ago",)
    assert refused["CRD-4@1"].reason == "What we know is out of date, and what cannot be checked is not shown"
    assert "balance_pence = 150,000, told 8 days ago, which is too old" in refused["CRD-4@1"].facts
    assert found.verdicts[0].allowed is False  # refusals first
    assert len(found.verdicts) + found.unconcerned == len(PACK.rules)


def test_vul_1_an_explanation_does_not_tell_what_is_sensitive() -> None:
    found = explanation(
        profile_of({"gambling_block": True}), product_id="loan", pack=PACK, products=CATALOGUE.products,
        surface="home", path="personalised", at=NOON,
    )  # fmt: skip
    assert "gambling_block = (not shown here)" in str(found)
    [refused] = [each for each in found.verdicts if not each.allowed]
    assert "gambl" not in refused.reason


def test_adv_2_an_explanation_names_the_audience() -> None:
    found = explanation(
        profile_of(), product_id="pension", pack=PACK, products=CATALOGUE.products,
        surface="home", path="personalised", at=NOON,
    )  # fmt: skip
    assert found.allowed
    assert found.audiences == ("gathering-pensions@1",)
    assert "admitted through the audience gathering-pensions@1" in str(found)


# -- the commands --------------------------------------------------------------------------------


@pytest.fixture
def bank(home: Path) -> Path:
    """A home with the bank's products and one customer in arrears."""
    apply_products(home)
    database = Database(Settings(home=home).database).create()
    facts = {**EVERYTHING_ALLOWED, "arrears_days": 3}
    told = Told(CustomerId("ann"), NOON, facts, ALL_PERMISSIONS)  # type: ignore[arg-type]
    Customers(database).tell([told], log=EventLog(database, clock=FixedClock(NOON)))
    database.close()
    return home


def test_rules_check_passes_what_is_in_force(recsys: Recsys) -> None:
    done = recsys("rules", "check")
    assert (done.code, done.out) == (0, f"gb.toml: gb 2026.2, {len(PACK.rules)} rules, nothing to mend\n")


def test_rules_check_lists_what_is_to_mend(recsys: Recsys, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(
        edited(('product = ["business"]', 'product = ["busyness"]'), ('balance_pence = "7d"', 'held = "7d"'))
    )
    done = recsys("rules", "check", bad)
    assert done.code == 2
    assert done.err == (
        "recsys: bad.toml: rule DUT-1.business: names the product busyness, which the catalogue does not have; "
        f"did you mean business? (line {_line(bad, 'DUT-1.business') - 1})\n"
    )
    unreadable = tmp_path / "worse.toml"
    unreadable.write_text(edited(('kind = "applicable"\nreason = "The product does not belong', "reason = 1 #")))
    assert "worse.toml: rule DUT-1.surface: kind is missing" in recsys("rules", "check", unreadable).sentence


def _line(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), start=1) if f'"{text}"' in line)


def test_rules_explain_says_why_and_when(recsys: Recsys, bank: Path) -> None:
    done = recsys("rules", "explain", "ann", "loan", "--at", "2026-05-12T12:00:00Z")
    assert done.code == 0, done.err
    assert done.out.startswith("loan may not be shown on home (personalised path, gb 2026.2, 2026-05-12 12:00 UTC)\n")
    assert "REFUSES  CRD-1.arrears@1  (suitable)\n    Credit is not shown while a payment is overdue." in done.out
    told = json.loads(recsys("rules", "explain", "ann", "pot", "--at", "2026-05-12T12:00:00Z", "--json").out)
    assert told["allowed"]
    assert {each["kind"] for each in told["verdicts"]} == {"eligible", "applicable", "suitable"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bob", "pot"), "nobody told us of the customer bob"),
        (("ann", "yacht"), "the catalogue has no product yacht"),
        (("ann", "pot", "--surface", "moon"), '"moon" is no surface; choose home, savings, search, push, inline'),
        (("ann", "pot", "--at", "noon"), '--at "noon": write a time such as 2027-04-06T09:00:00Z'),
        (("ann", "pot", "--at", "2026-05-12"), '--at "2026-05-12" needs a zone'),
    ],
)
def test_rules_explain_refuses_in_one_sentence(
    recsys: Recsys, bank: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    done = recsys("rules", "explain", *arguments)
    assert done.code in (1, 2)
    assert sentence in done.sentence
    assert done.out == ""


def test_rules_diff_tells_what_changes(recsys: Recsys, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text(edited(('version = "2026.2"', 'version = "2026.3"')))
    assert recsys("rules", "diff", GB_RULES, GB_RULES).out == "the two packs say the same\n"
    assert recsys("rules", "diff", GB_RULES, new).out == "changed pack\n    version: 2026.2 → 2026.3\n"
    told = json.loads(recsys("rules", "diff", GB_RULES, new, "--json").out)
    [change] = told["changes"]
    assert change["parts"] == [{"part": "version", "before": "2026.2", "after": "2026.3"}]
    assert recsys("rules", "diff", GB_RULES, tmp_path / "gone.toml").code == 2


def test_a_rule_that_grows_a_second_version_is_told_by_version() -> None:
    rules = [rule for rule in PACK.rules if rule.rule_id == "SAV-4"]
    twice = replace(PACK, rules=(*PACK.rules, replace(rules[0], version=2)))
    assert [change.name for change in changes(PACK, twice)] == ["rule SAV-4@1", "rule SAV-4@2", "rule SAV-4"]
