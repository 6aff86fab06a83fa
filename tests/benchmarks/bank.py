"""The bank as tables: rows a second, memory, and the ratio to writing random numbers of the same columns.

The reference writes, in the same run and with the same settings, as many rows of the same types through
polars alone, made before its clock starts: what no generator can beat. Both use every core: polars by its
threads, the bank by as many processes. RECSYS_BENCH_BANK=100000x365 makes the standard size (default
20000x60).

Run: python -m tests.benchmarks.bank
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsys import tables
from recsys.bank.describe import CORE
from recsys.bank.figures import HEAD, Figure
from recsys.bank.generate import CHUNK, Order, generate
from recsys.tables.columns import MOMENT, Column, Table
from recsys.tables.files import GROUP_ROWS

START = datetime(2026, 1, 5, tzinfo=UTC)
BLOCK = 500_000  # rows of a reference file


def main() -> None:
    """Print the speed beside the reference's, peak memory, and base rates at this size."""
    customers, days = map(int, os.environ.get("RECSYS_BENCH_BANK", "20000x60").split("x"))
    order = Order(customers=customers, days=days, seed=1, start=START, policy="uniform")
    processes = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bank"
        started = time.perf_counter()
        *_, last = generate(order, folder=folder, processes=processes)
        ours = time.perf_counter() - started
        peak = max(processes * _peak(resource.RUSAGE_CHILDREN), _peak(resource.RUSAGE_SELF))
        size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
        reference = sum(_reference(table, rows=last.rows[name], folder=folder) for name, table in tables.TABLES.items())
        rows = sum(last.rows.values())
        made = f"{customers:,} customers × {days} days in chunks of {CHUNK:,}"
        print(f"{made}, {processes} processes: {rows:,} rows, {size / 2**20:,.0f} MiB")
        print(f"{ours:8.1f} s, {rows / ours:>12,.0f} rows a second, peak {peak:.2f} GiB in all")
        print(f"{reference:8.1f} s, {rows / reference:>12,.0f} rows a second for random numbers through polars alone")
        print(f"{reference / ours:8.2f}   of that limit reached")
        print(HEAD, *_base_rates(folder, customers=customers, days=days), sep="\n")


def _peak(whose: int) -> float:
    """GiB that the largest of these processes held."""
    return resource.getrusage(whose).ru_maxrss / 2**20


def _reference(table: Table, *, rows: int, folder: Path) -> float:
    """Seconds to write so many rows of random values of the table's types."""
    spent, rng = 0.0, np.random.default_rng(0)
    target = folder / "reference.parquet"
    for first in range(0, rows, BLOCK):
        frame = pl.DataFrame([_random(column, rng=rng, rows=min(BLOCK, rows - first)) for column in table])
        started = time.perf_counter()
        frame.write_parquet(target, compression="zstd", compression_level=1, row_group_size=GROUP_ROWS, statistics=True)
        spent += time.perf_counter() - started
    return spent


def _random(column: Column, *, rng: np.random.Generator, rows: int) -> pl.Series:
    numbers = pl.Series(column.name, rng.integers(0, 10**6, rows))
    match column.dtype:
        case pl.Datetime():
            return (numbers * 1_000_000).cast(MOMENT)
        case pl.Date():
            return (numbers % 20_000).cast(pl.Int32).cast(pl.Date)
        case pl.Boolean():
            return numbers % 2 == 0
        case pl.Enum():
            return (numbers % len(column.choices)).cast(pl.UInt8).cat.to(pl.Enum(column.choices))
        case pl.List():
            return numbers.cast(column.element).reshape((rows, 1)).arr.to_list()
        case _:
            return numbers.cast(column.dtype)


def _base_rates(folder: Path, *, customers: int, days: int) -> list[Figure]:
    """Figures of domain 3.3 from the tables themselves."""
    scan = {name: tables.scan(folder, table=table) for name, table in tables.TABLES.items()}
    months, logins = customers * days / 30.4, _count(scan["sessions"])
    home = scan["decisions"].filter(pl.col("surface") == "home").select("decision_id")
    taps = scan["outcomes"].filter(pl.col("kind") == "tapped").join(home, on="decision_id", how="semi")
    core = scan["outcomes"].filter(
        pl.col("decision_id").is_null()
        & (pl.col("kind") == "opened")
        & pl.col("product_id").is_in(_products(scan["products"], tuple(CORE)))
    )
    cards = scan["transactions"].filter((pl.col("scheme") == "card") & ~pl.col("declined"))
    first = scan["customers"].filter(pl.col("as_of") == START)
    tenth = pl.max_horizontal("monthly_income_pence", "monthly_spend_pence") // 10
    low = scan["balances"].join(first.select("customer_id", tenth=tenth), on="customer_id")
    saved = pl.col("savings_pence") / 100
    rates = {
        "log-ins a customer and year": logins / (customers * days / 365),
        "home visits a customer and year": _count(home) / (customers * days / 365),
        "home taps a log-in, uniform": _count(taps.unique("outcome_id")) / logins,
        "organic core openings a customer and month": _count(core.unique("outcome_id")) / months,
        "card payments a customer and month": _count(cards) / months,
        "no savings": _value(first.select((saved < 1).mean())),
        "less than £1,000 saved": _value(first.select((saved < 1_000).mean())),
        "at least £25,000 saved": _value(first.select((saved >= 25_000).mean())),
        "median savings, £": _value(first.select(saved.median())),
        "low-balance share of days": _value(low.select((pl.col("closing_pence") < pl.col("tenth")).mean())),
    }
    return [Figure(name, value) for name, value in rates.items()]


def _products(products: pl.LazyFrame, families: tuple[str, ...]) -> list[str]:
    return products.filter(pl.col("family").is_in(families)).collect()["product_id"].to_list()


def _count(rows: pl.LazyFrame) -> int:
    return int(_value(rows.select(pl.len())))


def _value(cell: pl.LazyFrame) -> float:
    return float(cell.collect().item())


if __name__ == "__main__":
    main()
