"""1,000,000 customers in the default stores: bytes each, and a request's latency beside that of 10,000.

CUSTOMERS names another number; it takes a quarter of an hour to tell a million. Each size has a home of its own on
SQLite, every customer all facts and a vector, and one caller after another asks for customers at random.
Run: python -m tests.benchmarks.million
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from tqdm import tqdm

from serving.bootstrap import compose
from serving.settings import Settings
from tests.benchmarks.callers import closed_loop, post
from tests.benchmarks.rig import Home, fill, home_of, served

SIZES = (10_000, int(os.environ.get("CUSTOMERS", "1000000")))
SECONDS = float(os.environ.get("SECONDS", "20"))
_BATCH = 2_000


def main() -> None:
    """Print bytes a customer and latencies for both sizes."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            home, each, took = made(Path(name) / "home", size=size)
            dice = Random(0)
            with served(home) as (url, _):
                make = partial(_asked, url, home, dice)
                closed_loop(url, make, connections=1, seconds=3.0)
                counted = closed_loop(url, make, connections=1, seconds=SECONDS)
            print(
                f"{size:>9,} customers: {each:,.0f} bytes each on disk, told in {took:,.0f} s; {counted.told()}",
                flush=True,
            )


def _asked(url: str, home: Home, dice: Random, number: int) -> bytes:
    """A request for a customer at random."""
    asked = home.ask(number, customer_id=f"c-{dice.randrange(home.customers)}")
    return post(url, "/v1/recommendations", home.key, asked)


def made(folder: Path, *, size: int) -> tuple[Home, float, float]:
    """A home with so many customers; bytes each, and seconds it took."""
    home = home_of(folder, customers=1)
    before = _bytes(folder)
    installed = compose(Settings(home=folder))
    started, rng = time.perf_counter(), np.random.default_rng(0)
    bundle = installed.offers.current.retriever
    assert bundle is not None
    after = 0
    with tqdm(total=size, unit="customers", mininterval=1.0, leave=False) as bar:
        for first in range(0, size, _BATCH):
            fill(installed, range(first, min(first + _BATCH, size)), batch=_BATCH)
            fresh = installed.customers.stale(after=after, limit=_BATCH, history=1)
            vectors = rng.normal(size=(len(fresh), 16)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            told = [(one.profile.token, one.change, vector) for one, vector in zip(fresh, vectors, strict=True)]
            installed.customers.put_vectors(told, bundle=bundle.digest)
            after = fresh[-1].change if fresh else after
            bar.update(_BATCH)
    took = time.perf_counter() - started
    installed.database.close()
    return Home(folder, home.key, size), (_bytes(folder) - before) / size, took


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("recsys.db*"))


if __name__ == "__main__":
    main()
