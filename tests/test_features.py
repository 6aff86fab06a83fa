from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.asking import DERIVED
from recsys.catalogue import BANK_CATALOGUE, load
from recsys.eligibility import GB_RULES
from recsys.eligibility import load as load_pack
from recsys.facts import FACTS
from recsys.features import (
    CUSTOMER,
    CUSTOMER_NAMES,
    MOMENT,
    MOMENT_NAMES,
    USED_FACTS,
    VERSION,
    Feature,
    candidate_of,
    context_of,
    customer_features,
    facts_used,
    product_features,
)
from recsys.vocabulary import CustomerId, Fact, FactValue, Profile, Token

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday
BANK = load(BANK_CATALOGUE)
ANNA: Mapping[str, FactValue] = {
    "date_of_birth": "1990-05-01",
    "joined_on": "2024-03-02",
    "arrears_days": 0,
    "balance_pence": 90_000,
    "savings_pence": 500_000,
    "monthly_income_pence": 250_000,
    "monthly_spend_pence": 200_000,
    "last_paid_on": "2026-02-27",
    "next_payday_on": "2026-03-05",
    "held": ("pot", "flex"),
    "signals": ("saver", "family"),
    "emergency_months": 2.5,
    "treatment_flags": ("no_credit",),
    "household_id": "h-1",
}


def profile_of(facts: Mapping[str, FactValue]) -> Profile:
    return Profile(CustomerId("c"), Token("t"), {name: Fact(value, NOON) for name, value in facts.items()})


def seen(
    facts: Mapping[str, FactValue], *, at: datetime = NOON, surface: str = "home", **said: FactValue
) -> dict[str, float]:
    context = context_of(profile_of(facts), at=at, surface=surface, given=said)
    return dict(zip(context.names, context.values, strict=True))


def test_the_definition_and_its_numbers_change_together() -> None:
    """If this fails, a feature changed: change its words in the table, so that `VERSION` moves, and then this."""
    assert VERSION[:12] == "f74987752282"
    expected = {
        "log_savings": np.log1p(5_000) / 10,
        "no_savings": 0,
        "log_balance": np.log1p(900) / 10,
        "overdrawn": 0,
        "log_income": np.log1p(2_500) / 10,
        "log_spend": np.log1p(2_000) / 10,
        "saved_share": 0.2,
        "emergency": 2.5 / 6,
        "arrears": 0,
        "family": 1,
        "sole_trader": 0,
        "parent_of_teen": 0,
        "saver": 1,
        "commuter": 0,
        "held_count": 0.25,
        "log_tenure": np.log1p(730 / 365.25) / 3,
        "missing": 0,
        "constant": 1,
        "surplus": 0.45 - 0.1,
        "low_balance": 0,
        "just_paid": np.exp(-1),
        "payday_near": np.exp(-1),
        "isa_season": np.exp(-((34 / 14) ** 2)),
        "january": 0,
        "december": 0,
        "weekend": 0,
        "friday": 0,
        "hour_sin": 0,
        "hour_cos": -1,
        "on_home": 1,
        "on_savings": 0,
        "on_search": 0,
        "on_push": 0,
        "on_inline": 0,
    }
    assert seen(ANNA) == pytest.approx(expected, abs=1e-12)


def test_the_encoder_and_the_policy_get_the_same_customer_numbers() -> None:
    profile = profile_of(ANNA)
    context = context_of(profile, at=NOON, surface="push", given={})
    features = customer_features(profile, at=NOON)
    assert features.dtype == np.float64
    assert context.names == CUSTOMER_NAMES + MOMENT_NAMES
    assert context.values[: len(CUSTOMER_NAMES)] == tuple(features)


def test_names_are_interned_and_differ() -> None:
    first = context_of(profile_of(ANNA), at=NOON, surface="home", given={})
    second = context_of(profile_of({}), at=NOON, surface="home", given={})
    assert first.names is second.names
    assert len(set(first.names)) == len(first.names)


def test_a_customer_nobody_told_us_about_is_all_zeros_and_missing() -> None:
    features = dict(zip(CUSTOMER_NAMES, customer_features(profile_of({}), at=NOON), strict=True))
    assert features.pop("missing") == 1.0
    assert not any(features.values())


@pytest.mark.parametrize(
    "feature", [f for f in CUSTOMER + MOMENT if f.reads and f.name != "missing"], ids=lambda f: f.name
)
def test_without_the_facts_it_reads_a_feature_is_0(feature: Feature) -> None:
    assert seen({fact: value for fact, value in ANNA.items() if fact not in feature.reads})[feature.name] == 0.0


def test_what_the_request_says_overrides_what_the_profile_says() -> None:
    assert seen(ANNA, payday_in_days=0)["payday_near"] == 1.0
    assert seen(ANNA, payday_in_days=0)["surplus"] == pytest.approx(0.45)
    assert seen(ANNA, low_balance=True)["low_balance"] == 1.0
    assert seen({**ANNA, "balance_pence": -1}, low_balance=False)["low_balance"] == 0.0


