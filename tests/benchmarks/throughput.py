"""POST /v1/recommendations on one worker against a bare FastAPI endpoint that validates and returns the same JSON.

A rich profile, the whole rule pack, 50 eligible candidates, 3 slots, durable SQLite, the learner running. Both are
asked by the same callers in the same run, by turns; the second ratio is of CPU time in the server alone, which does
not hang on how fast the callers are. SECONDS (default 10) a turn, TURNS (default 3), PROFILE=1 says where time goes.
Run: python -m tests.benchmarks.throughput
"""

from __future__ import annotations

import json
import os
import pstats
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from tests.benchmarks.callers import Counted, closed_loop, post
from tests.benchmarks.rig import CALM, Home, bare, cpu_seconds, home_of, served

SECONDS = float(os.environ.get("SECONDS", "10"))
TURNS = int(os.environ.get("TURNS", "3"))
CONNECTIONS = 32
CUSTOMERS = 1_000


def main() -> None:
    """Print requests a second and CPU of both, and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = home_of(folder / "home", customers=CUSTOMERS)
        if os.environ.get("PROFILE"):
            profiled(home, folder / "profile")
            return
        with served(home, beside=["learn", "encode"]) as (url, child):
            answer = one_answer(url, home)
            with bare(answer, folder=folder, durable=False) as (bare_url, bare_process):
                sides = {"ours": (url, child.process.pid), "bare": (bare_url, bare_process.pid)}
                for side, _ in sides.values():
                    _asked(side, home, seconds=3.0)  # warm
                rates: dict[str, list[float]] = {"ours": [], "bare": []}
                costs: dict[str, list[float]] = {"ours": [], "bare": []}
                for _ in range(TURNS):
                    for who, (side, pid) in sides.items():
                        before = cpu_seconds(pid)
                        counted = _asked(side, home, seconds=SECONDS)
                        rates[who].append(counted.rate)
                        costs[who].append((cpu_seconds(pid) - before) / len(counted.times) * 1e6)
                        print(f"{who:>5} {counted.told()}  {costs[who][-1]:>7.0f} µs of CPU each", flush=True)
                        if counted.failures:
                            print("      ", counted.failures[:3])
    rate, cost = (np.median(sides["ours"]) / np.median(sides["bare"]) for sides in (rates, costs))
    print(f"throughput {rate:.2f} of the bare endpoint's (at least .20); by CPU time {1 / cost:.2f}")


def profiled(home: Home, out: Path) -> None:
    """Print where the worker's main thread spends its time (the commits' thread is not in it)."""
    command = [sys.executable, "-m", "cProfile", "-o", str(out), "-m", "serving.cli", "serve", "--port", "0"]
    environment = os.environ | CALM | {"RECSYS_HOME": str(home.folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(filter(None, (re.search(r"recsys serves (http://\S+)", line) for line in process.stderr)))
        Thread(target=process.stderr.read, daemon=True).start()
        counted = _asked(found[1], home, seconds=SECONDS)
        process.send_signal(signal.SIGINT)
    print(f"{counted.told()} while it was profiled")
    ours = r"/(serving|recsys|bandits|embeddings)/[^(]*\((?!<module>)"  # what is imported at the start is left out
    pstats.Stats(str(out)).sort_stats("cumtime").print_stats(ours, 40)


def one_answer(url: str, home: Home) -> dict[str, Any]:
    """What our endpoint answers, for the bare one to return."""
    request = urllib.request.Request(
        f"{url}/v1/recommendations",
        data=json.dumps(home.ask(0)).encode(),
        headers={"Authorization": f"Bearer {home.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        answer: dict[str, Any] = json.load(reply)
    if len(answer["slate"]) != 3 or not answer["policy"].startswith("bandit"):
        raise LookupError(f"not what is to be measured: {answer}")
    return answer


def _asked(url: str, home: Home, *, seconds: float) -> Counted:
    def make(number: int) -> bytes:
        return post(url, "/v1/recommendations", home.key, home.ask(number))

    return closed_loop(url, make, connections=CONNECTIONS, seconds=seconds)


if __name__ == "__main__":
    main()
