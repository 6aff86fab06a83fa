"""Log-ins and arrivals: how many, when and where; once a day and surface; slices of the whole.

Rates are held to 4 standard errors of a fixed seed, by the spread between customers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bank.customers import Customers, make_customers
from recsys.bank.dice import Ints
from recsys.bank.hidden import make_hidden
from recsys.bank.logins import PUSH_HOURS, PUSHES, SEARCHES, arrivals_of, login_rates, sessions_of
from recsys.bank.personas import make_personas
from recsys.bank.seasons import paydays_around
from recsys.bank.standing import ABSENT, ACTIVE, DORMANT, Standing, make_standing
from recsys.bank.truth import TRUTHS, truths_of
from recsys.bank.visits import SURFACES, Arrivals, Day, Sessions
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
FIRST = START.toordinal()
TRUE = truths_of(tuple(TRUTHS))
HOME, PUSH = SURFACES.index("home"), SURFACES.index("push")


def people(numbers: Ints) -> tuple[Customers, Standing]:
    persona = make_personas(numbers, founders=10_000, seed=1)
    hidden = make_hidden(persona, numbers=numbers, truths=TRUE, seed=1)
    customers = make_customers(persona, numbers=numbers, founders=10_000, hidden=hidden, seed=1, start=START)
    return customers, make_standing(customers, truths=TRUE, seed=1, start=START)


def rates_of(customers: Customers, standing: Standing, *, number: int, loyalty: float = 1.0) -> Floats:
    since = FIRST + number - paydays_around(FIRST + number)[0][customers.payday]
    return login_rates(
        customers,
        standing=standing,
        since_payday=since,
        loyalty=np.full(len(customers), loyalty),
        today=FIRST + number,
    )


def day_of(customers: Customers, standing: Standing, *, number: int = 3) -> Day:
    sessions = sessions_of(customers, rates=rates_of(customers, standing, number=number), seed=1, number=number)
    arrivals = arrivals_of(sessions, customers=customers, standing=standing, seed=1, number=number)
    return Day(number, START + timedelta(days=number), arrivals, sessions, customers.ids)


WHOLE, STANDING = people(np.arange(10_000))
DAY = day_of(WHOLE, STANDING)


def test_active_customers_log_in_275_times_a_year() -> None:
    expected = np.mean([rates_of(WHOLE, STANDING, number=number) for number in range(364)], axis=0)
    active = STANDING.status == ACTIVE
    yearly = 365 * expected[active]
    assert yearly.mean() == pytest.approx(275, abs=4 * yearly.std() / np.sqrt(active.sum()))
    assert np.log(WHOLE.logins).std() == pytest.approx(0.55, rel=0.03)


def test_counts_are_what_the_rates_expect() -> None:
    rates = rates_of(WHOLE, STANDING, number=3)
    counts = np.bincount(DAY.sessions.rows, minlength=len(WHOLE))
    assert abs(counts.sum() - rates.sum()) < 4 * np.sqrt(rates.sum())
    assert counts[STANDING.status > DORMANT].sum() == 0


def test_paydays_weekdays_loyalty_and_status_move_the_rate() -> None:
    common = {"standing": STANDING, "loyalty": np.ones(len(WHOLE)), "today": FIRST}
    far, rush = (login_rates(WHOLE, since_payday=np.full(len(WHOLE), day), **common) for day in (9, 1))
    active = STANDING.status == ACTIVE
    assert rush[active] == pytest.approx(1.5 * far[active])
    assert np.array_equal(login_rates(WHOLE, since_payday=np.zeros(len(WHOLE)), payday=False, **common), far)
    week = [login_rates(WHOLE, since_payday=np.full(len(WHOLE), 9), **common | {"today": FIRST + d}) for d in range(7)]
    plain = login_rates(WHOLE, since_payday=np.full(len(WHOLE), 9), weekday=False, **common)
    assert np.mean(week, axis=0) == pytest.approx(plain)
    assert week[6].sum() < 0.9 * week[0].sum()
    assert rates_of(WHOLE, STANDING, number=3, loyalty=2.0) == pytest.approx(2 * rates_of(WHOLE, STANDING, number=3))
    absent = replace(STANDING, status=np.full(len(WHOLE), ABSENT))
    assert not rates_of(WHOLE, absent, number=3).any()


def test_sessions_are_in_order_and_follow_the_hours_of_the_day() -> None:
    sessions = DAY.sessions
    assert (np.diff(sessions.rows * 86_400 + sessions.seconds) >= 0).all()
    assert 0 <= sessions.seconds.min() <= sessions.seconds.max() < 86_400
    assert sessions.surfaces[:, HOME].all()
    assert not sessions.surfaces[:, PUSH].any()
    hours = np.bincount(sessions.seconds // 3_600, minlength=24)
    assert hours[2] < 0.3 * hours[8]
    searching = sessions.surfaces[:, SURFACES.index("search")]
    assert abs(searching.mean() - SEARCHES) < 4 * np.sqrt(SEARCHES / len(searching))
    on_tab = sessions.surfaces[:, SURFACES.index("savings")]
    saver = WHOLE.signals[sessions.rows, 3]
    assert on_tab[saver].mean() > 1.5 * on_tab[~saver].mean()


def test_a_customer_arrives_on_a_surface_once_in_the_first_session_that_touches_it() -> None:
    arrivals, sessions = DAY.arrivals, DAY.sessions
    pairs = arrivals.rows * len(SURFACES) + arrivals.surfaces
    assert len(np.unique(pairs)) == len(pairs)
    assert (np.diff(arrivals.seconds * len(WHOLE) + arrivals.rows) >= 0).all()
    for surface in set(range(len(SURFACES))) - {PUSH}:
        here = arrivals.surfaces == surface
        touched = np.unique(sessions.rows[sessions.surfaces[:, surface]])
        assert np.array_equal(np.sort(arrivals.rows[here]), touched)
    home = arrivals.surfaces == HOME
    first = np.full(len(WHOLE), 86_400)
    np.minimum.at(first, sessions.rows, sessions.seconds)
    assert np.array_equal(arrivals.seconds[home], first[arrivals.rows[home]])
    assert (arrivals.seconds[~home] >= np.where(arrivals.surfaces == PUSH, 0, first[arrivals.rows])[~home]).all()


def test_the_bank_knocks_by_day_and_only_where_it_may() -> None:
    pushed = DAY.arrivals.on(["push"])
    allowed = STANDING.allows[:, 1] & (STANDING.status == ACTIVE)
    assert allowed[pushed.rows].all()
    assert PUSH_HOURS[0] * 3_600 <= pushed.seconds.min() <= pushed.seconds.max() < PUSH_HOURS[1] * 3_600
    assert abs(len(pushed) - PUSHES * allowed.sum()) < 4 * np.sqrt(PUSHES * allowed.sum())


@given(st.integers(0, 9_999), st.integers(1, 3_000))
@settings(max_examples=10, deadline=None)
def test_a_slice_is_that_part_of_the_whole(first: int, length: int) -> None:
    last = min(first + length, 10_000)
    part = day_of(*people(np.arange(first, last)))
    for own, whole in ((part.arrivals, DAY.arrivals), (part.sessions, DAY.sessions)):
        here = (first <= whole.rows) & (whole.rows < last)
        assert np.array_equal(own.rows + first, whole.rows[here])
        assert np.array_equal(own.seconds, whole.seconds[here])
        assert np.array_equal(own.surfaces, whole.surfaces[here])


def test_visits_are_the_arrivals_one_by_one() -> None:
    visits = DAY.visits
    assert visits is DAY.visits
    assert len(visits) == len(DAY.arrivals)
    assert [visit.at for visit in visits] == sorted(visit.at for visit in visits)
    assert all(visit.customer_id == WHOLE.ids[visit.row] for visit in visits)
    both = DAY.arrivals.on(["home", "savings"])
    assert [v.row for v in visits if v.surface in {"home", "savings"}] == both.rows.tolist()


def test_a_surface_that_is_none_is_named() -> None:
    with pytest.raises(InvalidConfiguration, match="no surface 'kiosk'; it has home, "):
        DAY.arrivals.on(["kiosk"])


def test_a_bank_in_which_nobody_comes_is_quiet() -> None:
    nobody = sessions_of(WHOLE, rates=np.zeros(len(WHOLE)), seed=1, number=0)
    assert isinstance(nobody, Sessions)
    assert len(nobody.rows) == 0
    arrivals = arrivals_of(nobody, customers=WHOLE, standing=STANDING, seed=1, number=0)
    assert isinstance(arrivals, Arrivals)
    assert set(arrivals.surfaces.tolist()) == {PUSH}
