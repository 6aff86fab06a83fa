"""What the rule pack promises: requirement ids of the register stand in the test names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.eligibility import RoutePath
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import NOT_KNOWN, Permissions
from tests.rules.people import (
    ABSENT,
    ALL_PERMISSIONS,
    CATALOGUE,
    CREDIT,
    EVERYTHING_ALLOWED,
    NOBODY,
    NOON,
    PACK,
    PROMOTIONS,
    eligible,
    profile_of,
)


def test_who_satisfies_every_rule_may_see_each_product_where_it_belongs() -> None:
    for surface in CATALOGUE.surfaces:
        belongs = {product.product_id for product in CATALOGUE.products if surface in product.surfaces}
        assert eligible(profile_of(), surface=surface) == belongs


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
