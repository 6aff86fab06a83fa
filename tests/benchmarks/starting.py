"""From the start of a process to its first answer, with a model; and what importing the app takes of it.

Ours is ready when `/readyz` says so: the database is open, the catalogue, the rules and a policy are in force. Beside
it the bare FastAPI endpoint that returns the same JSON, and the import of the libraries that no service does without.
TURNS (default 5), by turns. Run: make bench ARGS=start
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

from tests.benchmarks.rig import CALM, Home, bare, home_of
from tests.benchmarks.throughput import one_answer
from tests.service import started

TURNS = int(os.environ.get("TURNS", "5"))
CUSTOMERS = 1_000
LIBRARIES = "import fastapi, uvicorn, numpy, sqlalchemy"
OURS = "import serving.app"


def main() -> None:
    """Print the seconds of both, medians over turns, and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = home_of(folder / "home", customers=CUSTOMERS)
        with started(home.folder, "serve", "--port", "0", **CALM) as child:
            answer = one_answer(child.wait_for_url(120), home)
        sides: dict[str, Callable[[], float]] = {
            "ours, ready with a model": lambda: _ours(home),
            "bare endpoint, listening": lambda: _bare(answer, folder=folder),
            OURS: lambda: _imported(OURS),
            LIBRARIES: lambda: _imported(LIBRARIES),
        }
        took = {side: [measure() for _ in range(TURNS)] for side, measure in sides.items()}
    for side, seconds in took.items():
        print(f"{side:48} {np.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})")
    ready, listening, app, libraries = (float(np.median(seconds)) for seconds in took.values())
    print(f"start to ready takes {ready / listening:.1f} times as long as the bare endpoint")
    print(f"the import takes {app / libraries:.1f} times as long as those libraries alone")


def _ours(home: Home) -> float:
    began = time.perf_counter()
    with started(home.folder, "serve", "--port", "0", **CALM) as child:
        url = child.wait_for_url(120)
        while httpx.get(f"{url}/readyz").status_code != 200:
            time.sleep(0.005)
        return time.perf_counter() - began


def _bare(answer: dict[str, object], *, folder: Path) -> float:
    began = time.perf_counter()
    with bare(answer, folder=folder, durable=False):
        return time.perf_counter() - began


def _imported(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
