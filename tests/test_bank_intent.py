"""Intent: what would have come anyway comes once, whatever is shown; views tell of it; slices agree."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.bank.dice import Ints
from recsys.bank.intent import BOUND, SPELL_DAYS, Intents, make_intents, views_of
from recsys.bank.truth import truths_of
from recsys.bank.world import Bank
from recsys.bank.worlds import Plain
from tests.bank_days import IDS, any_ten, bank_of, everybody_searches

N = 3_000
TRUTHS_HERE = truths_of(IDS)


def anyway_of(numbers: Ints) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Chances of a month that hang on the customer's number."""
    need = np.sin(numbers[:, None] * 0.7 + np.arange(len(IDS)))
    return TRUTHS_HERE.organic * np.exp(need)


def intents_of(numbers: Ints) -> Intents:
    return make_intents(anyway_of(numbers), truths=TRUTHS_HERE, numbers=numbers, seed=4)


def came_anyway(monkeypatch: pytest.MonkeyPatch, *, cards: bool) -> tuple[Bank, set[tuple[int, int]], int]:
    """(row, column) of all that opened where no card persuades anybody: with cards for 20 days, then 60 without."""
    monkeypatch.setattr(Plain, "persuaded", lambda self, need, **_: np.zeros_like(need))
    bank = bank_of(1_000)
    opened, organic = set[tuple[int, int]](), 0
    for day in range(80):
        bank.begin_day()
        found = [bank.organic_at()]
        organic += len(found[0])
        if cards and day < 20:
            outcomes = bank.respond_at(everybody_searches(1_000), any_ten(1_000, day=day))
            found.append(outcomes)
        for each in found:
            is_open = each.kinds == 3
            opened |= set(zip(each.rows[is_open].tolist(), each.columns[is_open].tolist(), strict=True))
    return bank, opened, organic


def test_cards_do_not_change_what_would_have_come_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds come through cards, and nearly the same customers open the same products as without any.

    Not quite all: who has opened early has moved money early, or is tired of seeing it, and lives on differently.
    """
    shown, with_cards, organic = came_anyway(monkeypatch, cards=True)
    hidden, without, all_organic = came_anyway(monkeypatch, cards=False)
    assert hidden.response.channelled == 0
    assert shown.response.channelled > 60
    assert len(with_cards ^ without) < 0.03 * len(without)
    assert abs(organic + shown.response.channelled - all_organic) < 0.02 * all_organic


def test_as_many_spells_end_in_openings_as_need_asks_for() -> None:
    """A month brings the sum of `anyway`, less what spells in progress hold back."""
    numbers = np.arange(N)
    intents, anyway = intents_of(numbers), anyway_of(numbers)
    found = sum(len(intents.advance(anyway, numbers=numbers, seed=4, number=day)[0]) for day in range(90))
    asked = 3.0 * anyway.sum()
    assert 0.8 * asked < found < asked
    often = 90 * (intents.pull_of(anyway) / 30.0 / BOUND)
    assert intents.browsing.mean() == pytest.approx((often / 90 * SPELL_DAYS).mean(), rel=0.25)


def test_bound_is_the_chance_of_a_fate_and_taps_make_it_surer() -> None:
    """A z beyond 4.4 comes by chance once in 90,000."""
    numbers = np.arange(N * 5)
    intents = intents_of(numbers)
    for _ in range(2):
        for column in (0, 17, 18):
            topic = TRUTHS_HERE.topics[column]
            chance = intents.bound[:, column]
            fates = (intents.fates[:, topic] == column).sum()
            assert abs(fates - chance.sum()) < 4.4 * np.sqrt((chance * (1 - chance)).sum()) + 1e-9
        rows = np.flatnonzero((intents.bound[:, 18] > 0) & (intents.fates[:, 4] != 18))
        came = np.flatnonzero(intents.fates[:, 4] == 18)
        both, marks = np.concatenate([rows, came]), np.repeat([False, True], [len(rows), len(came)])
        intents.told(both, np.full(len(both), 18), came=marks, truths=TRUTHS_HERE)
        intents._learn()
        assert intents.bound[both, 18].max(initial=0.0) == 0.0
        assert intents.bound[came][:, TRUTHS_HERE.topics == 4].max(initial=0.0) == 0.0


def test_a_slice_of_customers_is_of_the_same_mind_as_in_the_whole() -> None:
    numbers, part = np.arange(500), np.arange(120, 260)
    whole, own = intents_of(numbers), intents_of(part)
    for day in range(40):
        rows, columns = whole.advance(anyway_of(numbers), numbers=numbers, seed=4, number=day)
        there, what = own.advance(anyway_of(part), numbers=part, seed=4, number=day)
        inside = (rows >= 120) & (rows < 260)
        assert (rows[inside] - 120).tolist() == there.tolist()
        assert columns[inside].tolist() == what.tolist()
    assert (whole.bound[120:260] == own.bound).all()
    assert (whole.fates[120:260] == own.fates).all()


def test_page_views_tell_of_intent_but_not_all() -> None:
    numbers = np.arange(N)
    intents = intents_of(numbers)
    rows, topics, seconds = views_of(intents, logins=np.full(N, 0.6), numbers=numbers, seed=4, number=0)
    looking = intents.browsing[rows, topics]
    assert 0 < (~looking).sum() < len(rows)
    often = looking.sum() / intents.browsing.sum() / ((~looking).sum() / (~intents.browsing).sum())
    assert 10 < often < 40
    assert ((seconds >= 25_200) & (seconds < 82_800)).all()
