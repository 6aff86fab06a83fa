"""Judging a log on a Ray cluster of two workers against one process: the same numbers, and what the cluster costs.

A Parquet file of a million rounds of 200,000 units is read again and again, a part at a time, so memory stays however
many rounds there are. Both are timed in processes of their own; starting the cluster is not counted.
Run: python -m tests.benchmarks ray; other lengths with MILLIONS=1,10,100; FULL=1 judges full distributions, with a
reward model in a first pass.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from serving.judged_table import judge_table
from serving.judging import Judged
from serving.settings import Settings
from serving.spread import spread_of
from tests.benchmarks.judging import ROUNDS, write
from tests.rays import nodes

WORKERS = 2


def main() -> None:
    """Print one line a length."""
    sizes = [int(each) for each in os.environ.get("MILLIONS", "1,10").split(",")]
    print(f"{'rounds':>12} {'one process s':>14} {'peak MiB':>9} {f'Ray, {WORKERS} workers s':>18} {'peak MiB':>9} "
          f"{'Ray / one':>10} {'largest difference':>19}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        plain, full = Path(folder) / "plain.parquet", Path(folder) / "full.parquet"
        write(np.random.default_rng(2), plain=plain, full=full)
        path = full if os.environ.get("FULL") else plain
        for millions in sizes:
            alone, one, one_peak = _aside(_one, path, millions)
            shared, ray, ray_peak = _aside(_on_ray, path, millions)
            assert alone.rounds == shared.rounds == millions * ROUNDS
            print(f"{millions * ROUNDS:>12,} {one:>14.1f} {one_peak:>9,.0f} {ray:>18.1f} {ray_peak:>9,.0f} "
                  f"{ray / one:>10.2f} {_apart(alone, shared):>19.1e}", flush=True)  # fmt: skip


def _aside(work: object, path: Path, millions: int) -> tuple[Judged, float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
        return aside.submit(work, path, millions).result()  # type: ignore[arg-type]


def _one(path: Path, millions: int) -> tuple[Judged, float, float]:
    started = time.perf_counter()
    found = judge_table([path] * millions, policies=["new"])
    return found, time.perf_counter() - started, _peak()


def _on_ray(path: Path, millions: int) -> tuple[Judged, float, float]:
    with nodes(WORKERS) as cluster:
        spread = spread_of(Settings(ray=cluster.address))
        list(spread.over(range(WORKERS), abs))  # workers import what they need
        started = time.perf_counter()
        found = judge_table([path] * millions, policies=["new"], spread=spread)
        return found, time.perf_counter() - started, max(_peak(), _workers())


def _apart(one: Judged, other: Judged) -> float:
    """The largest relative difference of an estimate or an end of its interval."""
    pairs = zip(one.verdicts, other.verdicts, strict=True)
    numbers = [
        (getattr(a.interval, end), getattr(b.interval, end)) for a, b in pairs for end in ("estimate", "low", "high")
    ]
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in numbers)


def _peak(process: str = "self") -> float:
    """MiB that a process held at most."""
    text = Path("/proc", process, "status").read_text()
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)


def _workers() -> float:
    """MiB that any worker of the cluster held at most."""
    found = [0.0]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::"):
                found.append(_peak(path.parent.name))
    return max(found)


if __name__ == "__main__":
    main()
