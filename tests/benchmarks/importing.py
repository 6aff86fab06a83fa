"""Ten million rows of activity from Parquet: checked and staged, beside polars reading and writing the same file.

ROWS=1000000 is another number. At full size also one row group of a gigabyte, for its memory alone.
A tenth of them first: there the store also takes the latest of each customer.
Run: python -m tests.benchmarks importing
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from recsys import imports
from recsys.imports.parquet import largest_group
from serving.bootstrap import Installation, compose
from serving.importing import Checked, checking, take
from serving.settings import Settings

ROWS = int(os.environ.get("ROWS", "10000000"))
TURNS = 3  # the best of them counts
ONE_GROUP = 30_000_000
ROWS_EACH = 500  # of a customer
MAP = """
[activity]
from = "activity.parquet"
[activity.columns]
activity_id = "id"
customer_id = "who"
kind = { always = "spending" }
subject = "shop"
happened_at = { from = "at", zone = "UTC" }
amount_pence = { from = "spent", unit = "pounds" }
"""


def main() -> None:
    """Print seconds, the ratio, and the peak memory of each size in a process of its own."""
    if (size := os.environ.get("_IMPORT_ONE")) is not None:
        _one(int(size))
        return
    print(f"{'rows':>11} {'polars s':>9} {'checked s':>10} {'ratio':>6} {'peak MiB':>9} {'of polars':>10}")
    for size in (ROWS // 10, ROWS):
        code = "from tests.benchmarks.importing import main; main()"
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"_IMPORT_ONE": str(size)}, check=True)
    if ROWS >= 10_000_000:
        code = f"from tests.benchmarks.importing import one_group; one_group({ONE_GROUP})"
        subprocess.run([sys.executable, "-c", code], check=True)


def _one(n: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-c", f"from tests.benchmarks.importing import write; write({n}, {name!r})"], check=True
        )
        code = f"from tests.benchmarks.importing import plain; plain({name!r})"
        (folder / "map.toml").write_text(MAP)
        plan = imports.load(folder / "map.toml")
        home = compose(Settings(home=folder / "home"))
        polars, took, its_peak = list[float](), list[float](), 0.0
        for turn in range(TURNS):
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            seconds, its_peak = (float(each) for each in done.stdout.split())
            polars.append(seconds)
            started = time.perf_counter()
            with checking(home, plan) as checked:
                took.append(time.perf_counter() - started)
                if turn == TURNS - 1:
                    _told(home, checked, n=n, polars=min(polars), took=min(took), its_peak=its_peak)


def _told(home: Installation, checked: Checked, *, n: int, polars: float, took: float, its_peak: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n:>11,} {polars:>9.2f} {took:>10.2f} {polars / took:>6.2f} {peak:>9,.0f} {its_peak:>10,.0f}", flush=True)
    if n == ROWS:
        return
    started = time.perf_counter()
    taken = take(home, checked, rounds=None)
    seconds, kept = time.perf_counter() - started, taken.counts["activities accepted"]
    print(f"{'':>11} the store took {kept:,} of them in {seconds:.1f} s, {kept / seconds:,.0f} a second", flush=True)


def one_group(n: int) -> None:
    """A file of n rows in one row group, which polars would hold whole: print its bytes and the peak of a check."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = f"from tests.benchmarks.importing import regroup, write; write({n}, {name!r}); regroup({name!r})"
        subprocess.run([sys.executable, "-c", code], check=True)
        (folder / "map.toml").write_text(MAP)
        group = largest_group(folder / "activity.parquet") / 2**20
        started = time.perf_counter()
        with checking(compose(Settings(home=folder / "home")), imports.load(folder / "map.toml")):
            took, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{n:>11,} in one row group of {group:,.0f} MiB: {took:.1f} s, peak {peak:,.0f} MiB", flush=True)


def regroup(folder: str) -> None:
    """Write the file again in one row group."""
    path = Path(folder) / "activity.parquet"
    rows = pl.read_parquet(path)
    rows.write_parquet(path, row_group_size=rows.height)


def write(n: int, folder: str) -> None:
    """A bank's file of n rows, in memory that does not grow with it."""
    rng, parts = np.random.default_rng(1), []
    for number, start in enumerate(range(0, n, 1_000_000)):
        size = min(1_000_000, n - start)
        shops = np.array(["groceries", "eating_out", "transport", "bills"])
        at = np.datetime64("now", "us") - rng.integers(0, 300 * 86_400_000_000, size).astype("timedelta64[us]")
        path = Path(folder) / f"part-{number}.parquet"
        pl.DataFrame(
            {
                "id": pl.int_range(start, start + size, eager=True).cast(pl.String),
                "who": pl.Series(rng.integers(0, max(1, n // ROWS_EACH), size)).cast(pl.String),
                "shop": pl.Series(shops[rng.integers(0, 4, size)]),
                "at": at,
                "spent": rng.integers(1, 20_000, size) / 100,
            }
        ).write_parquet(path)
        parts.append(path)
    pl.scan_parquet(parts).sink_parquet(Path(folder) / "activity.parquet")
    for path in parts:
        path.unlink()


def plain(folder: str) -> None:
    """The reference: polars reads the file and writes it again."""
    started = time.perf_counter()
    pl.read_parquet(Path(folder) / "activity.parquet").write_parquet(
        Path(folder) / "again.parquet", compression="zstd", compression_level=1
    )
    print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
