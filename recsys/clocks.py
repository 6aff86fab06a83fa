"""Business time, chosen once in the composition root.

Business time stamps decisions, windows and expiries. It is the wall clock, or a simulated one that
several processes of one machine share through eight bytes of a mapped file, so that months of
delayed outcomes run in minutes through the real HTTP API. Machine time (leases, timeouts) is
`time.monotonic` and never comes from here.
"""

from __future__ import annotations

import mmap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from recsys.errors import InvalidConfiguration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells business time as an aware UTC datetime."""

    def now(self) -> datetime:
        """Now, in business time."""


class WallClock:
    """The machine's own time, in UTC."""

    def now(self) -> datetime:
        """Now, in business time."""
        return datetime.now(UTC)


class SimulatedClock:
    """A time that stands still until somebody sets it; shared by every process that maps `path`.

    One aligned eight-byte store moves it, so a reader sees the old time or the new one.
    """

    def __init__(self, path: Path, *, start: datetime | None = None) -> None:
        if start is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_micros(start).to_bytes(8, "little", signed=True))
        elif not path.exists():
            raise InvalidConfiguration(f"no simulated clock at {path}: start one before the processes that read it")
        try:
            with path.open("r+b") as file:
                self._view = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")
        except ValueError:
            raise InvalidConfiguration(f"{path} is no simulated clock: start a new one there") from None

    def now(self) -> datetime:
        """Now, in business time."""
        return EPOCH + timedelta(microseconds=self._view[0])

    def set(self, at: datetime) -> None:
        """Move to `at`; raises `InvalidConfiguration` for a step backwards."""
        micros = _micros(at)
        if micros < self._view[0]:
            raise InvalidConfiguration("a simulated clock does not run backwards")
        self._view[0] = micros


class FixedClock:
    """A clock in one process's memory, for tests and for living a bank in process."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """Now, in business time."""
        return self._at

    def set(self, at: datetime) -> None:
        """Move to `at`."""
        self._at = at


def _micros(at: datetime) -> int:
    if at.tzinfo is None:
        raise InvalidConfiguration("times carry a zone: give an aware UTC datetime")
    return (at - EPOCH) // timedelta(microseconds=1)
