"""Requests at fixed times, with outcomes and learning, against a bare endpoint with a bare durable append.

Of three requests two ask and one reports what came of an answer. Both sides get the same schedule, the bare one
first; latency counts from when a request was due. RATE (300) requests a second for SECONDS (600), WORKERS (1), and
DATABASE_URL (SQLite in the home). Memory is that of the first worker, at a tenth of the time and at the end.
Run: python -m tests.benchmarks.open_loop
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.callers import Counted, open_loop, post
from tests.benchmarks.rig import Home, bare, home_of, resident_mib, served
from tests.benchmarks.throughput import one_answer

RATE = float(os.environ.get("RATE", "300"))
SECONDS = float(os.environ.get("SECONDS", "600"))
WORKERS = os.environ.get("WORKERS", "1")
CUSTOMERS = 5_000
WARM = 5.0


def main() -> None:
    """Print both sides, the ratio of their p99, memory and errors."""
    url = os.environ.get("DATABASE_URL", "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = home_of(folder / "home", customers=CUSTOMERS, database_url=url)
        more = {"RECSYS_DATABASE_URL": url} if url else {}
        with served(home, "--workers", WORKERS, beside=["learn", "encode"], **more) as (ours, child):
            answer = one_answer(ours, home)
            with bare(answer, folder=folder, durable=True) as (other, process):
                against = _run("bare", other, home, pid=process.pid)
            found = _run("ours", ours, home, pid=child.process.pid)
    ratio = found.quantile(0.99) / against.quantile(0.99)
    print(f"p99 {found.quantile(0.99):.1f} ms against {against.quantile(0.99):.1f} ms: {ratio:.1f} times (at most 4)")


def _run(who: str, url: str, home: Home, *, pid: int) -> Counted:
    traffic = Mixed(url, home)
    open_loop(url, traffic.make, rate=RATE, seconds=WARM, answered=traffic.answered)
    memory: list[float] = []

    def look() -> None:
        memory.append(resident_mib(pid))

    counted = open_loop(
        url, traffic.make, rate=RATE, seconds=SECONDS, answered=traffic.answered, at={SECONDS / 10: look}
    )
    look()
    print(f"{who:>5} {counted.told()}  {memory[0]:,.0f} → {memory[-1]:,.0f} MiB", flush=True)
    for failure in counted.failures[:3]:
        print("      ", failure)
    return counted


class Mixed:
    """Two questions, then a report on an answer."""

    def __init__(self, url: str, home: Home) -> None:
        self._url = url
        self._home = home
        self._known: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._begun = time.time_ns()
        self._made = itertools.count()  # no id comes twice, though a second run counts its requests anew

    def make(self, number: int) -> bytes:
        """The request with this number."""
        if number % 3 == 2 and self._known:
            told = self._known.popleft()
            items = [
                {
                    "outcome_id": f"{told['decision_id']}-{slot['slot']}-{kind}",
                    "decision_id": told["decision_id"],
                    "product_id": slot["product_id"],
                    "kind": kind,
                    "happened_at": datetime.now(UTC).isoformat(),
                }
                for slot in told["slate"]
                for kind in (("seen", "tapped") if number % 30 == 2 else ("seen",))
            ]
            return post(self._url, "/v1/outcomes", self._home.key, {"outcomes": items})
        asked = self._home.ask(number, request_id=f"{self._begun}-{next(self._made)}")
        return post(self._url, "/v1/recommendations", self._home.key, asked)

    def answered(self, number: int, status: int, body: bytes) -> None:
        """Keep what is to be reported on."""
        if status == 200 and (told := json.loads(body)).get("decision_id"):
            self._known.append(told)


if __name__ == "__main__":
    main()
