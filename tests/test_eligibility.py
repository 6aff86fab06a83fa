"""What the rule pack promises: requirement ids of the register stand in the test names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.catalogue import BANK_CATALOGUE, load
from recsys.eligibility import GB_RULES, RoutePath, RulePack
from recsys.eligibility import load as load_pack
from recsys.eligibility import parse as parse_pack
from recsys.errors import InvalidConfiguration, InvalidRulePack
from recsys.vocabulary import (
    NOT_KNOWN,
    CommunicationClass,
    CustomerId,
    Fact,
    FactValue,
    Permissions,
    Product,
    Profile,
    Token,
)

CATALOGUE = load(BANK_CATALOGUE)
PACK = load_pack(GB_RULES)
NOON = datetime(2026, 5, 12, 12, tzinfo=UTC)
CREDIT = ("overdraft", "loan", "flex", "card")
ADULT_ONLY = {*CREDIT, "cash-isa", "ss-isa", "pension", "joint", "business"}
PROMOTIONS = {
    p.product_id for p in CATALOGUE.products if p.communication_class is CommunicationClass.PROMO_PERSONALISED
}
EVERYTHING_ALLOWED: Mapping[str, FactValue] = {
    "date_of_birth": "1985-02-01",
    "age_verified": True,
    "residence": "GB",
    "status": "active",
    "arrears_days": 0,
    "forbearance": False,
    "breathing_space": False,
    "insolvent": False,
    "persistent_debt": False,
    "at_risk_of_difficulty": False,
    "credit_declined_on": None,
    "limit_increase_opt_out": False,
    "pre_eligible": CREDIT,
    "pre_eligible_until": "2099-01-01T00:00:00Z",
    "treatment_flags": (),
    "balance_pence": 150_000,
    "savings_pence": 1_500_000,
    "monthly_income_pence": 250_000,
    "monthly_spend_pence": 200_000,
    "isa_subscribed_pence": 0,
    "held": (),
    "signals": ("sole_trader", "parent_of_teen"),
    "emergency_months": 4.0,
    "has_defined_benefit_pension": False,
}
ALL_PERMISSIONS = Permissions(in_app=True, push=True, email=True, targeted_support=True)
ABSENT = object()


def profile_of(
    changes: Mapping[str, object] | None = None, *, permissions: Permissions = ALL_PERMISSIONS, as_of: datetime = NOON
) -> Profile:
    facts: dict[str, Any] = {**EVERYTHING_ALLOWED, **(changes or {})}
    return Profile(
        CustomerId("c"),
        Token("t"),
        {name: Fact(value, as_of) for name, value in facts.items() if value is not ABSENT},
        permissions,
    )


NOBODY = Profile(CustomerId("c"), Token("t"))


def eligible(
    profile: Profile,
    *,
    surface: str = "search",
    at: datetime = NOON,
    path: RoutePath = "personalised",
    pack: RulePack = PACK,
    products: tuple[Product, ...] = CATALOGUE.products,
) -> set[str]:
    return set(pack.verdicts(profile, products=products, surface=surface, at=at, path=path).eligible())


def refusals(profile: Profile, product: Product, *, pack: RulePack = PACK, **asked: Any) -> list[str]:
    verdicts = pack.verdicts(profile, products=(product,), **asked)
    return [verdict.rule_id.partition("@")[0] for verdict in verdicts.expanded() if not verdict.allowed]


@dataclass(frozen=True)
class Witness:
    """Somebody and something that one rule alone keeps apart."""

    product: str
    facts: Mapping[str, object] = field(default_factory=dict)
    permissions: Permissions = ALL_PERMISSIONS
    surface: str = "search"
    path: str = "personalised"
    change: Mapping[str, Any] = field(default_factory=dict)


TEEN = {"date_of_birth": "2009-05-13"}
WITNESSES: Mapping[str, Witness] = {
    "DUT-1.surface": Witness("loan", surface="savings"),
    "DUT-1.launched": Witness("pot", change={"launched_at": NOON + timedelta(seconds=1)}),
    "DUT-1.retired": Witness("pot", change={"retired_at": NOON}),
    "EUA-1": Witness("pot", {"residence": "FR"}),
    "MKT-1": Witness("pot", permissions=replace(ALL_PERMISSIONS, in_app=False)),
    "MKT-1.objection": Witness("pot", permissions=replace(ALL_PERMISSIONS, objected_at=NOON)),
    "MKT-2": Witness("round-ups", path="broadcast"),
    "MKT-2.channel": Witness("pot", path="broadcast", surface="push"),
    "MKT-6": Witness("pot", permissions=replace(ALL_PERMISSIONS, push=False), surface="push"),
    "MKT-6.flag": Witness("pot", {"treatment_flags": ("no_push",)}, surface="push"),
    "VUL-3": Witness("pot", {"status": "bereaved"}),
    "OPS-7": Witness("pot", {"status": "fincrime_hold"}),
    "DUT-1.held": Witness("pot", {"held": ("pot",)}),
    "AGE-1": Witness("cash-isa", TEEN, change={"min_age": 0}),
    "AGE-1.accounts": Witness("joint", TEEN, change={"min_age": 0}),
    "AGE-1.minimum": Witness("fixed-1y", TEEN),
    "AGE-2": Witness("fixed-1y", {"age_verified": False}),
    "CRD-1.arrears": Witness("loan", {"arrears_days": 1}),
    "CRD-1.forbearance": Witness("loan", {"forbearance": True}),
    "CRD-1.breathing-space": Witness("loan", {"breathing_space": True}),
    "CRD-1.insolvent": Witness("loan", {"insolvent": True}),
    "CRD-1.persistent-debt": Witness("loan", {"persistent_debt": True}),
    "CRD-1.at-risk": Witness("loan", {"at_risk_of_difficulty": True}),
    "CRD-1.declined": Witness("loan", {"credit_declined_on": "2026-02-12"}),
    "CRD-1.flag": Witness("loan", {"treatment_flags": ("no_credit",)}),
    "CRD-2": Witness("loan", {"pre_eligible": ("card",)}),
    "CRD-2.fresh": Witness("loan", {"pre_eligible_until": "2026-05-12T12:00:00Z"}),
    "CRD-4": Witness("loan", {"balance_pence": 24_999}),
    "CRD-6": Witness("card", {"limit_increase_opt_out": True}),
    "SAV-1.resident": Witness("ss-isa", {"residence": "FR"}, change={"countries": ("GB", "FR")}),
    "SAV-1.allowance": Witness("ss-isa", {"isa_subscribed_pence": 2_000_000}),
    "SAV-2": Witness("cash-isa", {"isa_subscribed_pence": 2_000_000}, change={"tags": ()}),
    "SAV-4": Witness("fixed-6m", {"savings_pence": 449_999}),
    "SAV-8": Witness("fixed-6m", {"arrears_days": 1}),
    "SAV-8.isa": Witness("cash-isa", {"breathing_space": True}, surface="home"),
    "ADV-2": Witness("pension", permissions=replace(ALL_PERMISSIONS, targeted_support=False)),
    "ADV-4": Witness("pension", {"has_defined_benefit_pension": True}),
    "ADV-5.arrears": Witness("ss-isa", {"arrears_days": 1}),
    "ADV-5.emergency": Witness("ss-isa", {"emergency_months": 0.9}),
    "DUT-1.business": Witness("business", {"signals": ("saver",)}),
    "DUT-1.teen-account": Witness("teen-account", {"signals": ("saver",)}),
    "DUT-1.accounts-push": Witness("joint", {"arrears_days": 1}, surface="push"),
}


def test_who_satisfies_every_rule_may_see_each_product_where_it_belongs() -> None:
    for surface in CATALOGUE.surfaces:
        belongs = {product.product_id for product in CATALOGUE.products if surface in product.surfaces}
        assert eligible(profile_of(), surface=surface) == belongs


def test_every_rule_of_the_pack_has_a_witness() -> None:
    assert set(WITNESSES) == {rule.rule_id for rule in PACK.rules}


@pytest.mark.parametrize("rule_id", WITNESSES)
def test_removing_a_rule_lets_its_witness_through(rule_id: str) -> None:
    witness = WITNESSES[rule_id]
    product = replace(CATALOGUE.product(witness.product), **witness.change)
    profile = profile_of(witness.facts, permissions=witness.permissions)
    asked = {"surface": witness.surface, "at": NOON, "path": witness.path}
    without = replace(PACK, rules=tuple(rule for rule in PACK.rules if rule.rule_id != rule_id))
    assert refusals(profile, product, **asked) == [rule_id]
    assert refusals(profile, product, pack=without, **asked) == []


def test_ops_5_every_product_has_a_verdict_of_every_rule_with_version_and_reason() -> None:
    verdicts = PACK.verdicts(NOBODY, products=CATALOGUE.products, surface="home", at=NOON)
    assert verdicts.allowed.shape == (21, len(PACK.rules))
    assert len(verdicts.expanded()) == 21 * len(PACK.rules)
    loan = {v.rule_id: v for v in verdicts.expanded() if v.product_id == "loan"}
    assert not loan["CRD-1.arrears@1"].allowed
    assert loan["CRD-1.arrears@1"].reason == NOT_KNOWN  # nobody told us of arrears: to claim them would be false
    late = PACK.verdicts(profile_of({"arrears_days": 3}), products=CATALOGUE.products, surface="home", at=NOON)
    told = {v.rule_id: v for v in late.expanded() if v.product_id == "loan"}
    assert told["CRD-1.arrears@1"].reason == "Credit is not shown while a payment is overdue."
    assert sum(not v.allowed for v in loan.values()) > 10  # not only the first refusal
    assert loan["ADV-4@1"].allowed  # does not concern a loan


@pytest.mark.parametrize("surface", CATALOGUE.surfaces)
def test_age_2_mkt_1_ops_6_a_customer_nobody_told_us_about_gets_the_strictest_case(surface: str) -> None:
    assert eligible(NOBODY, surface=surface) <= {"budgeting", "help", "debt-help"}
    assert eligible(NOBODY, surface=surface, path="broadcast") <= {"pot", "budgeting", "help", "debt-help"}
    if surface == "home":
        assert eligible(NOBODY) == {"budgeting", "help", "debt-help"}
        assert eligible(NOBODY, path="broadcast") == {"pot", "budgeting", "help", "debt-help"}


@pytest.mark.parametrize("name", EVERYTHING_ALLOWED)
def test_ops_6_a_missing_fact_only_ever_takes_away(name: str) -> None:
    less = profile_of({name: ABSENT})
    lost = {
        surface: eligible(profile_of(), surface=surface) - eligible(less, surface=surface)
        for surface in CATALOGUE.surfaces
    }
    assert any(lost.values())
    readers = {rule.name for rule in PACK.rules if any(condition.fact == name for condition in rule.require)}
    for surface in CATALOGUE.surfaces:
        verdicts = PACK.verdicts(less, products=CATALOGUE.products, surface=surface, at=NOON)
        refused = {verdict.rule_id for verdict in verdicts.expanded() if not verdict.allowed}
        concerned = {
            rule.name
            for rule in PACK.rules
            for product in CATALOGUE.products
            if rule.name in readers and rule.applies(product, surface=surface, path="personalised")
        }
        assert concerned <= refused  # the verdict names the rule


def test_a_fact_known_to_be_none_is_not_a_missing_one() -> None:
    assert "loan" in eligible(profile_of({"credit_declined_on": None}))
    assert "loan" not in eligible(profile_of({"credit_declined_on": ABSENT}))
    assert "loan" not in eligible(profile_of({"arrears_days": None}))
    assert "loan" not in eligible(profile_of({"pre_eligible_until": None}))


@pytest.mark.parametrize(
    ("born", "last_minor_moment"),
    [
        ("2008-06-30", datetime(2026, 6, 29, 22, 59, 59, tzinfo=UTC)),  # summer time: midnight is 23:00 UTC
        ("2008-12-01", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)),
        ("2008-02-29", datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)),  # leap day: 1 March
        ("2010-02-28", datetime(2028, 2, 27, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_age_1_adulthood_begins_at_midnight_in_london_on_the_birthday(born: str, last_minor_moment: datetime) -> None:
    profile = profile_of({"date_of_birth": born}, as_of=last_minor_moment)
    assert not eligible(profile, at=last_minor_moment) & ADULT_ONLY
    assert eligible(profile, at=last_minor_moment + timedelta(seconds=1)) >= ADULT_ONLY


@pytest.mark.parametrize("surface", CATALOGUE.surfaces)
@pytest.mark.parametrize("path", ["personalised", "broadcast"])
def test_age_1_nobody_under_18_sees_an_adult_product_on_any_surface(surface: str, path: RoutePath) -> None:
    for years in range(18):
        profile = profile_of({"date_of_birth": date(NOON.year - years, 5, 12).isoformat()})
        assert not eligible(profile, surface=surface, path=path) & ADULT_ONLY


def test_sav_1_the_allowance_begins_anew_at_midnight_in_london_on_6_april() -> None:
    before = datetime(2026, 4, 5, 22, 59, 59, tzinfo=UTC)
    profile = profile_of({"isa_subscribed_pence": 2_000_000}, as_of=before - timedelta(days=30))
    assert not eligible(profile, at=before) & {"cash-isa", "ss-isa"}
    assert eligible(profile, at=before + timedelta(seconds=1)) >= {"cash-isa", "ss-isa"}


@pytest.mark.parametrize(
    ("day", "born", "subscribed", "isas"),
    [
        ("2027-04-05", "1985-02-01", 1_999_999, {"cash-isa", "ss-isa"}),
        ("2027-04-05", "1985-02-01", 2_000_000, set()),
        ("2027-04-06", "1985-02-01", 1_199_999, {"cash-isa", "ss-isa"}),
        ("2027-04-06", "1985-02-01", 1_200_000, {"ss-isa"}),
        ("2027-04-06", "1962-04-06", 1_200_000, {"cash-isa", "ss-isa"}),  # 65 that day
        ("2027-04-06", "1962-04-07", 1_200_000, {"ss-isa"}),
        ("2016-07-01", "1985-02-01", 0, set()),  # before the first dated allowance
    ],
)
def test_sav_2_the_allowance_follows_the_dated_table(day: str, born: str, subscribed: int, isas: set[str]) -> None:
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    profile = profile_of({"date_of_birth": born, "isa_subscribed_pence": subscribed}, as_of=at)
    assert eligible(profile, at=at) & {"cash-isa", "ss-isa"} == isas


def test_crd_2_pre_eligibility_ends_at_its_moment_and_names_its_product() -> None:
    profile = profile_of({"pre_eligible": ("flex",), "pre_eligible_until": "2026-05-12T13:00:00+01:00"})
    assert eligible(profile, at=NOON - timedelta(seconds=1)) & set(CREDIT) == {"flex"}
    assert not eligible(profile, at=NOON) & set(CREDIT)


def test_crd_1_the_ninetieth_day_after_a_decline_is_the_first_allowed() -> None:
    assert "loan" not in eligible(profile_of({"credit_declined_on": "2026-02-12"}))  # 89 days
    assert "loan" in eligible(profile_of({"credit_declined_on": "2026-02-11"}))


def test_mkt_6_permissions_are_told_apart_by_channel() -> None:
    push_only = profile_of(permissions=Permissions(push=True))
    assert "pot" in eligible(push_only, surface="push")
    assert "pot" not in eligible(push_only, surface="home")
    assert "pot" not in eligible(profile_of(permissions=Permissions(in_app=True)), surface="push")


def test_mkt_9_targeted_support_is_no_permission_for_other_promotion() -> None:
    assert not eligible(profile_of(permissions=Permissions(targeted_support=True))) & PROMOTIONS


def test_mkt_3_what_everyone_sees_does_not_depend_on_permissions_or_money() -> None:
    rich = profile_of(permissions=Permissions(objected_at=NOON))
    poor = profile_of({"savings_pence": 0, "balance_pence": -90_000, "signals": ()}, permissions=Permissions())
    assert eligible(rich, path="broadcast") == eligible(poor, path="broadcast")


def test_ops_7_a_hold_shows_exactly_what_everyone_sees() -> None:
    held = profile_of({"status": "fincrime_hold"})
    assert eligible(held, path="broadcast") == eligible(profile_of(), path="broadcast")
    assert not eligible(held) & PROMOTIONS


@pytest.mark.parametrize("status", ["bereaved", "closed"])
@pytest.mark.parametrize("path", ["personalised", "broadcast"])
def test_vul_3_a_bereavement_or_closed_account_stops_promotion(status: str, path: RoutePath) -> None:
    assert eligible(profile_of({"status": status}), path=path) <= {"budgeting", "help", "debt-help"}


def test_a_rule_is_in_force_on_its_london_days_only() -> None:
    rules = tuple(
        replace(rule, effective_from=date(2026, 7, 1), effective_to=date(2026, 8, 1))
        if rule.rule_id == "SAV-4"
        else rule
        for rule in PACK.rules
    )
    pack = replace(PACK, rules=rules)
    profile = profile_of({"savings_pence": 0})
    begins = datetime(2026, 6, 30, 23, tzinfo=UTC)
    ends = datetime(2026, 7, 31, 23, tzinfo=UTC)
    second = timedelta(seconds=1)
    allowed = [
        "fixed-1y" in eligible(profile, at=at, pack=pack) for at in (begins - second, begins, ends - second, ends)
    ]
    assert allowed == [True, False, False, True]


def test_a_changed_product_is_judged_anew_even_under_the_same_id() -> None:
    products = (CATALOGUE.product("pot"),)
    assert eligible(profile_of(), products=products) == {"pot"}
    assert eligible(profile_of(), products=(replace(products[0], countries=("FR",)),)) == set()
    assert eligible(profile_of(), products=()) == set()


def test_an_unknown_path_is_refused_rather_than_let_past_the_permission_rules() -> None:
    anything: Any = "everyone"
    with pytest.raises(InvalidConfiguration, match="there is no path everyone"):
        PACK.verdicts(NOBODY, products=CATALOGUE.products, surface="home", at=NOON, path=anything)


ODD: list[Any] = [ABSENT, None, "", "x", -1, 0, 1, 10**9, 0.5, float("nan"), True, False, (), ("loan",), ("no_credit",)]
SOMEBODY = st.fixed_dictionaries(
    {
        name: st.one_of(st.just(value), st.just(value), st.sampled_from(ODD))
        for name, value in EVERYTHING_ALLOWED.items()
    }
)
WANTED = st.sampled_from(["search", "home", "savings", "push", "inline"])
ANY_PATH: st.SearchStrategy[Any] = st.sampled_from(["personalised", "broadcast"])
UNWILLING = [
    Permissions(),
    Permissions(targeted_support=True),
    Permissions(email=True),
    replace(ALL_PERMISSIONS, objected_at=NOON),
    Permissions(objected_at=NOON - timedelta(days=900)),
]
BARS = {
    "arrears_days": 1,
    "forbearance": True,
    "breathing_space": True,
    "insolvent": True,
    "persistent_debt": True,
    "at_risk_of_difficulty": True,
    "credit_declined_on": "2026-05-01",
    "treatment_flags": ("no_credit",),
    "balance_pence": -1,
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(facts=SOMEBODY, surface=WANTED, path=ANY_PATH, bar=st.sampled_from(sorted(BARS)))
def test_crd_1_crd_4_no_credit_in_trouble_whatever_else_is_said(
    facts: dict[str, object], surface: str, path: RoutePath, bar: str
) -> None:
    for value in (BARS[bar], ABSENT, None, "nonsense"):
        if bar == "credit_declined_on" and value is None:
            continue  # never declined
        assert not eligible(profile_of({**facts, bar: value}), surface=surface, path=path) & set(CREDIT)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(facts=SOMEBODY, surface=WANTED, permissions=st.sampled_from(UNWILLING))
def test_mkt_1_no_permission_or_an_objection_leaves_no_personalised_promotion(
    facts: dict[str, object], surface: str, permissions: Permissions
) -> None:
    assert not eligible(profile_of(facts, permissions=permissions), surface=surface) & PROMOTIONS


@settings(max_examples=100, deadline=None, derandomize=True)
@given(facts=SOMEBODY, gone=st.sets(st.sampled_from(sorted(EVERYTHING_ALLOWED))), surface=WANTED)
def test_ops_6_knowing_less_never_allows_more(facts: dict[str, object], gone: set[str], surface: str) -> None:
    less = profile_of({**facts, **dict.fromkeys(gone, ABSENT)})
    assert eligible(less, surface=surface) <= eligible(profile_of(facts), surface=surface)


RULE = """
pack = "xx"
version = "1"
country = "GB"
[[rule]]
id = "CRD-1"
version = 1
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
    with pytest.raises(InvalidRulePack, match=r"xx.toml: rule CRD-1: is there 2 times"):
        parse_pack(RULE + RULE[RULE.index("[[rule]]") :], where="xx.toml")


def test_a_pack_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRulePack, match=r"gone\.toml: cannot be read"):
        load_pack(tmp_path / "gone.toml")


def test_trn_2_the_digest_is_of_the_meaning() -> None:
    digest = parse_pack(RULE, where="xx").digest
    assert parse_pack("# a comment\n" + RULE.replace(" = ", "="), where="yy").digest == digest
    assert parse_pack(RULE.replace("at_most = 0", "at_most = 1"), where="xx").digest != digest
    assert parse_pack(RULE.replace("No.", "No!"), where="xx").digest != digest
