"""Birthdays, tax years and rule dates, exact at midnight in London."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

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
