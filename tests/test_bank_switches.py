"""Switches, each doing what it says and nothing else; rates; launches and retirements."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from recsys.bank.merchants import SENT
from recsys.bank.needs import isa_room
from recsys.bank.occasions import campaign, examined, lures
from recsys.bank.rates import BANK_RATE, CUT, aer_of, bank_rate, gaps, rates_between
from recsys.bank.switches import (
    CAMPAIGN_DAYS,
    CREATIVE_SWAP_DAY,
    DUD_DAY,
    NEW_PRODUCT_DAY,
    RATE_CUT_DAY,
    RETIRED_DAY,
    UI_CHANGE_DAY,
    Switches,
)
from recsys.bank.truth import NEWCOMERS, TRUTHS, truths_of
from recsys.bank.visible import Watched
from recsys.errors import InvalidConfiguration
from tests.bank_days import START, bank_of, everybody_searches

ALL = (*TRUTHS, *NEWCOMERS)
PRODUCTS = truths_of(ALL)
TODAY = START.toordinal()


def test_switches_are_parsed_from_names() -> None:
    parsed = Switches.parsed(with_=["new-product", "dud"], without=["rates"])
    assert (parsed.new_product, parsed.dud, parsed.rates, parsed.late) == (True, True, False, True)
    assert not any(getattr(Switches.none(), name) for name in Switches.names())


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"with_": ["dudd"]}, "no switch 'dudd'; did you mean dud"),
        ({"with_": ["dud"], "without": ["dud"]}, "'dud' is asked to be on and off"),
    ],
)
def test_bad_switches_get_one_sentence(names: dict[str, list[str]], says: str) -> None:
    with pytest.raises(InvalidConfiguration, match=says) as caught:
        Switches.parsed(**names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("switch", "product", "day", "before", "after"),
    [
        ("new_product", "rainy-day", NEW_PRODUCT_DAY, False, True),
        ("dud", "metal-card", DUD_DAY, False, True),
        ("retired", "fixed-6m", RETIRED_DAY, True, False),
    ],
)
def test_products_come_and_go_on_their_day(switch: str, product: str, day: int, *, before: bool, after: bool) -> None:
    column = ALL.index(product)
    on, off = Switches.parsed(with_=[switch]), Switches.none()
    assert [PRODUCTS.on_offer(each, switches=on)[column] for each in (day - 1, day)] == [before, after]
    assert [PRODUCTS.on_offer(each, switches=off)[column] for each in (day - 1, day)] == [before, before]


def test_the_new_product_is_good_for_some_and_the_dud_for_nobody() -> None:
    bank = bank_of(2_000, ids=ALL, switches=Switches.none())
    bank.response.switches = Switches.parsed(with_=["new_product", "dud"])
    bank._number = DUD_DAY
    bank.begin_day()
    values = bank.values_at(everybody_searches(2_000))
    rainy, dud = (values[:, ALL.index(each)] for each in ("rainy-day", "metal-card"))
    poor = bank.customers.persona == 0
    assert rainy[poor].mean() > 2.0 * rainy[~poor].mean()
    best = values[:, : len(TRUTHS)].max(axis=1)
    assert (rainy > best)[poor].mean() > 3.0 * (rainy > best)[~poor].mean()
    assert (dud > best).mean() < 0.05
    taps = bank.taps_at(everybody_searches(2_000))
    assert taps[:, ALL.index("metal-card")].mean() > np.median(taps.mean(axis=0))


def test_novelty_fades_and_wording_lasts() -> None:
    on = Switches.parsed(with_=["creative_swap"])
    fresh, older = (lures(PRODUCTS, switches=on, seed=1, number=CREATIVE_SWAP_DAY + age) for age in (0, 60))
    plain = lures(PRODUCTS, switches=Switches(), seed=1, number=CREATIVE_SWAP_DAY)
    assert not plain.any()
    swapped = fresh != 0.0
    assert 0.2 < swapped[: len(TRUTHS)].mean() < 0.8
    assert (fresh - older)[swapped][:5] == pytest.approx(0.4, abs=0.001)
    launched = lures(PRODUCTS, switches=Switches(), seed=1, number=NEW_PRODUCT_DAY + 7)
    assert launched[ALL.index("rainy-day")] == pytest.approx(0.4 / np.e)


def test_a_campaign_moves_a_fixed_third_of_customers_for_two_weeks() -> None:
    numbers, on = np.arange(5_000), Switches.parsed(with_=["campaign"])
    inside = campaign(PRODUCTS, switches=on, numbers=numbers, seed=1, number=CAMPAIGN_DAYS[0])
    assert inside is not None
    assert 0.27 < (inside[:, ALL.index("cash-isa")] > 0).mean() < 0.33
    assert np.count_nonzero(inside.any(axis=0)) == 1
    part = campaign(PRODUCTS, switches=on, numbers=numbers[70:90], seed=1, number=CAMPAIGN_DAYS[3])
    assert part is not None
    assert (part == inside[70:90]).all()
    assert campaign(PRODUCTS, switches=on, numbers=numbers, seed=1, number=CAMPAIGN_DAYS[-1] + 1) is None
    assert campaign(PRODUCTS, switches=Switches(), numbers=numbers, seed=1, number=CAMPAIGN_DAYS[0]) is None


def test_the_new_layout_favours_the_second_place() -> None:
    on = Switches.parsed(with_=["ui_change"])
    before, after = (examined(on, number=day)[0, :3] for day in (UI_CHANGE_DAY - 1, UI_CHANGE_DAY))
    assert before.argmax() == 0
    assert after.argmax() == 1
    assert (examined(on, number=UI_CHANGE_DAY)[1:] == examined(on, number=0)[1:]).all()


def test_rates_follow_bank_rate_by_their_share() -> None:
    day = date(2025, 8, 7).toordinal()
    assert (bank_rate(day - 1), bank_rate(day)) == (4.25, 4.0)
    steps = [aer_of(product, day=day - 1) - aer_of(product, day=day) for product in ("pot", "fixed-1y")]  # type: ignore[operator]
    assert steps == pytest.approx([0.25 * 0.28, 0.25 * 0.51], abs=0.011)
    assert aer_of("loan", day=day) is None
    year = list(rates_between(("pot", "loan"), first=TODAY, last=TODAY + 364))
    assert [each[0] for each in year] == ["pot"] * len(year)
    assert len(year) == 1 + sum(TODAY < step.toordinal() <= TODAY + 364 for step, _ in BANK_RATE)


def test_competitors_jump_and_gaps_move_needs() -> None:
    start = gaps(ALL, seed=1, start=TODAY, day=TODAY)
    assert not start.any()
    year = np.array([gaps(ALL, seed=1, start=TODAY, day=TODAY + day) for day in range(0, 365, 5)])
    assert 0.1 < year[:, ALL.index("pot")].std() < 0.8
    assert not year[:, ALL.index("loan")].any()


def test_a_cut_of_our_rates_is_in_the_tables_and_in_what_customers_want() -> None:
    cut_on = Switches(rate_cut=True).rate_cut_on(TODAY)
    assert cut_on == TODAY + RATE_CUT_DAY
    assert Switches().rate_cut_on(TODAY) is None
    usual, cut = (aer_of("pot", day=cut_on, cut_on=each) for each in (None, cut_on))
    assert usual is not None
    assert cut == pytest.approx(usual - CUT)
    assert aer_of("pot", day=cut_on - 1, cut_on=cut_on) == aer_of("pot", day=cut_on - 1)
    told = {day: aer for _, day, aer in rates_between(("pot",), first=TODAY, last=TODAY + 364, cut_on=cut_on)}
    assert told[date.fromordinal(cut_on)] == cut
    before, after = (
        gaps(ALL, seed=1, start=TODAY, day=cut_on, cut_on=each)[ALL.index("pot")] for each in (None, cut_on)
    )
    assert after == pytest.approx(before - CUT)


def test_from_april_2027_those_under_65_may_save_less_cash_free_of_tax() -> None:
    bank, column = bank_of(800), TRUTHS_COLUMN
    rooms = [
        isa_room(
            bank.response.people,
            truths=bank.truths,
            switches=switches,
            today=date(2027, 4, day).toordinal(),
        )[:, column]
        for switches, day in ((Switches(), 5), (Switches(), 6), (Switches.none(), 6))
    ]
    assert set(rooms[0].tolist()) == {2_000_000}
    assert set(rooms[1].tolist()) == {1_200_000, 2_000_000}
    assert set(rooms[2].tolist()) == {2_000_000}


TRUTHS_COLUMN = tuple(TRUTHS).index("cash-isa")


def test_nothing_hidden_is_watched() -> None:
    """What is visible hangs on facts and the activity feed alone: the same rows, whatever is asked in between."""
    bank, other = bank_of(150), bank_of(150)
    for each in (bank, other):
        watched = Watched(each)
        for _ in range(3):
            day = each.begin_day()
            watched.look()
        if each is bank:
            first = watched.of(np.arange(150), at=day.starts_at)
            bank.values_at(everybody_searches(150))
    assert (watched.of(np.arange(150), at=day.starts_at) == first).all()
    assert first.shape == (150, 1 + 8 + 5 + 5 + int(SENT.sum()) + len(TRUTHS))
