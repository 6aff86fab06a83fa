"""Tables as Parquet: written part by part in flat memory, read as one.

    <folder>/transactions/month=2026-01/part-000.parquet
    <folder>/products/part-000.parquet                      tables without a moment have no month

The same rows give the same bytes: compression, row groups and statistics are fixed, and nothing of
the clock or the machine goes in.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import polars as pl

from recsys.errors import InvalidTable
from recsys.tables.columns import Table

GROUP_ROWS = 1 << 18
"""Rows of a Parquet row group."""

HELD_ROWS = 1 << 20
"""Rows of one month that a writer holds before it writes a part."""

MOST_HELD_ROWS = 4 * HELD_ROWS
"""Rows of all months that a writer holds: where months come mixed, the fullest is then written."""


class Writer:
    """Writes one table; use as a context manager, or `close` at the end.

    Rows are held by month and written when `turn` says that the month is over, when many are held,
    and at the end. `part` numbers the files, so that several writers may fill one folder: the rows
    that one writer gets for a month become `part-003.parquet`, then `part-003-1.parquet` and so on.
    """

    def __init__(self, folder: Path, *, table: Table, part: int = 0) -> None:
        self.table = table
        self.rows = 0  # added so far
        self._folder = folder / table.name
        self._name = f"part-{part:03d}"
        self._held: dict[str, list[pl.DataFrame]] = {}
        self._parts: dict[str, int] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows; raises `InvalidTable` where names, order or types are not those of the table."""
        if frame.schema != self.table.schema:
            raise InvalidTable(f"expected {self.table.schema}, got {frame.schema}", where=self.table.name)
        if frame.is_empty():
            return
        self.rows += frame.height
        for month, rows in _by_month(frame, table=self.table):
            held = self._held.setdefault(month, [])
            held.append(rows)
            if sum(each.height for each in held) >= HELD_ROWS:
                self._write(month)
        sizes = {month: sum(each.height for each in held) for month, held in self._held.items()}
        if sum(sizes.values()) > MOST_HELD_ROWS:
            self._write(max(sizes, key=sizes.__getitem__))

    def turn(self, month: str) -> None:
        """Rows of months before `month` (such as 2026-02) are not expected any more: write those held."""
        for each in sorted(each for each in self._held if each < month):
            self._write(each)

    def close(self) -> None:
        """Write all rows still held. A table with no row at all still leaves one file, so that it can be read."""
        for month in sorted(self._held):
            self._write(month)
        if not self._parts:
            self._held[""] = [self.table.schema.to_frame()]
            self._write("")

    def _write(self, month: str) -> None:
        frame = pl.concat(self._held.pop(month))
        folder = self._folder / f"month={month}" if month else self._folder
        number = self._parts.get(month, 0)
        self._parts[month] = number + 1
        path = folder / (f"{self._name}-{number}.parquet" if number else f"{self._name}.parquet")
        if path.exists():
            raise InvalidTable("a part of this name is already there: write into an empty folder", where=str(path))
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, compression="zstd", compression_level=1, row_group_size=GROUP_ROWS, statistics=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()


def scan(folder: Path, *, table: Table) -> pl.LazyFrame:
    """Every part of a table below `folder`, months in order, as one lazy frame of the table's schema.

    Raises `InvalidTable` where there is no such table.
    """
    home = folder / table.name
    parts = sorted(home.glob("**/*.parquet"))
    if not parts:
        raise InvalidTable(f"there is no table {table.name} here", where=str(folder))
    return pl.scan_parquet(parts, schema=table.schema, hive_partitioning=False)


def _by_month(frame: pl.DataFrame, *, table: Table) -> list[tuple[str, pl.DataFrame]]:
    """The rows of each month in their order; one group named "" for a table that has no moment."""
    if not table.by_month:
        return [("", frame)]
    if not _mixed(frame, table=table):
        return [(frame[table.by_month][0].strftime("%Y-%m"), frame)]
    at = pl.col(table.by_month).dt
    months = (at.year().cast(pl.Int32) * 12 + at.month().cast(pl.Int32) - 1).alias("__month")
    groups = frame.with_columns(months).partition_by("__month", maintain_order=True, as_dict=True, include_key=False)
    return [(f"{month // 12:04}-{month % 12 + 1:02}", rows) for (month,), rows in sorted(groups.items())]


def _mixed(frame: pl.DataFrame, *, table: Table) -> bool:
    """Whether the rows are of several months."""
    at = frame[table.by_month]
    first, last = at.min(), at.max()
    return (first.year, first.month) != (last.year, last.month)  # type: ignore[union-attr]
