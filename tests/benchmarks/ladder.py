"""The ladder: with each part broken in turn, who answers, and how soon (OPS-2).

Requests go through the whole application in this process, a few at once, each with a deadline of
50 ms; the times include the caller's own work. Then what steering adds to a decision.
Run: python -m tests.benchmarks.ladder [REQUESTS]
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import numpy as np

from recsys.steering import Steering
from recsys.vocabulary import CustomerId, Override, Switch
from serving.leading import calm_the_collector
from serving.live_policy import STATE
from serving.slates import Ask
from tests.api.test_ladder import published
from tests.service import App, running
from tests.steered import stalled_sqlite

DEADLINE_MS = 50
AT_ONCE = 4
CUSTOMERS = 50


def main() -> None:
    """Print one line for each broken part."""
    logging.disable(logging.CRITICAL)
    calm_the_collector()  # as `recsys serve` does
    sys.setswitchinterval(0.0005)
    requests = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 10_000
    print(f"{requests:,} requests each, {AT_ONCE} at once, deadline {DEADLINE_MS} ms")
    print(f"{'broken':>24} {'valid':>8} {'in time':>8} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7}  answered by")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        published(whole, "bandit", "popularity")
        for number, (name, before, during) in enumerate(_faults()):
            home = Path(shutil.copytree(whole, Path(folder) / str(number)))
            before(home)
            with running(home) as app:
                for n in range(CUSTOMERS):
                    app.tell(f"c-{n}")
                app.recommend("c-0", surface="savings")
                with during(app):
                    _row(name, app, requests)
        with running(whole) as app:
            _added(app)


def _faults() -> Iterator[tuple[str, Callable[[Path], object], Callable[[App], AbstractContextManager[None]]]]:
    def nothing(_: object) -> None: ...

    def whole(_: App) -> AbstractContextManager[None]:
        return nullcontext()

    def models(home: Path, *recipes: str) -> list[Path]:
        return [path for recipe in recipes for path in (home / "artefacts/policies" / recipe).glob(f"*/{STATE}")]

    def newest(home: Path) -> Path:
        current = (home / "artefacts/policies/bandit/current").read_text().strip()
        return home / "artefacts/policies/bandit" / current / STATE

    yield "nothing", nothing, whole
    yield "newest model deleted", lambda home: newest(home).unlink(), whole
    yield "all models deleted", lambda home: [path.unlink() for path in models(home, "bandit")], whole
    yield "every model corrupt", lambda home: [p.write_bytes(b"?") for p in models(home, "bandit", "popularity")], whole
    yield "profile store raises", nothing, _no_profiles
    yield "log stalled", nothing, lambda app: stalled_sqlite(app.service.home.settings.folder)
    yield "database corrupt", nothing, _corrupt


@contextmanager
def _no_profiles(app: App) -> Iterator[None]:
    with app.service.home.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE profiles RENAME TO profiles_away")
    yield


@contextmanager
def _corrupt(app: App) -> Iterator[None]:
    for path in app.service.home.settings.folder.glob("recsys.db*"):
        path.write_bytes(b"\x00garbage" * 4_096)
    yield


def _row(name: str, app: App, requests: int) -> None:
    times, modes = np.zeros(requests), Counter[str]()
    numbers = iter(range(requests))

    async def caller() -> None:
        for n in numbers:
            body = {"customer_id": f"c-{n % CUSTOMERS}", "surface": "savings", "slots": 3, "deadline_ms": DEADLINE_MS}
            await asyncio.sleep(0)  # as a socket would: an answer that waits for nothing lets nobody else in
            started = time.perf_counter()
            answer = await app.asking("POST", "/v1/recommendations", json=body)
            times[n] = (time.perf_counter() - started) * 1000
            told = answer.json() if answer.status_code == 200 else {"mode": str(answer.status_code)}
            modes[told["mode"] if "slate" in told else "none"] += 1

    async def all_() -> None:
        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))

    app.loop.run(all_())
    valid, soon = 1 - modes["none"] / requests, float((times <= DEADLINE_MS).mean())
    told = ", ".join(f"{mode} {n / requests:.2%}" for mode, n in modes.most_common())
    p50, p99 = np.percentile(times, [50, 99])
    print(f"{name:>24} {valid:>8.2%} {soon:>8.2%} {p50:>7.1f} {p99:>7.1f} {times.max():>7.1f}  {told}", flush=True)


def _added(app: App) -> None:
    """Microseconds of a decision under orders of several kinds, against none."""
    service = app.service
    service.home.orders.close()  # else it would put back what the database says while we measure
    app.tell("ann")
    profile = service.profiles.profile(CustomerId("ann"))
    ask = Ask(CustomerId("ann"), "savings", 3)
    until = service.clock.now() + timedelta(days=1)
    switches = (Switch("product", "pot", True, "any", "bench", until),)  # noqa: FBT003
    boost = Override("b", "boost", "round-ups", 2.0, "any", "bench", until)
    pin = Override("p", "pin", "round-ups", 1.0, "any", "bench", until)
    orders = {
        "no order": Steering(0),
        "a switch": Steering(1, switches),
        "a boost": Steering(1, (), (boost,)),
        "all": Steering(1, switches, (boost, pin)),
    }
    for name, state in orders.items():
        service.home.orders.current = state
        times = np.zeros(2_000)
        for n in range(times.size):
            started = time.perf_counter()
            service.recommender.decide(ask, profile=profile)
            times[n] = time.perf_counter() - started
        print(f"decide under {name:>9}: {np.median(times) * 1e6:6.0f} µs")


if __name__ == "__main__":
    main()
