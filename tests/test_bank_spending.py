"""Card payments: their law, their seasons, what they tell and what is told of them."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from recsys.bank.activity import KINDS, SUBJECTS, activities_of, activity_of, spending_shares
from recsys.bank.hidden import Hidden
from recsys.bank.merchants import (
    FIRST_BILL,
    NAMES,
    SCHEMES,
    SENSITIVE,
    SENT,
)
from recsys.bank.rhythms import payday_rush, tilts
from recsys.bank.seasons import paydays_around
from recsys.bank.shopping import mix_of
from recsys.bank.statements import statement_of
from recsys.bank.switches import Switches
from recsys.bank.transactions import CARDS
from recsys.bank.truth import TRAITS
from recsys.vocabulary import Floats
from tests.bank_lives import FOUNDERS, START, USUAL, Life, told


def test_payments_follow_the_tilted_poisson_law() -> None:
    """Thinning is exact: by category within 4.5 standard deviations, which chance breaks once in 3,500 runs."""
    life = Life(0, 6_000, founders=6_000, start="2026-12-04")
    counts, expected = np.zeros(len(NAMES)), np.zeros(len(NAMES))
    for _ in range(8):
        today = life.today
        rush = payday_rush(today - paydays_around(today)[0], switches=USUAL)[life.customers.payday]
        rates = life.customers.payments / 30.4375 * rush
        expected += (rates[:, None] * mix_of(life.money.habits.tastes)).sum(axis=0) * tilts(today, switches=USUAL)
        day = life.day().transactions
        counts += np.bincount(day.category[day.sequences < CARDS], minlength=len(NAMES))
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("name", "start", "days"),
    [("december", "2026-12-01", 31), ("holidays", "2026-07-01", 31), ("black_friday", "2026-11-27", 4)],
)
def test_each_season_can_be_turned_off_and_touches_no_other_day(name: str, start: str, days: int) -> None:
    early = (date.fromisoformat(start) - timedelta(days=5)).isoformat()
    with_it, without = Life(start=early), Life(start=early, switches=Switches(**{name: False}))
    for _ in range(5):
        assert told(with_it.day().transactions) == told(without.day().transactions)
    payments = [sum(int((day.sequences < CARDS).sum()) for day in life.days(days)) for life in (with_it, without)]
    low_, high = {"december": (1.18, 1.32), "holidays": (0.95, 1.08), "black_friday": (1.2, 1.7)}[name]
    assert low_ < payments[0] / payments[1] < high


def test_the_payday_rush_and_the_week_can_be_turned_off() -> None:
    for switches, band in ((USUAL, (1.6, 2.6)), (Switches(payday=False, weekday=False), (0.9, 1.1))):
        life = Life(0, 800, founders=800, switches=switches)
        near, far = np.zeros(2), np.zeros(2)
        for _ in range(60):
            today = life.today
            since = today - paydays_around(today)[0][life.customers.payday]
            day = life.day().transactions
            paid = np.bincount(day.rows[day.sequences < CARDS], minlength=800)
            for bucket, chosen in ((near, since == 0), (far, since > 12)):
                bucket += (paid[chosen].sum(), chosen.sum())
        assert band[0] < (near[0] / near[1]) / (far[0] / far[1]) < band[1]


def test_how_often_people_shop_does_not_hang_on_what_they_own() -> None:
    """Money that went into savings changes amounts and declines, never when, where and on what."""
    poor, rich = Life(), Life()
    for _ in range(20):
        for row in range(0, FOUNDERS, 2):
            poor.money.deposit(row, pence=100_000, counts=False)
        one, other = (day.where(day.sequences < CARDS) for day in (poor.day().transactions, rich.day().transactions))
        for name in ("rows", "sequences", "seconds", "category", "merchant"):
            assert (getattr(one, name) == getattr(other, name)).all()


def test_sensitive_and_declined_payments_are_never_told() -> None:
    life, seen = Life(), set[str]()
    for number in range(40):
        day = life.day().transactions
        told_ = activities_of(
            day, ids=life.customers.ids, numbers=life.customers.numbers, number=number, midnight=START
        )
        columns = activity_of(day)
        assert [each.amount_pence for each in told_] == columns.pence.tolist()
        assert len({each.activity_id for each in told_}) == len(told_)
        assert {each.kind for each in told_} <= set(KINDS)
        subjects = {each.subject for each in told_}
        assert not subjects & SENSITIVE
        assert subjects <= set(SUBJECTS)
        seen |= subjects
        open_ = ~day.declined & (day.category < FIRST_BILL)
        open_[open_] = SENT[day.category[open_]]
        assert sum(each.kind == "spending" for each in told_) == open_.sum()
    assert seen >= set(NAMES) - SENSITIVE - {"funeral"}
    assert {"salary", "sweep"} <= seen


def explained(features: Floats, wanted: Floats) -> float:
    """R² on the odd rows of a ridge fitted on the even ones."""
    known = np.hstack([np.ones((len(features), 1)), features])
    fitted, judged = known[::2], known[1::2]
    weights = np.linalg.solve(fitted.T @ fitted + 5.0 * np.eye(known.shape[1]), fitted.T @ wanted[::2])
    return 1.0 - float(np.var(wanted[1::2] - judged @ weights) / np.var(wanted[1::2]))


def test_the_spending_mix_tells_a_good_part_of_the_traits() -> None:
    """Four months of what may be sent; no trait that shapes spending stays in the dark, none is laid bare."""
    life = Life(0, 2_000, founders=2_000)
    counts = np.zeros((2_000, len(NAMES)))
    for day in life.days(120):
        kept = day.where(day.sequences < CARDS)
        np.add.at(counts, (kept.rows, kept.category), 1.0)
    shares = spending_shares(counts)
    found = {trait: explained(shares, life.hidden.theta[:, column]) for column, trait in enumerate(TRAITS)}
    assert min(found.values()) > 0.3, found
    assert max(found.values()) < 0.95, found


def test_a_drift_of_tastes_changes_what_is_bought() -> None:
    life = Life(0, 200)
    before = mix_of(life.money.habits.tastes)
    opposite = Hidden(
        **{**{each.name: getattr(life.hidden, each.name) for each in fields(Hidden)}, "theta": -life.hidden.theta}
    )
    life.money.drift(life.customers, hidden=opposite, seed=1)
    assert before.sum(axis=1) == pytest.approx(1.0)
    assert abs(mix_of(life.money.habits.tastes) - before).sum(axis=1).mean() > 0.2


def test_a_statement_is_the_table_a_bank_would_export() -> None:
    life = Life(50, 90)
    day = life.day().transactions
    frame = statement_of(day, numbers=life.customers.numbers, number=0, midnight=START)
    assert frame.height == len(day)
    assert frame["transaction_id"].n_unique() == frame.height
    assert frame.schema["happened_at"] == pl.Datetime("us", "UTC")
    assert frame["customer_id"].is_in(list(life.customers.ids)).all()
    assert set(frame["scheme"]) <= set(SCHEMES)
    assert frame["amount_pence"].to_list() == day.pence.tolist()
    assert (frame["merchant_id"].is_null() == frame["mcc"].is_null()).all()
    assert frame["happened_at"].is_between(START, START + timedelta(days=1), closed="left").all()
