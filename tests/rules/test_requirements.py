"""Requirements of the register that are about the pack as a whole, or the way of a request through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import features
from recsys.facts import FACTS, STRAIN_FACTS
from recsys.rewards import load as load_rewards
from recsys.vocabulary import Permissions
from serving.curriculum import teaches
from serving.nightly import positives
from tests import builders
from tests.rules.people import (
    CATALOGUE,
    CREDIT,
    NOON,
    PACK,
    PROMOTIONS,
    eligible,
    profile_of,
)
from tests.service import ADULT, App, outcome_in, running, stamp

SUPPORT = {"help", "debt-help"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running(tmp_path / "home") as app:
        yield app


def lend(app: App, customer: str = "ann", **facts: object) -> set[str]:
    """Tell of a customer who could have credit, and what may be shown then."""
    credit = {
        "pre_eligible": list(CREDIT),
        "pre_eligible_until": "2099-01-01T00:00:00Z",
        "direct_debit_failed_on": None,
    }
    strain = {"repeat_overdraft_use": False, "gambling_block": False, "gambling_spike": False}
    app.clock.set(app.clock.now() + timedelta(seconds=1))
    app.tell(customer, facts={**ADULT, **credit, **strain, **facts})
    return set(app.receipt(app.recommend(customer)["decision_id"])["eligible"])


@pytest.mark.parametrize(
    "facts",
    [
        {"balance_pence": 100},
        {"direct_debit_failed_on": "2026-03-01"},
        {"gambling_block": True},
        {"gambling_spike": True},
        {"arrears_days": 1},
        {"repeat_overdraft_use": True},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_crd_1_crd_4_crd_8_a_change_of_status_takes_credit_away_on_the_next_decision(
    app: App, facts: dict[str, object]
) -> None:
    assert lend(app) >= set(CREDIT)
    now = lend(app, **facts)
    assert not now & set(CREDIT)
    assert now >= SUPPORT  # help comes instead
    assert lend(app) >= set(CREDIT)


def test_crd_4_what_the_caller_alone_knows_may_refuse_and_never_allow(app: App) -> None:
    assert lend(app) >= set(CREDIT)
    low = app.recommend("ann", context={"low_balance": True})
    assert not set(app.receipt(low["decision_id"])["eligible"]) & set(CREDIT)
    assert not lend(app, balance_pence=100) & set(CREDIT)
    fine = app.recommend("ann", context={"low_balance": False})
    assert not set(app.receipt(fine["decision_id"])["eligible"]) & set(CREDIT)


def test_mkt_4_an_objection_holds_from_the_next_request(app: App) -> None:
    assert lend(app) & PROMOTIONS
    app.clock.set(app.clock.now() + timedelta(seconds=1))
    app.tell("ann", facts={}, permissions={"in_app": True, "objected_at": stamp(app.clock.now())})
    receipt = app.receipt(app.recommend("ann")["decision_id"])
    assert (receipt["mode"], receipt["purpose"]) == ("broadcast", "service")
    shown = [slot["creative_id"] for slot in receipt["slate"]]
    worded = {creative.creative_id: creative for product in CATALOGUE.products for creative in product.creatives}
    assert all(worded[name].communication_class != "promo_personalised" for name in shown)


@pytest.mark.parametrize("surface", CATALOGUE.surfaces)
@pytest.mark.parametrize("in_app", [True, False])
@pytest.mark.parametrize("push", [True, False])
@pytest.mark.parametrize("support", [True, False])
def test_mkt_6_mkt_9_each_permission_is_for_its_own_channel_and_purpose(
    surface: str, *, in_app: bool, push: bool, support: bool
) -> None:
    profile = profile_of(permissions=Permissions(in_app=in_app, push=push, email=True, targeted_support=support))
    shown = eligible(profile, surface=surface) & PROMOTIONS
    belongs = {p.product_id for p in CATALOGUE.products if surface in p.surfaces} & PROMOTIONS
    channel = push if surface == "push" else in_app
    expected = belongs if channel else set()
    assert shown == (expected if support else expected - {"ss-isa", "pension"})


def test_crd_3_no_fact_and_no_feature_is_a_credit_score() -> None:
    names = {*FACTS, *features.NAMES}
    assert not {name for name in names if "score" in name or "rating" in name or "probability" in name}
    assert FACTS["pre_eligible"].kind.value == "a list of texts"  # yes or no and for how long, nothing in between


def test_vul_1_vul_2_what_is_sensitive_reaches_no_record_no_feature_and_no_reason(app: App) -> None:
    lend(app, gambling_block=True)
    receipt = app.receipt(app.recommend("ann")["decision_id"])
    assert "gambling" not in str(receipt).lower()
    assert "CRD-4.strain@1" in {rule["rule"] for rule in receipt["rules"] if not rule["allowed"]}
    read = {fact for feature in features.CUSTOMER + features.MOMENT for fact in feature.reads}
    assert not {name for name in read if FACTS[name].sensitive}
    assert not read & {"treatment_flags", "gambling_block", "gambling_spike", "at_risk_of_difficulty"}
    assert all(not definition.sensitive or name in STRAIN_FACTS for name, definition in FACTS.items())


@pytest.mark.parametrize("flag", [{"status": "bereaved"}, {"treatment_flags": ["no_promotion"]}])
def test_vul_3_a_life_event_stops_promotion_on_the_next_decision(app: App, flag: dict[str, object]) -> None:
    assert lend(app) & PROMOTIONS
    assert not lend(app, **flag) & PROMOTIONS
    assert lend(app, **flag) >= SUPPORT


def test_exp_2_the_hold_out_is_judged_as_everybody_is(tmp_path: Path) -> None:
    with running(tmp_path / "held", holdout_share=0.999) as app:
        app.tell("ann")
        receipt = app.receipt(app.recommend("ann")["decision_id"])
        assert (receipt["mode"], receipt["policy"]) == ("holdout", "static@0")
        assert "round-ups" not in receipt["eligible"]  # no wording for everyone


def test_age_3_minors_and_unknown_ages_never_teach() -> None:
    adult = builders.decision(facts=builders.ADULT)
    assert teaches(adult)
    minor = {**builders.ADULT, "date_of_birth": builders.ADULT["date_of_birth"]._replace(value="2008-03-03")}
    assert not teaches(builders.decision(facts=minor))  # 18 tomorrow
    assert teaches(builders.decision(facts=minor, made_at=builders.at(1)))
    unverified = {**builders.ADULT, "age_verified": builders.ADULT["age_verified"]._replace(value=False)}
    assert not teaches(builders.decision(facts=unverified))
    assert not teaches(builders.decision(facts={}))


def test_mkt_2_nothing_after_an_objection_enters_training(app: App) -> None:
    app.tell("ann")
    made = app.recommend("ann", surface="savings")  # where showing nothing is no choice
    product = made["slate"][0]["product_id"]
    kinds = load_rewards().kinds
    assert "tapped" in kinds
    tapped = [
        outcome_in(f"o-{n}", decision_id=made["decision_id"], product_id=product, kind=kind, happened_at=stamp(at))
        for n, (kind, at) in enumerate(
            [("tapped", app.clock.now()), ("opened", app.clock.now() + timedelta(minutes=30))]
        )
    ]
    app.clock.set(app.clock.now() + timedelta(hours=1))
    assert app.post("/v1/outcomes", {"outcomes": tapped}).json()["accepted"] == 2
    assert [outcome.kind for _, outcome in positives(app.service.log)] == ["tapped", "opened"]
    objected = stamp(app.clock.now() - timedelta(minutes=45))
    app.tell("ann", facts={}, permissions={"in_app": True, "objected_at": objected})
    assert [outcome.kind for _, outcome in positives(app.service.log)] == ["tapped"]


def test_adv_2_the_decision_records_the_audience_that_admitted_it(tmp_path: Path) -> None:
    with running(tmp_path / "home") as app:
        app.tell("ann", facts=ADULT, permissions={"in_app": True, "targeted_support": True})
        receipt = app.receipt(app.recommend("ann")["decision_id"])
        assert {"product_id": "ss-isa", "audience": "spare-savings@1"} in receipt["audiences"]
        assert "ss-isa" in receipt["eligible"]
        app.clock.set(app.clock.now() + timedelta(seconds=1))
        app.tell("ann", facts={"emergency_months": 2.0})
        receipt = app.receipt(app.recommend("ann")["decision_id"])
        assert "ss-isa" not in receipt["eligible"]
        assert all(each["product_id"] != "ss-isa" for each in receipt["audiences"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    better=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12),
    held=st.sets(st.sampled_from(CATALOGUE.ids), max_size=3),
    surface=st.sampled_from(sorted(CATALOGUE.surfaces)),
)
def test_sav_5_no_slate_shows_what_something_held_or_available_beats(
    better: list[tuple[int, int]], held: set[str], surface: str
) -> None:
    above: dict[str, set[str]] = {}
    for one, other in better:  # the earlier of two products beats the later, so that nothing goes round
        if one < other:
            above.setdefault(CATALOGUE.ids[other], set()).add(CATALOGUE.ids[one])
    products = tuple(replace(p, dominated_by=tuple(sorted(above.get(p.product_id, ())))) for p in CATALOGUE.products)
    profile = profile_of({"held": tuple(sorted(held))})
    shown = eligible(profile, surface=surface, products=products)
    applicable = {rule.name for rule in PACK.rules if rule.kind == "applicable"} | {"SAV-5@1"}
    verdicts = PACK.verdicts(profile, products=products, surface=surface, at=NOON)
    others = [j for j, rule in enumerate(verdicts.rules) if rule not in applicable]
    could = {p for p, ok in zip(verdicts.products, np.all(verdicts.allowed[:, others], axis=1), strict=True) if ok}
    for product_id in shown:
        assert not above.get(product_id, set()) & (held | could)


def test_dut_1_every_product_has_a_target_market_that_a_machine_reads() -> None:
    for product in CATALOGUE.products:
        if product.product_id not in PROMOTIONS:
            continue
        surface = min(product.surfaces)
        suitable = [
            r for r in PACK.rules if r.kind == "suitable" and r.applies(product, surface=surface, path="personalised")
        ]
        assert suitable, product.product_id
