"""Merchants, codes and the rhythms of spending."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import chain

import numpy as np
import pytest

from recsys.bank.codes import CODES
from recsys.bank.merchants import (
    ALL_NAMES,
    CATEGORIES,
    CATEGORY_OF,
    FIRST_MERCHANT,
    MCC_OF,
    MERCHANTS,
    MOVES,
    NAMES,
    SENSITIVE,
    SIZES,
    merchant_groups,
    merchant_names,
    merchants_at,
)
from recsys.bank.rhythms import black_friday, payday_rush, seconds_at, tilts
from recsys.bank.seasons import PAYDAYS
from recsys.bank.switches import Switches
from recsys.bank.truth import TRAITS

USUAL = Switches()
SHARES = np.array([each.share for each in CATEGORIES]) / sum(each.share for each in CATEGORIES)


def ordinal(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def test_five_thousand_merchants_with_stable_names_and_about_250_codes() -> None:
    names = merchant_names()
    assert len(names) == len(set(names)) == len(merchant_groups()) == MERCHANTS
    assert names[0] == "groceries-0000"
    assert "takeaway-0178" in names
    assert 250 <= len(set(MCC_OF.tolist())) <= 300
    assert set(CODES) == set(ALL_NAMES) - set(MOVES) - {"friends"}
    assert all(1 <= code <= 9_999 for code in chain(*CODES.values()))
    assert all(MCC_OF[each] in CODES[ALL_NAMES[CATEGORY_OF[each]]] for each in range(MERCHANTS))


def test_no_code_tells_of_something_sensitive_in_one_place_and_not_in_another() -> None:
    assert set(ALL_NAMES) >= SENSITIVE
    sensitive = set(chain(*(codes for name, codes in CODES.items() if name in SENSITIVE)))
    told = set(chain(*(codes for name, codes in CODES.items() if name not in SENSITIVE)))
    assert not sensitive & told
    assert {7995, 5912, 8062, 8661, 8641, 7261, 9223} <= sensitive


def test_categories_lean_on_traits_that_exist() -> None:
    assert {trait for each in CATEGORIES for trait in each.leans} == set(TRAITS)
    assert len(NAMES) == len(set(NAMES))


def test_merchants_follow_zipfs_law() -> None:
    """Shares of the ten largest of 474: a z beyond 4 comes by chance once in 1,600."""
    category, n = NAMES.index("restaurant"), 200_000
    luck = (np.arange(n) * 0.6180339887498949) % 1.0
    found = merchants_at(luck, categories=np.full(n, category)) - FIRST_MERCHANT[category]
    ranks = np.arange(1, 11)
    expected = n * np.log1p(1.0 / ranks) / np.log1p(SIZES[category])
    counts = np.bincount(found, minlength=SIZES[category])
    assert (abs(counts[:10] - expected) < 4 * np.sqrt(expected)).all()
    assert found.min() == 0
    assert found.max() == SIZES[category] - 1


def test_a_category_without_merchants_has_none() -> None:
    assert merchants_at(np.array([0.5]), categories=np.array([NAMES.index("friends")])).tolist() == [-1]


def test_weekdays_and_paydays_move_spending_and_keep_its_mean() -> None:
    monday = ordinal("2026-03-02")
    week = np.array([tilts(monday + day, switches=USUAL) for day in range(7)])
    assert week.mean(axis=0) == pytest.approx(1.0, abs=0.01)
    assert week[5, NAMES.index("pub")] > 2.5 * week[0, NAMES.index("pub")]
    assert week[0, NAMES.index("transport")] > 2.5 * week[5, NAMES.index("transport")]
    rush = np.array([payday_rush(np.full(len(PAYDAYS), since), switches=USUAL) for since in range(30)])
    assert rush[:, 0].mean() == pytest.approx(1.0)
    assert rush[:7, PAYDAYS.index("friday")].mean() == pytest.approx(1.0)
    assert rush[0, 0] / rush[25, 0] == pytest.approx(1.9, abs=0.01)


def test_december_is_a_quarter_more_and_summer_is_for_travel() -> None:
    plain = Switches(weekday=False)
    december, august = (tilts(ordinal(day), switches=plain) for day in ("2026-12-10", "2026-08-12"))
    assert december @ SHARES == pytest.approx(1.25, abs=0.02)
    assert august[NAMES.index("travel")] > 2.0
    assert august @ SHARES == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("december", "2026-12-09", "2026-11-11"),
        ("holidays", "2026-07-15", "2026-06-17"),
        ("black_friday", "2026-11-27", "2026-11-20"),
    ],
)
def test_a_season_that_is_off_is_an_ordinary_day(name: str, inside: str, outside: str) -> None:
    on, off = Switches(weekday=False), Switches(weekday=False, **{name: False})
    assert (tilts(ordinal(inside), switches=on) != 1.0).any()
    assert (tilts(ordinal(inside), switches=off) == 1.0).all()
    assert (tilts(ordinal(outside), switches=on) == 1.0).all()


def test_paydays_and_weekdays_can_be_off() -> None:
    assert (tilts(ordinal("2026-03-07"), switches=Switches(weekday=False)) == 1.0).all()
    assert (payday_rush(np.arange(len(PAYDAYS)), switches=Switches(payday=False)) == 1.0).all()


def test_black_friday_is_four_days_a_year() -> None:
    for year in range(2024, 2032):
        first = date(year, 1, 1).toordinal()
        days = [date.fromordinal(day) for day in range(first, first + 366) if black_friday(day)]
        assert [day.weekday() for day in days] == [4, 5, 6, 0]
        thursdays = [day for day in range(1, 31) if date(year, 11, day).weekday() == 3]
        assert days[0] == date(year, 11, thursdays[3] + 1)


def test_shops_have_hours() -> None:
    luck = (np.arange(9_000) + 0.5) / 9_000
    hours = {
        name: Counter((seconds_at(luck, categories=np.full(9_000, NAMES.index(name))) // 3_600).tolist())
        for name in ("groceries", "pub", "transport", "gaming")
    }
    assert min(hours["groceries"]) >= 6
    assert max(hours["groceries"]) <= 22
    assert hours["pub"].most_common(1)[0][0] in (19, 20)
    assert hours["transport"].most_common(1)[0][0] in (7, 8, 17)
    assert set(hours["gaming"]) == set(range(24))
