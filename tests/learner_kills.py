"""A real learner process, killed at random points: what it publishes is what an undisturbed one publishes."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from serving.learner_loop import LEASE
from serving.settings import Settings
from tests.service import started

CADENCE = {"RECSYS_PUBLISH_EVERY_LESSONS": "150", "RECSYS_PUBLISH_EVERY_MINUTES": "60"}


def until(done: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait for another process to come somewhere."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def learn_killed(home: Path, *, times: int, published: int, last: int, seed: int = 3) -> int:
    """Kill a learner over `home` so often, at random points, then let it end; how often it was in the middle.

    `published` is about how many snapshots there will be, `last` the log's last position.
    """
    rng, in_the_middle = random.Random(seed), 0
    for goal in sorted(rng.sample(range(2, 2 * published), k=times)):
        with started(home, "learn", **CADENCE) as child:
            until(lambda goal=goal: snapshots(home) >= goal or read_to(home) == last)  # type: ignore[misc]
            time.sleep(rng.random() * 0.02)
            child.kill()
        in_the_middle += read_to(home) < last
        lease_runs_out(home)
    with started(home, "learn", **CADENCE) as child:
        until(lambda: read_to(home) == last)
        child.stop()
    return in_the_middle


def snapshots(home: Path) -> int:
    return sum(1 for _ in (Settings(home=home).artefacts / "policies").glob("*/*/manifest.json"))


def read_to(home: Path) -> int:
    with contextlib.closing(sqlite3.connect(home / "recsys.db")) as connection:
        row = connection.execute("SELECT position FROM progress WHERE name = ?", [LEASE]).fetchone()
        return row[0] if row else 0


def lease_runs_out(home: Path) -> None:
    """Ten seconds pass: the dead learner's lease ends."""
    with contextlib.closing(sqlite3.connect(home / "recsys.db", isolation_level=None)) as connection:
        connection.execute("UPDATE leases SET expires_at = 0")