def test_what_the_request_says_in_other_words_or_types_is_ignored() -> None:
    assert seen(ANNA, payday_in_days="soon", low_balance=1, mood="good") == seen(ANNA)
    assert seen(ANNA, payday_in_days=True) == seen(ANNA)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-04-05T12:00:00+00:00", {"isa_season": 1.0, "weekend": 1.0}),
        ("2026-04-05T22:59:59+00:00", {"isa_season": 1.0, "weekend": 1.0}),  # still the 5th in London
        ("2026-04-05T23:00:00+00:00", {"isa_season": np.exp(-((1 / 14) ** 2)), "weekend": 0.0}),
        ("2026-12-31T23:59:59+00:00", {"december": 1.0, "january": 0.0}),
        ("2027-01-01T00:00:00+00:00", {"december": 0.0, "january": 1.0, "friday": 1.0}),
        ("2026-06-30T17:00:00+00:00", {"hour_sin": -1.0, "hour_cos": 0.0}),  # 18:00 in London
    ],
)
def test_the_calendar_is_londons(at: str, expected: dict[str, float]) -> None:
    found = seen(ANNA, at=datetime.fromisoformat(at))
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_need_rises_the_way_the_money_does() -> None:
    poor = seen({**ANNA, "balance_pence": 10_000})
    rich = seen({**ANNA, "balance_pence": 400_000, "savings_pence": 5_000_000})
    assert poor["low_balance"] == 1.0
    assert rich["low_balance"] == 0.0
    assert rich["surplus"] > seen(ANNA)["surplus"] > poor["surplus"]
    assert rich["log_savings"] > seen(ANNA)["log_savings"]
    assert seen({**ANNA, "arrears_days": 3})["arrears"] == 1.0
    assert seen({**ANNA, "savings_pence": 0})["no_savings"] == 1.0
    days = [seen(ANNA, at=NOON + timedelta(days=n))["payday_near"] for n in range(5)]
    assert days[:4] == sorted(days[:4])
    assert days[4] == 0.0  # payday is past and the next is not known


def test_each_surface_is_told_apart() -> None:
    for surface in BANK.surfaces:
        ones = {name for name, value in seen(ANNA, surface=surface).items() if name.startswith("on_") and value}
        assert ones == {f"on_{surface}"}


def test_vul_1_fair_2_crd_3_no_feature_reads_age_or_a_treatment_flag() -> None:
    reads = {fact for feature in CUSTOMER + MOMENT for fact in feature.reads}
    assert reads <= set(FACTS)
    assert not reads & {
        "date_of_birth", "age_verified", "residence", "status", "treatment_flags", "forbearance", "breathing_space",
        "insolvent", "persistent_debt", "at_risk_of_difficulty", "pre_eligible", "household_id",
    }  # fmt: skip
    other = {**ANNA, "date_of_birth": "1940-01-01", "treatment_flags": (), "status": "bereaved"}
    assert seen(other) == seen(ANNA)


def test_ret_2_a_decision_copies_what_rules_and_features_read_and_nothing_else() -> None:
    copied = facts_used(profile_of({**ANNA, "employment": "employed"}))
    assert "household_id" not in copied
    assert "employment" not in copied
    assert copied["treatment_flags"].value == ("no_credit",)
    asked = {condition.fact for rule in load_pack(GB_RULES).rules for condition in rule.require}
    assert asked - set(DERIVED) - USED_FACTS == {"gambling_block", "gambling_spike"}  # VUL-1: no record keeps them


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    balance=st.integers(-(10**8), 10**9),
    savings=st.integers(0, 10**10),
    income=st.integers(0, 10**8),
    spend=st.integers(0, 10**8),
    months=st.floats(0, 1e6),
    held=st.integers(0, 200),
    hours=st.integers(-60_000, 90_000),
    to_pay=st.integers(-400, 400),
)
def test_features_stay_in_their_scale_whatever_the_money(
    balance: int, savings: int, income: int, spend: int, months: float, held: int, hours: int, to_pay: int
) -> None:
    facts: dict[str, FactValue] = {
        "balance_pence": balance,
        "savings_pence": savings,
        "monthly_income_pence": income,
        "monthly_spend_pence": spend,
        "emergency_months": months,
        "held": ("x",) * held,
    }
    values = np.array(list(seen(facts, at=NOON + timedelta(hours=hours), payday_in_days=to_pay).values()))
    assert np.isfinite(values).all()
    assert values.min() >= -1.0
    assert values.max() <= 2.0


def test_a_product_shows_its_family_classes_and_tags() -> None:
    names, values = product_features(BANK.product("ss-isa"))
    assert names == (
        "family_investing",
        "class_promo_personalised",
        "regulated_investment",
        "tag_advice_sensitive",
        "tag_isa",
    )
    assert values == (1.0,) * 5
    assert product_features(BANK.product("ss-isa"))[0] is names


def test_mkt_2_a_candidate_carries_the_creative_of_its_path() -> None:
    pot = BANK.product("pot")
    assert candidate_of(pot, affinity=0.25).creative_id == "pot-1"
    assert candidate_of(pot, affinity=0.25).affinity == 0.25
    assert candidate_of(pot, affinity=None, path="broadcast").creative_id == "pot-all"
    assert candidate_of(BANK.product("help"), affinity=None, path="broadcast").creative_id == "help-1"
