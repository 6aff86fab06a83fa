"""S-1: a slice of the customers made alone is that slice of the whole, whatever the bank tells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from recsys.bank.dice import Ints
from recsys.bank.switches import Switches
from recsys.bank.truth import NEWCOMERS, TRUTHS
from recsys.bank.visits import Arrivals
from recsys.bank.world import Bank
from recsys.bank.worlds import WORLDS
from recsys.errors import InvalidConfiguration

START = datetime(2026, 3, 2, tzinfo=UTC)
SIZE, FIRST, LAST, DAYS = 120, 37, 92, 9
EVERYTHING = Switches(**dict.fromkeys(Switches.names(), True))


def bank_of(*, world: str = "plain", switches: Switches | None = None, first: int = 0, last: int | None = None) -> Bank:
    return Bank.create(
        customers=SIZE,
        seed=3,
        start=START,
        catalogue=(*TRUTHS, *NEWCOMERS),
        world=world,
        switches=switches,
        first=first,
        last=last,
        days=DAYS,
        surfaces=("home", "savings", "search", "push", "inline"),
    )


def shown_to(arrivals: Arrivals, *, numbers: Ints) -> Ints:
    """(v, 3) some products for each arrival, by its customer's number alone; pushes and inline cards are one."""
    shown = (numbers[arrivals.rows][:, None] * 7 + arrivals.surfaces[:, None] + np.arange(3) * 5) % len(TRUTHS)
    shown[np.isin(arrivals.surfaces, (3, 4)), 1:] = -1
    return shown


def lived(bank: Bank, *, numbers: range) -> list[Any]:
    """Everything the bank tells of these customers, day by day."""
    told: list[Any] = []
    of_all = bank.customers.numbers
    mine = np.isin(of_all, list(numbers))
    names = [f"c-{number:06d}" for number in numbers]
    rows = np.flatnonzero(mine).tolist()
    for _ in range(DAYS):
        day = bank.begin_day()
        here = np.isin(day.arrivals.rows, rows)
        outcomes = bank.respond_at(day.arrivals, shown_to(day.arrivals, numbers=of_all))
        told.append([visit.at for visit in day.visits if visit.customer_id in names])
        told.append([(each.activity_id, each.amount_pence) for each in bank.activity() if each.customer_id in names])
        told.append(bank.facts(rows))
        told.append(bank.permissions(rows))
        told.append([each[rows].tolist() for each in bank.balances()])
        told.append(bank.values_at(day.arrivals)[here].tobytes())
        told.append(bank.attributed_at(day.arrivals)[here].tobytes())
        for table in (outcomes, bank.organic_at(), bank.later()):
            kept = np.isin(table.rows, rows)
            told.append((of_all[table.rows[kept]].tolist(), table.columns[kept].tolist(), table.kinds[kept].tolist()))
            told.append((table.seconds[kept].tobytes(), table.pence[kept].tolist(), table.reported[kept].tobytes()))
    return told


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("switches", [Switches(), EVERYTHING], ids=["usual", "everything"])
def test_s_1_a_slice_is_the_whole_of_those_customers(world: str, switches: Switches) -> None:
    numbers = range(FIRST, LAST)
    whole = lived(bank_of(world=world, switches=switches), numbers=numbers)
    alone = lived(bank_of(world=world, switches=switches, first=FIRST, last=LAST), numbers=numbers)
    assert len(whole) == len(alone)
    for one, other in zip(whole, alone, strict=True):
        assert one == other


def test_s_1_the_same_seed_is_the_same_bank_and_another_is_not() -> None:
    numbers = range(SIZE)
    assert lived(bank_of(), numbers=numbers) == lived(bank_of(), numbers=numbers)
    other = Bank.create(customers=SIZE, seed=4, start=START, catalogue=tuple(TRUTHS))
    assert lived(other, numbers=numbers) != lived(bank_of(), numbers=numbers)


def test_growth_brings_customers_who_were_not_there_and_nobody_else_notices() -> None:
    growing = Switches.parsed(with_=["growth"])
    bank = Bank.create(customers=SIZE, seed=3, start=START, catalogue=tuple(TRUTHS), switches=growing, days=60)
    assert len(bank) > SIZE
    still = Bank.create(customers=SIZE, seed=3, start=START, catalogue=tuple(TRUTHS))
    newcomer = len(bank) - 1
    for number in range(60):
        day, other = bank.begin_day(), still.begin_day()
        [(_, sheet)] = bank.facts([newcomer])
        assert bool(sheet) == (number >= int(bank.customers.joined_on[newcomer]) - START.toordinal())
        assert {visit.row for visit in day.visits if visit.row < SIZE} == {visit.row for visit in other.visits}
    with pytest.raises(InvalidConfiguration, match="how many days"):
        Bank.create(customers=SIZE, seed=3, start=START, catalogue=tuple(TRUTHS), switches=growing)
    with pytest.raises(InvalidConfiguration, match="a slice of 120 customers"):
        bank_of(first=100, last=90)
