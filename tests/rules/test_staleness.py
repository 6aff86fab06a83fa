"""A fact that is too old is as a missing one, the verdict says so, and the receipt tells which."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.vocabulary import OUT_OF_DATE
from tests.rules.people import ABSENT, CATALOGUE, EVERYTHING_ALLOWED, NOON, PACK, eligible, profile_of
from tests.service import ADULT, running

AGES = PACK.tables.max_age
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("surface", CATALOGUE.surfaces)
@pytest.mark.parametrize("name", AGES)
def test_ops_6_a_stale_fact_is_as_a_missing_one(name: str, surface: str) -> None:
    old = profile_of(told={name: NOON - AGES[name] - SECOND})
    fresh = profile_of(told={name: NOON - AGES[name]})
    assert eligible(old, surface=surface) == eligible(profile_of({name: ABSENT}), surface=surface)
    assert eligible(fresh, surface=surface) == eligible(profile_of(), surface=surface)


@pytest.mark.parametrize("name", AGES)
def test_ops_6_the_verdict_names_the_stale_fact(name: str) -> None:
    old = profile_of(told={name: NOON - AGES[name] - SECOND})
    verdicts = PACK.verdicts(old, products=CATALOGUE.products, surface="search", at=NOON)
    refusals = [verdict for verdict in verdicts.expanded() if not verdict.allowed]
    assert refusals
    readers = {rule.name for rule in PACK.rules if name in rule.reads}
    assert all(v.stale == (name,) and v.reason == OUT_OF_DATE for v in refusals if v.rule_id in readers)


def test_ops_6_what_is_missing_is_not_called_stale() -> None:
    verdicts = PACK.verdicts(
        profile_of({"balance_pence": ABSENT}), products=CATALOGUE.products, surface="search", at=NOON
    )
    assert verdicts.unknown
    assert verdicts.stale == ()


def test_a_known_reason_to_refuse_is_told_before_a_stale_fact() -> None:
    old = profile_of({"gambling_block": True}, told={"gambling_spike": NOON - timedelta(days=40)})
    verdicts = PACK.verdicts(old, products=(CATALOGUE.product("loan"),), surface="home", at=NOON)
    [refusal] = [verdict for verdict in verdicts.expanded() if not verdict.allowed]
    assert refusal.rule_id == "CRD-4.strain@1"
    assert (refusal.stale, "strain" in refusal.reason) == ((), True)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    ages=st.fixed_dictionaries({name: st.integers(0, 200 * 24) for name in EVERYTHING_ALLOWED}),
    older=st.sampled_from(sorted(EVERYTHING_ALLOWED)),
    surface=st.sampled_from(sorted(CATALOGUE.surfaces)),
)
def test_ops_6_growing_older_never_allows_more(ages: dict[str, int], older: str, surface: str) -> None:
    told = {name: NOON - timedelta(hours=hours) for name, hours in ages.items()}
    later = {**told, older: told[older] - timedelta(days=100)}
    if older == "isa_subscribed_pence":
        return  # what was paid in before 6 April belongs to the old tax year: it rightly frees the allowance
    assert eligible(profile_of(told=later), surface=surface) <= eligible(profile_of(told=told), surface=surface)


def test_ops_6_the_receipt_tells_which_fact_was_too_old(tmp_path: Path) -> None:
    with running(tmp_path / "home") as app:
        app.tell("ann", facts={**ADULT, "pre_eligible": ["loan"], "pre_eligible_until": "2099-01-01T00:00:00Z"})
        app.clock.set(app.clock.now() + timedelta(days=8))
        receipt = app.receipt(app.recommend("ann")["decision_id"])
        stale = {rule["rule"]: rule["stale"] for rule in receipt["rules"] if "stale" in rule}
        assert stale["CRD-1.arrears@1"] == ["arrears_days"]
        assert stale["CRD-2@1"] == ["pre_eligible"]
        assert stale["CRD-4@1"] == ["balance_pence"]
