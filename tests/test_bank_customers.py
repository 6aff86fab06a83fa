"""Customers by number: shares, couples, growth, hidden traits; a slice is that part of the whole.

Shares are held to bands of 4 standard errors of a fixed seed: one band in 16,000 fails by chance.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bank.customers import Customers, eighteenth_birthdays, joining_days, make_customers, members
from recsys.bank.dice import Ints
from recsys.bank.hidden import Hidden, drifted, drifting, make_hidden
from recsys.bank.personas import FAMILY, PERSONAS, TEEN, make_households, make_personas, mix_of
from recsys.bank.seasons import PAYDAYS, bank_holidays, pays
from recsys.bank.truth import TRUTHS, truths_of
from recsys.vocabulary import Floats

START = datetime(2026, 1, 5, tzinfo=UTC)
IDS = tuple(TRUTHS)
FOUNDERS = 20_000


def people(numbers: Ints, *, founders: int = FOUNDERS, ids: tuple[str, ...] = IDS) -> tuple[Customers, Hidden]:
    persona = make_personas(numbers, founders=founders, seed=1)
    hidden = make_hidden(persona, numbers=numbers, truths=truths_of(ids), seed=1)
    return make_customers(persona, numbers=numbers, founders=founders, hidden=hidden, seed=1, start=START), hidden


WHOLE, HIDDEN = people(np.arange(FOUNDERS))
SMALL, SMALL_HIDDEN = people(np.arange(400), founders=300)


def near(count: float, share: float | Floats, n: float | Floats) -> bool:
    """Whether a count of `n` draws lies within 4 standard errors of its share."""
    return bool(np.all(np.abs(count - n * share) < 4.0 * np.sqrt(n * share * (1.0 - share)) + 1e-9))


@given(st.integers(0, 399), st.integers(1, 400))
@settings(max_examples=25)
def test_a_slice_is_that_part_of_the_whole(first: int, length: int) -> None:
    here = slice(first, min(first + length, 400))
    own, own_hidden = people(np.arange(400)[here], founders=300)
    for part, whole in ((own, SMALL), (own_hidden, SMALL_HIDDEN)):
        for each in fields(part):
            sliced = getattr(whole, each.name)[here]
            assert np.array_equal(getattr(part, each.name), sliced), each.name


def test_personas_have_their_shares() -> None:
    counts = np.bincount(WHOLE.persona, minlength=len(PERSONAS))
    assert near(counts, np.array([each.share for each in PERSONAS]), FOUNDERS)


def test_personas_have_the_shares_that_are_asked_for_and_couples_stay_of_one_kind() -> None:
    shares = {"family": 0.5, "teen": 0.3, "builder": 0.2}
    mix, numbers = mix_of(tuple(shares.items())), np.arange(30_000)
    persona = make_personas(numbers, founders=FOUNDERS, seed=1, mix=mix)
    household = make_households(numbers, founders=FOUNDERS, seed=1, mix=mix)
    wanted = np.array([shares.get(each.name, 0.0) for each in PERSONAS])
    for here in (slice(0, FOUNDERS), slice(FOUNDERS, None)):
        counts = np.bincount(persona[here], minlength=len(PERSONAS))
        assert not counts[wanted == 0.0].any()
        assert (
            np.abs(counts / counts.sum() - wanted) < 4 * np.sqrt(2 * wanted * (1 - wanted) / counts.sum()) + 1e-9
        ).all()
    family = (persona == FAMILY).reshape(-1, 2)
    assert (family[household[::2] >= 0].sum(axis=1) != 1).all()
    everybody = make_personas(numbers, founders=FOUNDERS, seed=1, mix=mix_of([("family", 1.0)]))
    assert (everybody == FAMILY).all()


def test_couples_are_linked_as_often_as_the_table_says_and_are_of_one_kind() -> None:
    linked, family = WHOLE.household >= 0, WHOLE.persona == FAMILY
    couples = linked.reshape(-1, 2), family.reshape(-1, 2)
    assert (couples[0][:, 0] == couples[0][:, 1]).all()
    together = couples[1][couples[0][:, 0]]
    assert (together[:, 0] == together[:, 1]).all()
    n_couples = FOUNDERS / 2
    assert near(couples[0][:, 0].sum(), 0.128, n_couples)
    assert linked[family].mean() == pytest.approx(0.30, abs=4 * np.sqrt(2 * 0.3 * 0.7 / family.sum()))  # in twos
    assert linked[~family].mean() == pytest.approx(0.10, abs=4 * np.sqrt(2 * 0.1 * 0.9 / (~family).sum()))
    numbers, sizes = np.unique(WHOLE.household[linked], return_counts=True)
    assert set(sizes) == {2}
    assert (np.flatnonzero(linked) // 2 == np.repeat(numbers, 2)).all()


def test_the_unlinked_of_a_couple_know_nothing_of_each_other() -> None:
    single = WHOLE.household.reshape(-1, 2)[:, 0] < 0
    one, other = WHOLE.persona.reshape(-1, 2)[single].T
    table = np.histogram2d(one, other, bins=8, range=((0, 8), (0, 8)))[0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assert ((table - expected) ** 2 / expected).sum() < 85.4  # chi-square of 49 degrees of freedom, .999


def test_a_household_reaches_over_the_edge_of_a_slice() -> None:
    linked = np.flatnonzero(WHOLE.household >= 0)
    alone = linked[:1] + 1 if linked[0] % 2 == 0 else linked[:1]
    assert make_households(alone, founders=FOUNDERS, seed=1)[0] == alone[0] // 2


def test_money_and_ages_are_those_of_the_personas() -> None:
    for index, persona in enumerate(PERSONAS):
        here = WHOLE.persona == index
        n = here.sum()
        medians = (
            np.median(WHOLE.income_pence[here]) / 100,
            np.median(WHOLE.spend_pence[here] / WHOLE.income_pence[here]),
        )
        assert medians[0] == pytest.approx(persona.income, rel=4 * 1.25 * 0.28 / np.sqrt(n))
        assert medians[1] == pytest.approx(persona.spends, abs=4 * 1.25 * 0.05 / np.sqrt(n) + 1e-4)
        years = (START.toordinal() - WHOLE.born_on[here]) / 365.25
        assert persona.ages[0] < years.min()
        assert years.max() < persona.ages[1] + 1
    assert near(np.bincount(WHOLE.payday, minlength=7), np.array([0.55, *[0.066] * 5, 0.12]), FOUNDERS)
    assert (WHOLE.joined_on < START.toordinal()).all()
    assert (WHOLE.of_age_on[WHOLE.persona == TEEN] > START.toordinal()).all()


@given(st.dates(date(1930, 1, 1), date(2015, 12, 31)))
def test_birthdays_are_those_of_the_calendar(born: date) -> None:
    leap = (born.month, born.day) == (2, 29)
    expected = date(born.year + 18, 3, 1) if leap else born.replace(year=born.year + 18)
    assert eighteenth_birthdays(np.array([born.toordinal()]))[0] == expected.toordinal()


@given(st.integers(1, 10_000), st.integers(0, 1_500))
@settings(max_examples=40)
def test_the_curve_of_growth_and_the_days_of_joining_agree(founders: int, day: int) -> None:
    days = joining_days(np.arange(members(founders, day=day + 1)), founders=founders)
    assert (days <= day).sum() == members(founders, day=day)
    assert (np.diff(days) >= 0).all()
    assert (days[:founders] == 0).all()


def test_growth_is_five_per_cent_a_month_and_younger() -> None:
    assert members(10_000, day=365) / 10_000 == pytest.approx(1.05**12, rel=0.002)
    founders = 5_000
    grown, _ = people(np.arange(members(founders, day=700)), founders=founders)
    late = grown.joined_on > START.toordinal()
    assert (late == (grown.numbers >= founders)).all()
    ages = (np.maximum(grown.joined_on, START.toordinal()) - grown.born_on) / 365.25
    assert ages[late].mean() < ages[~late].mean() - 5
    counts = np.bincount(grown.persona[late], minlength=8)
    assert near(counts, np.array([each.joins for each in PERSONAS]), late.sum())


def test_a_taste_hangs_on_the_product_and_not_on_its_column() -> None:
    _, turned = people(np.arange(400), founders=300, ids=IDS[::-1])
    _, fewer = people(np.arange(400), founders=300, ids=IDS[3:9])
    for name in ("taste", "persuadable"):
        assert np.array_equal(getattr(turned, name)[:, ::-1], getattr(SMALL_HIDDEN, name))
        assert np.array_equal(getattr(fewer, name), getattr(SMALL_HIDDEN, name)[:, 3:9])


def test_hidden_traits_are_spread_as_told() -> None:
    lean = np.array([each.lean for each in PERSONAS])[WHOLE.persona]
    within = HIDDEN.theta - lean
    assert within.std(axis=0) == pytest.approx(0.85, rel=4 / np.sqrt(2 * FOUNDERS))
    assert np.abs(np.corrcoef(within.T) - np.eye(8)).max() < 4.5 / np.sqrt(FOUNDERS)
    for bell in (HIDDEN.patience, HIDDEN.irritation, HIDDEN.price, *(HIDDEN.taste.T / 0.5)):
        assert abs(bell.mean()) < 4.5 / np.sqrt(FOUNDERS)
        assert bell.std() == pytest.approx(1.0, rel=4.5 / np.sqrt(2 * FOUNDERS))
    pulls = [np.corrcoef(a, b)[0, 1] for a, b in zip(HIDDEN.taste.T, HIDDEN.persuadable.T, strict=True)]
    assert pulls == pytest.approx([-0.45 / np.sqrt(1.0 + 0.45**2)] * len(IDS), abs=4.5 / np.sqrt(FOUNDERS))


def test_a_fifth_drifts_and_the_others_stay() -> None:
    after = drifted(HIDDEN, persona=WHOLE.persona, numbers=WHOLE.numbers, seed=1)
    drifts = drifting(WHOLE.numbers, seed=1)
    assert near(drifts.sum(), 0.20, FOUNDERS)
    assert np.array_equal((after.theta != HIDDEN.theta).any(axis=1), drifts)
    within = np.array([each.lean for each in PERSONAS])[WHOLE.persona[drifts]]
    before, fresh = (each.theta[drifts] - within for each in (HIDDEN, after))
    assert abs(np.corrcoef(before.ravel(), fresh.ravel())[0, 1]) < 4.5 / np.sqrt(before.size)


def test_paydays_are_working_days_once_a_month() -> None:
    first, last = date(2026, 1, 1).toordinal(), date(2028, 12, 31).toordinal()
    closed = frozenset().union(*(bank_holidays(year) for year in (2026, 2027, 2028)))
    for kind in PAYDAYS:
        days = [day for day in range(first, last + 1) if pays(kind, day)]
        assert not closed.intersection(days)
        assert all(date.fromordinal(day).weekday() < 5 for day in days)
        gaps, (least, most) = np.diff(days), ((6, 8) if kind == "friday" else (25, 37))
        assert least <= gaps.min() <= gaps.max() <= most
        assert len(days) == (157 if kind == "friday" else 36)
    paid = [day for day in range(first, first + 365) if pays("last_working", day)]
    assert len(paid) == 12
    assert date(2026, 12, 31).toordinal() in paid
