"""The facts: complete, of this morning, the same for any slice, and silent about what is hidden."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys.bank.customers import Customers, make_customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.facts import NAMES, FactSheet
from recsys.bank.hidden import Hidden, make_hidden
from recsys.bank.merchants import NAMES as CATEGORIES
from recsys.bank.personas import PERSONAS, make_personas
from recsys.bank.standing import ABSENT, Standing, make_standing
from recsys.bank.truth import TRAITS, TRUTHS, truths_of
from recsys.bank.world import Bank
from recsys.facts import FACTS, checked_fact
from recsys.vocabulary import Floats

START = datetime(2026, 1, 5, tzinfo=UTC)
TRUE = truths_of(tuple(TRUTHS))
Sheet = dict[str, Any]


def people(numbers: Ints) -> tuple[Customers, Standing]:
    persona = make_personas(numbers, founders=250, seed=1)
    hidden = make_hidden(persona, numbers=numbers, truths=TRUE, seed=1)
    customers = make_customers(persona, numbers=numbers, founders=250, hidden=hidden, seed=1, start=START)
    return customers, make_standing(customers, truths=TRUE, seed=1, start=START)


def told(customers: Customers, standing: Standing) -> list[tuple[str, Sheet]]:
    """Facts beside money and holdings that are made up, each of the customer's number."""
    luck = uniforms(1, purpose="test", day=0, keys=keys_of(customers.numbers))
    pence, day = (1e6 * luck).astype(np.int64), START.toordinal() + (9 * luck).astype(np.int64)
    money: Any = SimpleNamespace(balance=pence, savings=pence, isa_subscribed=pence, last_paid=day, next_payday=day)
    holdings: Any = SimpleNamespace(held=luck[:, None] < np.linspace(0.0, 1.0, len(TRUE.ids)))
    sheet = FactSheet(customers, truths=TRUE, seed=1)
    return sheet.of(range(len(customers)), money=money, standing=standing, holdings=holdings)


WHOLE = people(np.arange(300))
TOLD = told(*WHOLE)


@given(st.integers(0, 299), st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_a_slice_is_that_part_of_the_whole(first: int, length: int) -> None:
    last = min(first + length, 300)
    assert told(*people(np.arange(first, last))) == TOLD[first:last]


def test_every_fact_is_one_that_the_border_takes_and_nothing_else_is_sent() -> None:
    assert set(NAMES) <= set(FACTS)
    assert {name for _, sheet in TOLD for name in sheet} == set(NAMES)
    for _, sheet in TOLD:
        for name, value in sheet.items():
            assert checked_fact(name, value) == value
    hidden = {each.name for each in fields(Hidden)} | {"persona", "vulnerability", "reason", *TRAITS}
    assert not hidden & set(NAMES)
    assert not {each.name for each in PERSONAS} & {
        value for _, sheet in TOLD for value in sheet.values() if isinstance(value, str)
    }


def test_nothing_is_known_of_who_has_not_joined() -> None:
    customers, standing = WHOLE
    absent = standing.status == ABSENT
    assert absent.sum() == 50
    assert [not sheet for _, sheet in TOLD] == absent.tolist()
    assert [id_ for id_, _ in TOLD] == list(customers.ids)


def test_the_two_of_a_household_are_told_the_same_household() -> None:
    customers, standing = WHOLE
    here = told(customers, replace(standing, status=np.zeros(300, dtype=np.int64)))
    households = [sheet["household_id"] for _, sheet in here]
    for number in range(0, 300, 2):
        one, other = households[number : number + 2]
        assert one == other
        assert one in {None, f"h-{number // 2:06d}"}
    assert any(households)


def test_pre_eligibility_has_an_end_and_it_lies_ahead() -> None:
    for _, sheet in TOLD:
        if sheet:
            until = sheet["pre_eligible_until"]
            assert (until is None) == (not sheet["pre_eligible"])
            assert until is None or datetime.fromisoformat(until) >= START


def test_a_morning_does_not_know_of_later_days() -> None:
    short, long = (Bank.create(customers=200, seed=1, start=START, catalogue=tuple(TRUTHS)) for _ in range(2))
    mornings = []
    for _ in range(12):
        long.begin_day()
        mornings.append(long.facts(range(200)))
    for morning in mornings[:6]:
        short.begin_day()
        assert short.facts(range(200)) == morning
    assert mornings[5] != mornings[11]


@pytest.fixture(scope="module")
def month() -> tuple[Hidden, Floats, Floats]:
    """A month of 5,000 customers: what is hidden, (n, numbers sent) and (n, categories) payments."""
    n, names = 5_000, {name: place for place, name in enumerate(CATEGORIES)}
    bank = Bank.create(customers=n, seed=2, start=START, catalogue=tuple(TRUTHS))
    payments = np.zeros((n, len(names)))
    for _ in range(25):
        bank.begin_day()
        for each in bank.activity():
            if each.kind == "spending":
                payments[int(each.customer_id[2:]), names[each.subject]] += 1.0
    numbers = np.arange(n)
    persona = make_personas(numbers, founders=n, seed=2)
    sent = np.array([numbers_of(sheet) for _, sheet in bank.facts(range(n))])
    return (
        make_hidden(persona, numbers=numbers, truths=TRUE, seed=2),
        sent,
        payments / payments.sum(axis=1, keepdims=True),
    )


def numbers_of(sheet: Sheet) -> list[float]:
    """Every number of a sheet, its dates and the lengths of its lists."""
    days = [date.fromisoformat(sheet[name]).toordinal() for name in ("date_of_birth", "joined_on")]
    lists = [len(sheet[name]) for name in ("signals", "treatment_flags", "pre_eligible")]
    return [*days, *lists, *(value for value in sheet.values() if type(value) in {int, float})]


def ranks(one: Floats, other: Floats) -> Floats:
    """|Spearman's rho| of each column with each."""
    both = stats.rankdata(np.hstack([one, other]), axis=0)
    rho = np.corrcoef(both.T[np.ptp(both, axis=0) > 0])
    kept = int((np.ptp(one, axis=0) > 0).sum())
    return np.abs(rho[:kept, kept:])


def test_what_only_deeds_can_show_leaves_no_trace_in_the_facts(month: tuple[Hidden, Floats, Floats]) -> None:
    """Some 500 correlations of nothing with nothing, each below 3.5 standard errors: of all seeds one in five fails."""
    hidden, sent, _ = month
    deeds = np.column_stack([hidden.taste, hidden.persuadable, hidden.patience, hidden.irritation, hidden.price])
    assert ranks(sent, deeds).max() < 0.05


def test_of_the_preferences_the_facts_tell_no_more_than_spending_does(month: tuple[Hidden, Floats, Floats]) -> None:
    hidden, sent, shares = month
    by_facts, by_spending = (ranks(seen, hidden.theta).max(axis=0) for seen in (sent, shares))
    assert (by_facts < by_spending).all()
    assert by_spending.min() > 0.25
