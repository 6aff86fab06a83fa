"""Birthdays, tax years and rule dates, exact at midnight in London."""

from __future__ import annotations

from calendar import isleap
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.derivations import age_on
from recsys.eligibility import RoutePath
from tests.rules.people import ADULT_ONLY, CATALOGUE, NOON, PACK, eligible, profile_of


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
    assert eligible(profile, at=last_minor_moment + timedelta(seconds=1)) >= ADULT_ONLY - {"pension"}


@pytest.mark.parametrize("surface", CATALOGUE.surfaces)
@pytest.mark.parametrize("path", ["personalised", "broadcast"])
def test_age_1_nobody_under_18_sees_an_adult_product_on_any_surface(surface: str, path: RoutePath) -> None:
    for years in range(18):
        profile = profile_of({"date_of_birth": date(NOON.year - years, 5, 12).isoformat()})
        assert not eligible(profile, surface=surface, path=path) & ADULT_ONLY


def test_sav_1_the_allowance_begins_anew_at_midnight_in_london_on_6_april() -> None:
    before = datetime(2026, 4, 5, 22, 59, 59, tzinfo=UTC)
    told = {"isa_subscribed_pence": before - timedelta(days=30)}
    profile = profile_of({"isa_subscribed_pence": 2_000_000}, as_of=before, told=told)
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


def test_a_rule_is_in_force_on_its_london_days_only() -> None:
    rules = tuple(
        replace(rule, effective_from=date(2026, 7, 1), effective_to=date(2026, 8, 1))
        if rule.rule_id == "SAV-4"
        else rule
        for rule in PACK.rules
    )
    pack = replace(PACK, rules=rules)
    begins = datetime(2026, 6, 30, 23, tzinfo=UTC)
    ends = datetime(2026, 7, 31, 23, tzinfo=UTC)
    second = timedelta(seconds=1)
    allowed = [
        "fixed-1y" in eligible(profile_of({"savings_pence": 0}, as_of=at), at=at, pack=pack)
        for at in (begins - second, begins, ends - second, ends)
    ]
    assert allowed == [True, False, False, True]


# -- against a second opinion --------------------------------------------------------------------

DAYS = st.dates(date(2018, 1, 1), date(2032, 12, 31))


def midnight(day: date) -> datetime:
    """When a day begins in London, in UTC."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo("Europe/London")).astimezone(UTC)


def birthdays(born: date, until: date) -> int:
    """Birthdays had by a day, counted one by one; 29 February comes on 1 March in common years."""
    had = 0
    for year in range(born.year + 1, until.year + 1):
        leap = (born.month, born.day) == (2, 29) and not isleap(year)
        had += (date(year, 3, 1) if leap else born.replace(year=year)) <= until
    return had


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    born=st.one_of(
        st.dates(date(1920, 1, 1), date(2015, 1, 1)), st.sampled_from([date(2008, 2, 29), date(2000, 2, 29)])
    ),
    day=DAYS,
)
def test_age_1_an_age_is_the_number_of_birthdays_had(born: date, day: date) -> None:
    assert age_on(day, born=born) == birthdays(born, day)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    day=st.one_of(DAYS, st.sampled_from([date(2026, 3, 29), date(2026, 10, 25), date(2028, 2, 29), date(2026, 3, 1)]))
)
def test_age_1_every_eighteenth_birthday_begins_at_midnight_in_london(day: date) -> None:
    leap = (day.month, day.day) == (2, 29)
    born = date(day.year - 18, 3, 1) if leap and not isleap(day.year - 18) else day.replace(year=day.year - 18)
    begins = midnight(born.replace(year=day.year) if not leap else date(day.year, born.month, born.day))
    for at, adult in ((begins - timedelta(microseconds=1), False), (begins, True)):
        profile = profile_of({"date_of_birth": born.isoformat()}, as_of=at)
        assert ("joint" in eligible(profile, at=at)) is adult


@pytest.mark.parametrize("year", range(2018, 2033))
def test_sav_1_sav_2_every_tax_year_begins_at_midnight_in_london_on_6_april(year: int) -> None:
    begins = midnight(date(year, 4, 6))
    assert begins.hour == 23  # summer time has begun: midnight is 23:00 UTC the day before
    for at, isas in ((begins - timedelta(microseconds=1), set()), (begins, {"cash-isa", "ss-isa"})):
        told = {"isa_subscribed_pence": begins - timedelta(days=1)}
        profile = profile_of({"isa_subscribed_pence": 2_000_000}, as_of=at, told=told)
        assert eligible(profile, at=at) & {"cash-isa", "ss-isa"} == isas


@settings(max_examples=200, deadline=None, derandomize=True)
@given(day=DAYS, born=st.dates(date(1940, 1, 1), date(1999, 12, 31)), pence=st.integers(0, 2_100_000))
def test_sav_2_the_allowance_is_that_of_the_day_and_the_age(day: date, born: date, pence: int) -> None:
    at = midnight(day) + timedelta(hours=12)
    profile = profile_of({"date_of_birth": born.isoformat(), "isa_subscribed_pence": pence}, as_of=at)
    cash = 1_200_000 if day >= date(2027, 4, 6) and birthdays(born, day) < 65 else 2_000_000
    shown = eligible(profile, at=at)
    assert ("cash-isa" in shown) is (pence < cash)
    assert ("ss-isa" in shown) is (pence < 2_000_000)


@pytest.mark.parametrize("declined", [date(2026, 1, 5), date(2026, 8, 20), date(2027, 12, 1)])
def test_crd_1_ninety_days_are_days_of_london_whatever_the_clocks_do(declined: date) -> None:
    begins = midnight(declined + timedelta(days=90))
    for at, lends in ((begins - timedelta(microseconds=1), False), (begins, True)):
        profile = profile_of({"credit_declined_on": declined.isoformat()}, as_of=at)
        assert ("loan" in eligible(profile, at=at)) is lends
