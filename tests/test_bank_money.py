"""A customer's money: the same in any slice, whole to the penny, and shaped by who they are."""

from __future__ import annotations

import hashlib
from datetime import date

import numpy as np
import pytest

from recsys.bank.merchants import (
    ALL_NAMES,
    FIRST_BILL,
    MEALS,
    PARTNER,
    REPAID,
    SALARY,
    SAVINGS,
    TRADING,
)
from recsys.bank.money import low
from recsys.bank.money_figures import money_figures
from recsys.bank.personas import SOLE
from recsys.bank.seasons import PAYDAYS, paydays_around, pays, works
from recsys.bank.transactions import CARDS, INTO, OUT_OF
from tests.bank_lives import FOUNDERS, START, Life, people, told


@pytest.mark.parametrize(("first", "last"), [(0, 1), (17, 18), (0, 133), (133, 400), (398, 400), (211, 260)])
def test_a_slice_made_alone_is_that_slice_of_the_whole(first: int, last: int) -> None:
    whole, part = Life(), Life(first, last)
    rows = slice(first, last)
    for _ in range(40):
        all_, some = whole.day(), part.day()
        assert told(some.transactions, first=first) == told(all_.transactions, rows=rows)
        for name in ("closing", "lowest"):
            assert getattr(some, name).tobytes() == getattr(all_, name)[rows].tobytes()
    for name in ("balance", "savings", "jobless_until", "last_paid", "next_payday"):
        assert getattr(part.money, name).tobytes() == getattr(whole.money, name)[rows].tobytes()


def test_the_same_seed_lives_the_same_bytes_and_another_seed_others() -> None:
    def digest(seed: int) -> str:
        return hashlib.sha256(b"".join(b"".join(told(day)) for day in Life(0, 100, seed=seed).days(12))).hexdigest()

    assert digest(1) == digest(1) != digest(2)


def test_every_penny_is_in_a_transaction_deposits_included() -> None:
    life, deposited = Life(), 0
    money, n = life.money, FOUNDERS
    rng = np.random.default_rng(3)
    before, saved = money.balance.copy(), money.savings.copy()
    for _ in range(100):
        for row in rng.integers(0, n, 5).tolist():
            was = int(money.balance[row])
            money.deposit(row, pence=20_000, counts=True)
            deposited += was - int(money.balance[row])
        done = life.day(limit=10_000)
        all_ = done.transactions
        moved = np.bincount(all_.rows, weights=all_.signed, minlength=n).astype(np.int64)
        own = all_.category == SAVINGS
        put_away = np.bincount(all_.rows[own], weights=all_.signed[own], minlength=n).astype(np.int64)
        assert (done.closing == before + moved).all()
        assert (money.savings == saved - put_away).all()
        assert (money.balance == done.closing).all()
        assert (money.savings >= 0).all()
        assert (done.lowest <= done.closing).all()
        before, saved = done.closing.copy(), money.savings.copy()
    assert deposited > 100_000


def test_a_deposit_takes_at_most_half_of_what_is_there() -> None:
    life = Life(0, 50)
    rich = int(np.argmax(life.money.balance))
    before = int(life.money.balance[rich])
    life.money.deposit(rich, pence=10**9, counts=False)
    assert life.money.balance[rich] == before - before // 2
    assert life.money.isa_subscribed[rich] == 0
    first = life.day().transactions
    assert first.sequences[(first.rows == rich) & (first.category == SAVINGS) & (first.seconds == 0)].tolist() == [102]


def test_the_isa_allowance_begins_anew_on_6_april() -> None:
    life = Life(0, 50, start="2026-04-04")
    life.money.deposit(3, pence=5_000, counts=True)
    left = [int((life.day(), life.money.isa_subscribed[3])[1]) for _ in range(3)]
    assert left == [5_000, 5_000, 0]


def test_columns_are_what_they_say() -> None:
    names = set[tuple[int, int, int]]()
    for number, day in enumerate(Life().days(60)):
        assert (np.diff(day.rows * 86_400 + day.seconds) >= 0).all()
        assert ((day.seconds >= 0) & (day.seconds < 86_400)).all()
        assert (day.pence > 0).all()
        assert not (day.declined & (day.direction == INTO)).any()
        assert (day.category[day.sequences < CARDS] < FIRST_BILL).all()
        names |= {(number, row, each) for row, each in zip(day.rows.tolist(), day.sequences.tolist(), strict=True)}
        assert len({each for each in names if each[0] == number}) == len(day)


def test_wages_come_on_paydays_and_bills_in_the_five_days_after_or_on_working_days() -> None:
    life = Life()
    payday = life.customers.payday
    wages = np.zeros(FOUNDERS)
    housing = ALL_NAMES.index("housing")
    for _ in range(60):
        today = life.today
        day = life.day().transactions
        since = today - paydays_around(today)[0][payday]
        paid = day.rows[day.category == SALARY]
        assert (since[paid] == 0).all()
        assert (since[day.rows[day.category == housing]] == 1).all()
        wages[paid] += 1
        by_direct_debit = np.isin(day.category, [ALL_NAMES.index(name) for name in ("mobile", "streaming", "gym")])
        assert works(today) or not by_direct_debit.any()
    due = np.array([sum(pays(kind, life.today - back) for back in range(1, 61)) for kind in PAYDAYS])
    steady = life.money.jobless_until == 0
    assert (wages[steady] == due[payday[steady]]).all()
    assert steady.mean() > 0.97
    assert (wages <= due[payday]).all()


