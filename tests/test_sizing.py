"""What the benchmark of sizes computes from what one of each costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.capacity import Costs, Habits, Machine, limits, need

COSTS = Costs(
    decision_us=1_000,
    outcome_us=100,
    write_us=360,
    learn_us=864,
    judge_us=1_000,
    encode_us=36,
    train_us=40,
    decision_bytes=4_000,
    outcome_bytes=500,
    compacted_bytes=1_000,
    customer_bytes=2_000,
    interaction_bytes=1_000,
    open_bytes=3_000,
)
HABITS = Habits(outcomes=2.0, taps=0.1, judged_days=18)


def test_ten_million_decisions_a_day() -> None:
    found = need(10e6, costs=COSTS, habits=HABITS)

    assert found.peak == pytest.approx(277.8, abs=0.1)  # a tenth of the day in one hour
    assert found.api_processes == 1  # 278 × 1.2 ms is a third of a core, which may be half busy
    assert found.learner_processes == 1  # 10 million × 864 µs: a tenth of a day
    assert found.learner_bytes == pytest.approx(330e9)  # eleven days are open
    assert found.writer_share == pytest.approx(0.1)
    assert found.train_hours == pytest.approx(10.0)  # 90 million interactions, ten times, 40 µs each
    assert found.judge_hours == pytest.approx(50.0)
    assert found.encode_hours == pytest.approx(0.1)
    assert found.customer_bytes == pytest.approx(20e9)
    assert found.train_bytes == pytest.approx(90e9)
    assert found.year_bytes == pytest.approx(10e6 * 365 * 5_000)
    assert found.compacted_year_bytes == pytest.approx(10e6 * (90 * 5_000 + 275 * 2_000))


def test_processes_are_whole_and_never_more_than_half_busy() -> None:
    twice = need(20e6, costs=COSTS, habits=HABITS)
    alone = need(20e6, costs=COSTS, habits=replace(HABITS, utilisation=1.0))

    assert (twice.api_processes, alone.api_processes) == (2, 1)
    assert need(1.0, costs=COSTS, habits=HABITS).api_processes == 1


def test_what_moves_first_is_told_first_and_just_then() -> None:
    machine = Machine(disk_bytes=400e12)
    found = limits(COSTS, habits=HABITS, machine=machine)

    assert list(found.values()) == sorted(found.values())
    assert next(iter(found)).startswith("learner: half the memory")
    volume = next(at for part, at in found.items() if part.startswith("evaluation"))
    assert need(volume, costs=COSTS, habits=HABITS).judge_hours == pytest.approx(machine.night_hours)
    writes = next(at for part, at in found.items() if part.startswith("log: writes"))
    assert need(writes, costs=COSTS, habits=HABITS).writer_share == pytest.approx(HABITS.utilisation)


def test_a_cheaper_part_moves_later_and_moves_nothing_else() -> None:
    before = limits(COSTS, habits=HABITS, machine=Machine())
    after = limits(replace(COSTS, judge_us=100), habits=HABITS, machine=Machine())

    moved = {part for part in before if after[part] != pytest.approx(before[part])}
    assert len(moved) == 1
    assert all(after[part] == pytest.approx(10 * before[part]) for part in moved)
