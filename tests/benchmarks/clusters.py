"""Judging a log on a Ray cluster of two workers against one process: the same numbers, and what the cluster costs.

Files of a million rounds each, no two alike, of the same 200,000 units: written one after another, 25 MB each (FULL:
180 MB), in TMPDIR, and removed at the end. They are read a part at a time, so memory stays however many rounds there
are. Both are timed in processes of their own; starting the cluster is not counted.
Run: python -m tests.benchmarks ray; other lengths with MILLIONS=1,10,100; FULL=1 judges full distributions, with a
reward model in a first pass.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from serving.judged_table import judge_table
from serving.judging import Judged
from serving.settings import Settings
from serving.spread import spread_of
from tests.benchmarks.judging import ROUNDS, write
from tests.rays import nodes

WORKERS = 2
MOST_APART = 1e-9  # relative


def main() -> None:
    """Print one line a length."""
    sizes = [int(each) for each in os.environ.get("MILLIONS", "1,10").split(",")]
    print(f"{'rounds':>12} {'one process s':>14} {'peak MiB':>9} {f'Ray, {WORKERS} workers s':>18} {'peak MiB':>9} "
          f"{'Ray / one':>10} {'largest difference':>19}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        files = list[Path]()
        for millions in sorted(sizes):
            files += _written(Path(folder), range(len(files), millions))
            alone, one, one_peak = _aside(_one, files)
            shared, ray, ray_peak = _aside(_on_ray, files)
            assert alone.rounds == shared.rounds == millions * ROUNDS
            assert _apart(alone, shared) <= MOST_APART
            print(f"{millions * ROUNDS:>12,} {one:>14.1f} {one_peak:>9,.0f} {ray:>18.1f} {ray_peak:>9,.0f} "
                  f"{ray / one:>10.2f} {_apart(alone, shared):>19.1e}", flush=True)  # fmt: skip


def _written(folder: Path, numbers: range) -> list[Path]:
    """The files of these numbers; the same number is the same file."""
    files = [folder / f"{number:05}.parquet" for number in numbers]
    for number, path in zip(tqdm(numbers, unit="files", desc="writing", leave=False), files, strict=True):
        write(np.random.default_rng([2, number]), **{"full" if os.environ.get("FULL") else "plain": path})
    return files


def _aside(work: object, files: Sequence[Path]) -> tuple[Judged, float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
        return aside.submit(work, files).result()  # type: ignore[arg-type]


def _one(files: Sequence[Path]) -> tuple[Judged, float, float]:
    started = time.perf_counter()
    found = judge_table(files, policies=["new"])
    return found, time.perf_counter() - started, _peak()


def _on_ray(files: Sequence[Path]) -> tuple[Judged, float, float]:
    with nodes(WORKERS) as cluster:
        spread = spread_of(Settings(ray=cluster.address))
        list(spread.over(range(WORKERS), abs))  # workers import what they need
        started = time.perf_counter()
        found = judge_table(files, policies=["new"], spread=spread)
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
