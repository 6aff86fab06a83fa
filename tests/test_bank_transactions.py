"""The day's ledger: who gets through, to the penny, beside a plain reading of the rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.bank.dice import Ints
from recsys.bank.merchants import MEALS, NAMES, PARTNER, REPAID, SALARY, SAVINGS
from recsys.bank.transactions import INTO, OUT_OF, Movements, Transactions, block, joined, repayment, settled

GROCERIES = NAMES.index("groceries")
KINDS = [(GROCERIES, OUT_OF), (SALARY, INTO), (PARTNER, OUT_OF), (PARTNER, INTO), (SAVINGS, OUT_OF), (SAVINGS, INTO)]
ROWS = 4
movements = st.tuples(st.integers(0, ROWS - 1), st.integers(0, 3), st.integers(1, 300), st.sampled_from(KINDS))
meals = st.tuples(st.integers(0, ROWS - 1), st.integers(0, 3), st.integers(1, 200), st.integers(1, 4))
pence = st.lists(st.integers(-100, 400), min_size=ROWS, max_size=ROWS)


def array(numbers: list[int]) -> Ints:
    return np.array(numbers, dtype=np.int64)


def day_of(moves: list[tuple[int, int, int, tuple[int, int]]], eaten: list[tuple[int, int, int, int]]) -> Transactions:
    """Moves of (row, second, pence, kind), and meals of (row, second, pence of each, friends)."""
    plain = block(
        array([row for row, _, _, _ in moves]),
        sequences=array([64 + place for place in range(len(moves))]),
        seconds=array([second for _, second, _, _ in moves]),
        pence=array([each for _, _, each, _ in moves]),
        category=array([kind[0] for *_, kind in moves]),
        direction=array([kind[1] for *_, kind in moves]),
    )
    paid = block(
        array([row for row, _, _, _ in eaten]),
        sequences=array(list(range(len(eaten)))),
        seconds=array([second for _, second, _, _ in eaten]),
        pence=array([each * (1 + friends) for _, _, each, friends in eaten]),
        category=MEALS,
    )
    shares = [(place, friend) for place, (_, _, _, friends) in enumerate(eaten) for friend in range(friends)]
    payer, friend = array([place for place, _ in shares]), array([friend for _, friend in shares])
    back = block(
        paid.rows[payer],
        sequences=repayment(paid.sequences[payer], friend=friend),
        seconds=paid.seconds[payer] + friend,
        pence=array([eaten[place][2] for place, _ in shares]),
        category=REPAID,
        direction=INTO,
    )
    return joined([plain, paid, back])


def plainly(asked: Transactions, *, opening: list[int], floor: list[int]) -> tuple[list[int], list[int], set[object]]:
    """Closing, lowest and the names of what got through: one transaction after the other."""
    closing, lowest, through = list(opening), list(opening), set[object]()
    columns = (asked.rows, asked.sequences, asked.pence, asked.direction, asked.category)
    for row, sequence, amount, direction, category in zip(*(each.tolist() for each in columns), strict=True):
        if direction == INTO:
            if category == REPAID and (row, (sequence - 128) // 4) not in through:
                continue
            closing[row] += amount
        elif closing[row] - amount >= floor[row] or category in (PARTNER, SAVINGS):
            closing[row] -= amount
        else:
            continue
        through.add((row, sequence))
        lowest[row] = min(lowest[row], closing[row])
    return closing, lowest, through


def names(done: Movements) -> set[object]:
    kept = done.transactions.where(~done.transactions.declined)
    return set(zip(kept.rows.tolist(), kept.sequences.tolist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(st.lists(movements, max_size=14), st.lists(meals, max_size=5), pence, pence)
def test_the_ledger_is_the_plain_reading_of_its_rule(
    moves: list[tuple[int, int, int, tuple[int, int]]],
    eaten: list[tuple[int, int, int, int]],
    opening: list[int],
    allowed: list[int],
) -> None:
    floor = [-each for each in allowed]
    asked = day_of(moves, eaten)
    closing, lowest, through = plainly(asked, opening=opening, floor=floor)
    done = settled(asked, opening=array(opening), floor=array(floor))
    assert done.closing.tolist() == closing
    assert done.lowest.tolist() == lowest
    assert names(done) == through
    assert not (done.transactions.declined & (done.transactions.direction == INTO)).any()


@settings(max_examples=100, deadline=None)
@given(st.lists(movements, max_size=14), st.lists(meals, max_size=5), pence, pence)
def test_closing_is_opening_and_what_moved(
    moves: list[tuple[int, int, int, tuple[int, int]]],
    eaten: list[tuple[int, int, int, int]],
    opening: list[int],
    allowed: list[int],
) -> None:
    done = settled(day_of(moves, eaten), opening=array(opening), floor=-array(allowed))
    moved = np.zeros(ROWS, dtype=np.int64)
    np.add.at(moved, done.transactions.rows, done.transactions.signed)
    assert (done.closing == array(opening) + moved).all()
    assert (done.lowest <= np.minimum(done.closing, array(opening))).all()


def test_a_day_is_sorted_by_customer_and_second_and_then_by_block() -> None:
    early = block(array([1, 0]), sequences=7, seconds=array([5, 9]), pence=array([1, 2]), category=SALARY)
    late = block(array([0, 1]), sequences=8, seconds=array([9, 4]), pence=array([3, 4]), category=GROCERIES)
    day = joined([early, late])
    assert day.rows.tolist() == [0, 0, 1, 1]
    assert day.seconds.tolist() == [9, 9, 4, 5]
    assert day.pence.tolist() == [2, 3, 4, 1]


def test_a_day_on_which_nothing_happens() -> None:
    nothing = block(array([]), sequences=0, seconds=array([]), pence=array([]), category=SALARY)
    done = settled(joined([nothing, nothing]), opening=array([5, -7]), floor=array([0, 0]))
    assert (done.closing.tolist(), done.lowest.tolist(), len(done.transactions)) == ([5, -7], [5, -7], 0)


@pytest.mark.parametrize(("opening", "paid"), [(300, True), (299, False)])
def test_friends_repay_a_meal_only_if_it_was_paid(opening: int, *, paid: bool) -> None:
    done = settled(day_of([], [(0, 1, 100, 2)]), opening=array([opening, 0, 0, 0]), floor=array([0] * 4))
    assert (done.transactions.category == REPAID).sum() == (2 if paid else 0)
    assert done.closing[0] == opening - (100 if paid else 0)


def test_what_follows_from_the_columns() -> None:
    day = block(
        array([0, 0]), sequences=array([0, 96]), seconds=array([1, 2]), pence=array([5, 9]),
        category=array([GROCERIES, SALARY]), direction=array([OUT_OF, INTO]), merchant=array([0, -1]),
    )  # fmt: skip
    assert day.signed.tolist() == [-5, 9]
    assert day.salary.tolist() == [False, True]
    assert day.recurring.tolist() == [False, True]
    assert day.mcc.tolist() == [5411, 0]
    assert day.scheme.tolist() == [0, 4]
