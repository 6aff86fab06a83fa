"""What follows openings, how it is told, and what is refused. A z beyond 4.4 comes by chance once in 90,000."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest

from recsys.bank.aftermath import EMPTIED, FUNDS, follow, kept, kept_of
from recsys.bank.dice import Ints
from recsys.bank.holdings import openings_of
from recsys.bank.outcomes import KINDS, LATE, LOST, TWICE, Happenings, Outcomes, delivered, joined, taken
from recsys.bank.response import opt_out_chance
from recsys.bank.switches import Switches
from recsys.bank.visits import Arrivals
from recsys.errors import InvalidTable
from tests.bank_days import IDS, any_ten, bank_of, everybody_searches

DAY = 86_400.0
KEYS = np.arange(60_000, dtype=np.uint64)


def openings(n: int) -> Happenings:
    rows, places = np.arange(n), np.zeros(n, dtype=np.int64)
    pence = np.where(rows % 2 == 0, 10_000, 0)
    return openings_of(rows, places, seconds=1.0 * rows, pence=pence, days=places, surfaces=places, places=places)


def differs(count: float, n: float, chance: float) -> bool:
    return abs(count - n * chance) > 4.4 * np.sqrt(n * chance * (1.0 - chance))


@pytest.mark.parametrize("chance", [0.02, 0.3])
def test_what_follows_an_opening_comes_on_its_date_as_often_as_stated(chance: float) -> None:
    n = len(KEYS)
    found = follow(openings(n), cancels=np.full(n, chance), keys=KEYS, seed=1, number=0)
    by_kind = {KINDS[kind]: taken(found, found.kinds == kind) for kind in np.unique(found.kinds).tolist()}
    assert set(by_kind) == {"funded", "balance_30d", "cancelled_14d", "complained"}
    ages = {kind: (each.seconds - each.rows) / DAY for kind, each in by_kind.items()}
    assert not differs(len(ages["funded"]), n / 2, FUNDS)
    assert not differs(len(ages["cancelled_14d"]), n, chance)
    assert not differs(len(ages["balance_30d"]), n / 2, FUNDS * (1.0 - chance))
    assert not differs(len(ages["complained"]), n, 0.03 * chance)
    assert ages["balance_30d"] == pytest.approx(30.0)
    assert ages["funded"].max() <= 3.0
    assert 1.0 <= ages["cancelled_14d"].min() <= ages["cancelled_14d"].max() <= 14.0
    assert set(by_kind["funded"].pence.tolist()) == {10_000}


@pytest.mark.parametrize(("patience", "gap"), [(0.0, 0.0), (1.5, 0.4), (-1.5, -0.4)])
def test_what_is_kept_of_a_deposit_is_as_expected(patience: float, gap: float) -> None:
    each, gaps = np.full(len(KEYS), patience), np.full(len(KEYS), gap)
    left = kept(each, gaps, keys=KEYS, seed=1, number=9)
    assert abs(left.mean() - kept_of(each, gaps)[0]) < 4.4 * left.std() / np.sqrt(len(KEYS))
    assert not differs((left == 0).sum(), len(KEYS), EMPTIED)
    assert kept_of(np.array([1.0]), np.array([0.3])) > kept_of(np.array([0.0]), np.array([0.0]))


def test_opting_out_is_likelier_for_the_irritable_and_never_certain() -> None:
    calm, angry = (opt_out_chance(np.array([1, 3]), irritation=mood) for mood in (-1.0, 1.0))
    assert (angry > 2.0 * calm).all()
    assert opt_out_chance(np.array([10_000])).tolist() == [0.5]


def test_delivery_is_late_double_or_lost_as_often_as_stated_and_never_without_faults() -> None:
    what = openings(len(KEYS))
    told = delivered(what, arrivals=None, keys=KEYS, seed=1, number=0, switches=Switches())
    times = np.bincount(told.rows, minlength=len(KEYS))
    assert not differs((times == 2).sum(), len(KEYS), TWICE)
    assert not differs((times == 0).sum(), len(KEYS), LOST)
    assert not differs((told.reported - told.seconds > DAY).sum(), len(KEYS), LATE)
    again = np.flatnonzero(told.rows[1:] == told.rows[:-1]) + 1
    for name in (each.name for each in fields(Happenings)):
        assert (getattr(told, name)[again] == getattr(told, name)[again - 1]).all()
    plain = delivered(what, arrivals=None, keys=KEYS, seed=1, number=0, switches=Switches.none())
    assert plain.rows.tolist() == what.rows.tolist()
    assert (plain.reported > plain.seconds).all()
    assert (plain.reported - plain.seconds).max() < 600


@pytest.mark.parametrize("off", ["duplicates", "late", "lost"])
def test_each_fault_of_delivery_has_a_switch_that_leaves_the_others_as_they_were(off: str) -> None:
    what = openings(len(KEYS))
    one, all_of_them = (
        delivered(what, arrivals=None, keys=KEYS, seed=1, number=0, switches=switches)
        for switches in (Switches.parsed(without=[off]), Switches())
    )

    def faults(told: Outcomes) -> dict[str, set[int]]:
        times = np.bincount(told.rows, minlength=len(KEYS))
        late = told.rows[told.reported - told.seconds > DAY]
        return {
            "duplicates": set(np.flatnonzero(times > 1).tolist()),
            "late": set(late.tolist()),
            "lost": set(np.flatnonzero(times == 0).tolist()),
        }

    assert all(faults(all_of_them).values())
    assert faults(one) == faults(all_of_them) | {off: set()}


def lived(days: int, *, shown_to: int, switches: Switches) -> tuple[Outcomes, int]:
    """All that a bank of 600 tells in some days of searching, cards being shown to the first `shown_to` only."""
    bank, told = bank_of(600, switches=switches), []
    for day in range(days):
        bank.begin_day()
        shown = any_ten(600, day=day)
        shown[shown_to:] = -1
        told += [bank.organic_at(), bank.later(), bank.respond_at(everybody_searches(600), shown)]
    return joined(told), bank.response.channelled


def test_every_kind_happens_and_ids_are_told_apart() -> None:
    bank = bank_of(600)
    outcomes, _ = lived(45, shown_to=600, switches=Switches.none())
    told = outcomes.told(start=bank.start, numbers=bank.customers.numbers, ids=bank.customers.ids, products=IDS)
    assert set(Counter(each.kind for each in told)) >= set(KINDS) - {"opted_out", "complained"}
    assert len({each.outcome_id for each in told}) == len(told)
    assert all(each.reported_at > each.happened_at for each in told)
    assert all(each.amount_pence for each in told if each.kind == "funded")
    opened = {each.outcome_id for each in told if each.kind == "opened"}
    assert all(
        each.outcome_id.removesuffix("-funded") in {id_.removesuffix("-opened") for id_ in opened}
        for each in told
        if each.kind == "funded"
    )


def test_what_is_shown_to_some_leaves_the_lives_of_others_as_they_were() -> None:
    """Common random numbers: the same seed under two policies differs only for those whom they treat differently."""
    half, (nobody, _) = lived(25, shown_to=300, switches=Switches())[0], lived(25, shown_to=0, switches=Switches())
    others, alone = (taken(each, each.rows >= 300) for each in (half, nobody))
    for column in fields(Happenings):
        assert (getattr(others, column.name) == getattr(alone, column.name)).all()
    assert len(others) < len(half)


def bad(shown: list[list[int]]) -> Ints:
    return np.array(shown)


def test_tables_that_do_not_fit_are_refused() -> None:
    bank = bank_of(20)
    bank.begin_day()
    one = Arrivals(np.array([3]), np.array([0]), np.array([40_000]))
    with pytest.raises(InvalidTable, match="2 slates for 1 arrivals"):
        bank.respond_at(one, bad([[1], [2]]))
    with pytest.raises(InvalidTable, match=r"no such product column \(row 1\)"):
        bank.respond_at(one, bad([[len(IDS)]]))
    with pytest.raises(InvalidTable, match=r"4 products on home \(row 1\)"):
        bank.respond_at(one, bad([[1, 2, 3, 4]]))
    assert len(bank.respond_at(one, bad([[-1, -1]]))) == 0
