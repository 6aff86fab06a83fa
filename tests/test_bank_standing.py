"""Standing: hazards that come and go and keep their shares, objections for good, slices of the whole.

The stationary shares are looked at on the last day of a year of 5,000 customers, in bands of 4
standard errors of independent customers: one band in 16,000 fails by chance.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bank import hazards
from recsys.bank.customers import Customers, make_customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.hidden import make_hidden
from recsys.bank.personas import PERSONAS, make_personas
from recsys.bank.standing import ABSENT, ACTIVE, CHANNELS, DORMANT, HELD, IN_APP, PUSH, Standing, make_standing
from recsys.bank.truth import TRUTHS, truths_of
from recsys.vocabulary import Bools, Permissions

START = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = START.toordinal()
TRUE = truths_of(tuple(TRUTHS))


def people(numbers: Ints, *, founders: int) -> Customers:
    persona = make_personas(numbers, founders=founders, seed=1)
    hidden = make_hidden(persona, numbers=numbers, truths=TRUE, seed=1)
    return make_customers(persona, numbers=numbers, founders=founders, hidden=hidden, seed=1, start=START)


def live(standing: Standing, customers: Customers, *, days: range, overdrawn: Bools | None = None) -> Standing:
    for number in days:
        below = np.zeros(len(customers), dtype=np.bool_) if overdrawn is None else overdrawn
        standing.turn_day()
        standing.advance(customers=customers, overdrawn=below, seed=1, number=number, today=FIRST + number)
    return standing


@pytest.fixture(scope="module")
def year() -> tuple[Customers, Standing, list[Bools]]:
    """A year of customers, a part of each persona always below zero; arrears by day."""
    customers = people(np.arange(5_000), founders=5_000)
    often = np.array([each.overdrawn for each in PERSONAS])[customers.persona]
    below = uniforms(1, purpose="test", day=0, keys=keys_of(customers.numbers)) < often
    standing = make_standing(customers, truths=TRUE, seed=1, start=START)
    arrears = [live(standing, customers, days=range(n, n + 1), overdrawn=below).arrears_days > 0 for n in range(365)]
    return customers, standing, arrears


def near(marks: Bools, share: float) -> bool:
    return bool(abs(marks.mean() - share) < 4.0 * np.sqrt(share * (1.0 - share) / len(marks)))


def test_a_year_later_shares_are_what_they_were(year: tuple[Customers, Standing, list[Bools]]) -> None:
    customers, standing, _ = year
    adult = customers.of_age_on <= FIRST  # all year
    in_app = standing.allows[:, IN_APP]
    objected = ~np.isnat(standing.objected_at)
    assert near(in_app[adult & ~objected], hazards.IN_APP_ADULTS)
    assert near(in_app, 0.72 * (1.0 - 365 * hazards.OBJECTIONS))
    for platform, share in enumerate(hazards.PUSH_BY_PLATFORM):
        assert near(standing.allows[in_app & (customers.platform == platform), PUSH], share)
    assert near(standing.allows[in_app, CHANNELS.index("email")], hazards.EMAIL_SHARE)
    assert near(standing.insolvent[adult], hazards.INSOLVENT_SHARE)
    assert near(standing.persistent_debt[adult], hazards.PERSISTENT_DEBT_SHARE)
    assert near(standing.limit_opt_out[adult], hazards.LIMIT_OPT_OUT_SHARE)
    for column, share in enumerate(hazards.TREATMENT_SHARES):
        assert near(standing.treatments[:, column], share)
    used = standing.status[(standing.status == ACTIVE) | (standing.status == DORMANT) | (standing.status == HELD)]
    for status in (DORMANT, HELD):
        share = hazards.STATUS_SHARES[status] / hazards.STATUS_SHARES[[ACTIVE, DORMANT, HELD]].sum()
        assert near(used == status, share)
    fit = adult & (standing.arrears_days == 0)
    assert near(
        standing.pre_eligible[fit].any(axis=1), hazards.PRE_ELIGIBLE * (1.0 - 0.2 ** TRUE.where(family="credit").sum())
    )


def test_each_persona_keeps_its_share_of_arrears(year: tuple[Customers, Standing, list[Bools]]) -> None:
    """A mean over a year has some 365 / 99 independent days in it, as arrears last 50 days."""
    customers, standing, arrears = year
    mean = np.mean(arrears, axis=0)
    for index, persona in enumerate(PERSONAS):
        here = customers.persona == index
        error = np.sqrt(persona.arrears * (1.0 - persona.arrears) / here.sum() / (365 / 99))
        assert abs(mean[here].mean() - persona.arrears) <= 4.0 * error
    behind = standing.arrears_days[standing.arrears_days > 0]
    assert behind.mean() == pytest.approx(hazards.ARREARS.days, abs=4 * 50 / np.sqrt(len(behind)))
    assert standing.forbearance.sum() == pytest.approx(
        hazards.in_forbearance(behind).sum(), abs=4 * np.sqrt(len(behind) / 4)
    )


def test_what_comes_also_goes(year: tuple[Customers, Standing, list[Bools]]) -> None:
    customers, after, _ = year
    before = make_standing(customers, truths=TRUE, seed=1, start=START)
    for name in ("insolvent", "persistent_debt", "limit_opt_out", "treatments", "allows", "pre_eligible"):
        was, now = getattr(before, name), getattr(after, name)
        assert (was & ~now).any(), name
        assert (now & ~was).any(), name
    assert not (after.forbearance | after.breathing_space)[after.arrears_days == 0].any()
    assert not (after.allows[:, PUSH] & ~after.allows[:, IN_APP]).any()


def test_those_below_zero_fall_into_arrears_sooner() -> None:
    customers = people(np.arange(5_000), founders=5_000)
    calm, pressed = (
        live(make_standing(customers, truths=TRUE, seed=1, start=START), customers, days=range(60), overdrawn=below)
        for below in (None, np.ones(5_000, dtype=np.bool_))
    )
    assert pressed.at_risk().all()
    assert not calm.at_risk().any()
    assert (pressed.arrears_days > 0).sum() > 1.5 * (calm.arrears_days > 0).sum()
    assert ((pressed.arrears_days > 0) >= (calm.arrears_days > 0)).mean() > 0.99


WHOLE = people(np.arange(600), founders=500)
LIVED = live(make_standing(WHOLE, truths=TRUE, seed=1, start=START), WHOLE, days=range(80))


@given(st.integers(0, 599), st.integers(1, 600))
@settings(max_examples=10, deadline=None)
def test_a_slice_is_that_part_of_the_whole(first: int, length: int) -> None:
    last = min(first + length, 600)
    customers = people(np.arange(first, last), founders=500)
    own = live(make_standing(customers, truths=TRUE, seed=1, start=START), customers, days=range(80))
    for each in fields(Standing):
        whole, part = getattr(LIVED, each.name), getattr(own, each.name)
        if isinstance(whole, np.ndarray) and each.name != "credit":
            assert np.array_equal(part, whole[first:last], equal_nan=each.name == "objected_at"), each.name
    assert own.changed_today == {row - first for row in LIVED.changed_today if first <= row < last}
    assert own.permissions(range(last - first)) == LIVED.permissions(range(first, last))


def test_who_joins_later_is_absent_till_then_and_announced_on_the_day() -> None:
    standing = make_standing(WHOLE, truths=TRUE, seed=1, start=START)
    newest = 599
    joins = int(WHOLE.joined_on[newest]) - FIRST
    live(standing, WHOLE, days=range(joins))
    assert standing.status[newest] == ABSENT
    assert standing.permissions([newest]) == [Permissions()]
    assert newest not in standing.changed_today
    absent = standing.status == ABSENT
    assert not standing.troubled()[absent].any()
    live(standing, WHOLE, days=range(joins, joins + 1))
    assert standing.status[newest] == ACTIVE
    assert newest in standing.changed_today
    later = WHOLE.joined_on >= FIRST
    assert 0.5 < LIVED.allows[later, IN_APP].mean() < 0.9


def test_an_objection_is_kept_to_the_microsecond_and_for_good() -> None:
    standing = make_standing(WHOLE, truths=TRUE, seed=1, start=START)
    at = START + timedelta(days=1, hours=3, microseconds=123_457)
    allowed = int(np.flatnonzero(standing.allows[:, IN_APP])[0])
    standing.objects(allowed, at=at)
    assert allowed in standing.changed_today
    live(standing, WHOLE, days=range(400))
    assert standing.permissions([allowed]) == [Permissions(objected_at=at)]


def test_every_change_of_consent_is_told() -> None:
    standing = make_standing(WHOLE, truths=TRUE, seed=1, start=START)
    known = standing.permissions(range(600))
    for number in range(60):
        live(standing, WHOLE, days=range(number, number + 1))
        now = standing.permissions(range(600))
        assert {row for row in range(600) if now[row] != known[row]} <= standing.changed_today
        known = now


def test_decisions_on_credit_run_out_and_are_made_again() -> None:
    standing = make_standing(WHOLE, truths=TRUE, seed=1, start=START)
    seen = set()
    for number in range(70):
        live(standing, WHOLE, days=range(number, number + 1))
        left = standing.decided_until - (FIRST + number)
        assert 0 < left.min() <= left.max() <= hazards.DECISION_DAYS
        seen.add(standing.pre_eligible.tobytes())
    assert len(seen) > 20
    assert not standing.pre_eligible[:, ~TRUE.where(family="credit")].any()
    assert not standing.pre_eligible[standing.arrears_days > 0].any()
    assert not standing.pre_eligible[WHOLE.of_age_on > FIRST + 69].any()
