"""Business time: one clock for several processes, which never runs backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.clocks import FixedClock, SimulatedClock, WallClock
from recsys.errors import InvalidConfiguration
from tests.builders import START, at


def test_the_wall_clock_is_aware() -> None:
    assert WallClock().now().utcoffset() == timedelta(0)


def test_whoever_maps_the_same_file_sees_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clock"
    one = SimulatedClock(path, start=START)
    two = SimulatedClock(path)
    assert one.now() == two.now() == START
    exact = at(3) + timedelta(microseconds=1)
    two.set(exact)
    assert one.now() == exact
    assert SimulatedClock(path).now() == exact  # and a process that starts later


def test_a_simulated_clock_does_not_run_backwards(tmp_path: Path) -> None:
    clock = SimulatedClock(tmp_path / "clock", start=START)
    clock.set(START)
    with pytest.raises(InvalidConfiguration, match="backwards"):
        clock.set(at(-1))
    assert clock.now() == START


def test_a_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(InvalidConfiguration, match="zone"):
        SimulatedClock(tmp_path / "clock", start=naive)
    clock = SimulatedClock(tmp_path / "clock", start=START)
    with pytest.raises(InvalidConfiguration, match="zone"):
        clock.set(naive)


def test_a_clock_that_nobody_started_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="start one before"):
        SimulatedClock(tmp_path / "clock")
    (tmp_path / "clock").write_bytes(b"ab")
    with pytest.raises(InvalidConfiguration, match="no simulated clock"):
        SimulatedClock(tmp_path / "clock")


def test_times_long_ago_and_far_ahead(tmp_path: Path) -> None:
    clock = SimulatedClock(tmp_path / "clock", start=datetime(1950, 1, 1, tzinfo=UTC))
    assert clock.now().year == 1950
    clock.set(datetime(2100, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2100


def test_a_fixed_clock_stands_still() -> None:
    clock = FixedClock(START)
    assert clock.now() == clock.now() == START
    clock.set(at(1))
    assert clock.now() == at(1)