def test_bills_cost_what_goes_on_bills() -> None:
    life = Life()
    mandates = life.money.habits.mandates
    weekly = life.customers.payday[mandates.rows] == PAYDAYS.index("friday")
    weekly_paid = weekly & (mandates.category == ALL_NAMES.index("housing"))
    monthly = np.bincount(
        mandates.rows, weights=mandates.pence * np.where(weekly_paid, 52 / 12, 1.0), minlength=FOUNDERS
    )
    adult = life.customers.of_age_on <= life.today
    share = monthly / life.customers.spend_pence
    assert share[adult] == pytest.approx(0.45, abs=0.002)
    assert (share[~adult] <= 0.1001).all()


def test_couples_move_money_from_one_to_the_other() -> None:
    life = Life(0, 4_000, founders=4_000)
    moved = 0
    for _ in range(40):
        day = life.day().transactions
        partners = day.where(day.category == PARTNER)
        moved += len(partners)
        sides = {
            (row, direction, pence, second)
            for row, direction, pence, second in zip(
                partners.rows.tolist(), partners.direction.tolist(), partners.pence.tolist(),
                partners.seconds.tolist(), strict=True,
            )
        }  # fmt: skip
        assert {(row ^ 1, 1 - direction, pence, second) for row, direction, pence, second in sides} == sides
        assert (life.customers.household[partners.rows] >= 0).all()
    assert moved > 300


def test_what_befalls_people() -> None:
    """Rates over a year of 1,500 customers, within about four standard deviations."""
    life = Life(0, 1_500, founders=1_500)
    counts = dict.fromkeys(("big", "trade", "bonus", "shared", "repaid", "topped", "swept"), 0)
    jobless, teen = 0, life.customers.of_age_on > life.today + 365
    for _ in range(365):
        day = life.day().transactions
        big = day.sequences == 101
        assert (day.pence[big] >= 30_000).all()
        counts["big"] += int(big.sum())
        trade = day.rows[day.category == TRADING]
        assert (life.customers.persona[trade] == SOLE).all()
        counts["trade"] += len(trade)
        bonus = day.category == ALL_NAMES.index("bonus")
        assert date.fromordinal(life.today - 1).month == 3 or not bonus.any()
        counts["bonus"] += int(bonus.sum())
        repaired = day.sequences == 100
        assert (day.pence[repaired] <= 250_000).all()
        assert not teen[day.rows[repaired]].any()
        counts["shared"] += int((day.category == MEALS).sum())
        counts["repaid"] += int((day.category == REPAID).sum())
        counts["topped"] += int(((day.category == SAVINGS) & (day.direction == INTO)).sum())
        counts["swept"] += int(((day.category == SAVINGS) & (day.direction == OUT_OF)).sum())
        jobless += int((~life.money.works(life.today - 1)).sum())
    months, sole = 12 * 1_500, int((life.customers.persona == SOLE).sum())
    assert counts["trade"] / (12 * sole) == pytest.approx(6.0, abs=0.4)
    assert counts["repaid"] / counts["shared"] == pytest.approx(0.12 * 2.5, abs=0.03)
    assert 0.05 < counts["big"] / months < 0.25
    assert 0.06 < counts["bonus"] / 1_500 < 0.17
    assert jobless / (365 * 1_500) == pytest.approx(0.003 * 2.5, abs=0.004)
    assert counts["topped"] > 0 < counts["swept"]


def test_customers_to_come_have_no_money_to_move() -> None:
    life = Life(FOUNDERS - 20, FOUNDERS + 20, founders=FOUNDERS)
    joins = life.customers.joined_on
    assert (joins > life.today).sum() == 20
    before = life.money.balance.copy()
    moved = np.zeros(40, dtype=bool)
    for _ in range(45):
        today = life.today
        day = life.day().transactions
        assert (joins[day.rows] <= today).all()
        moved[day.rows] = True
    unborn = joins >= life.today
    assert (life.money.balance[unborn] == before[unborn]).all()
    assert moved[~unborn].all()


def test_low_is_less_than_a_tenth_of_a_month() -> None:
    life = Life(0, 100)
    life.money.balance[:] = life.customers.income_pence // 10 - 1
    assert low(life.money, customers=life.customers).all()
    life.money.balance[:] = np.maximum(life.customers.income_pence, life.customers.spend_pence)
    assert not low(life.money, customers=life.customers).any()


def test_s_2_money_lies_within_public_figures() -> None:
    """Of the seeds 1 to 12 one leaves one band."""
    customers, hidden = people(0, 2_500, founders=2_500)
    figures = money_figures(customers, hidden=hidden, seed=1, start=START)
    assert not [str(each) for each in figures if not each.inside]
