"""A feature store against our own database: what a profile costs, and a whole request, in one run.

Sources take turns, request by request, so that a slow moment of the machine strikes all alike.
Redis is the one at RECSYS_TEST_REDIS (127.0.0.1:6379). Run: python -m tests.benchmarks feast; REQUESTS=2000
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np

from recsys.customers import Told
from recsys.vocabulary import CustomerId, Permissions
from serving.leading import calm_the_collector
from tests.api.test_ladder import published
from tests.builders import START
from tests.feasts import feast_on
from tests.service import ADULT, App, running

CUSTOMERS = 200
_WARM = 50


def main() -> None:
    """Print one line a source."""
    requests = int(os.environ.get("REQUESTS", "2000"))
    logging.disable(logging.WARNING)
    calm_the_collector()  # as `recsys serve` does
    sys.setswitchinterval(0.0005)
    ids = [CustomerId(f"c-{n}") for n in range(CUSTOMERS)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        apps: dict[str, App] = {}
        for name in ("own database", "Feast on SQLite", "Feast on Redis"):
            home = Path(folder) / name.replace(" ", "-")
            published(home, "bandit", "popularity")
            chosen: Mapping[str, object] = {}
            if name.startswith("Feast"):
                kind = name.rpartition(" ")[2].lower()
                feast = stack.enter_context(feast_on(kind, folder=Path(folder) / f"feast-{kind}"))
                feast.tell_all(dict.fromkeys(ids, ADULT), as_of=START - timedelta(days=1))
                chosen = {"feature_store": feast.folder}
            app = apps[name] = stack.enter_context(running(home, **chosen))
            facts = {} if chosen else ADULT
            told = [Told(each, START, facts, Permissions(in_app=True, push=True)) for each in ids]
            app.service.customers.tell(told, log=app.service.log)
        _told("a profile", {name: _profiles(app, ids) for name, app in apps.items()}, own="own database")
        _told("a request, one at a time", _requests(apps, ids, n=requests), own="own database")


def _profiles(app: App, ids: list[CustomerId]) -> list[float]:
    """Milliseconds of each look-up."""
    source, found = app.service.profiles, list[float]()
    for each in (*ids[:_WARM], *ids, *ids, *ids):
        started = time.perf_counter()
        profile = source.profile(each)
        found.append((time.perf_counter() - started) * 1e3)
        assert profile is not None
        assert len(profile.facts) == len(ADULT)
    return found[_WARM:]


def _requests(apps: Mapping[str, App], ids: list[CustomerId], *, n: int) -> dict[str, list[float]]:
    """Milliseconds of each request over every source, in turn."""
    found: dict[str, list[float]] = {name: [] for name in apps}
    for number in range(-_WARM, n):
        for name, app in apps.items():
            body = {"customer_id": ids[number % CUSTOMERS], "surface": "savings", "slots": 3, "deadline_ms": 1_000}
            started = time.perf_counter()
            answer = app.post("/v1/recommendations", body)
            took = (time.perf_counter() - started) * 1e3
            assert answer.json()["mode"] == "live", answer.text
            if number >= 0:
                found[name].append(took)
    return found


def _told(what: str, found: Mapping[str, list[float]], *, own: str) -> None:
    print(f"{what:>26} {'p50 ms':>8} {'p99 ms':>8} {'× own':>6}   ({len(found[own]):,} each)")
    base = float(np.median(found[own]))
    for name, times in found.items():
        p50, p99 = np.percentile(times, [50, 99])
        print(f"{name:>26} {p50:>8.2f} {p99:>8.2f} {p50 / base:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
