"""A whole source, checked row by row and written as one of our tables, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from recsys.errors import InvalidTable
from recsys.imports import sources
from recsys.imports.mapfile import Mapped
from recsys.imports.mapping import DEFAULTS, mapped, theirs
from recsys.tables import Table, Writer, checked, scan

_TOGETHER = 4_000_000  # keys that are compared at a time


@dataclass(frozen=True, slots=True)
class Staged:
    """One table as staged: its rows, and the columns nobody mapped, each with what that costs, if anything."""

    table: Table
    folder: Path
    rows: int
    left_out: tuple[tuple[str, str], ...]

    def scan(self) -> pl.LazyFrame:
        """Its rows."""
        return scan(self.folder, table=self.table)


def stage(
    of: Mapped,
    *,
    folder: Path,
    also: Callable[[pl.DataFrame, str], None] = lambda frame, where: None,
    told: Callable[[int], None] = lambda rows: None,
) -> Staged:
    """Read, map, check and write a source below `folder`; `told` hears how many rows more are done.

    `also` may refuse more: it gets rows in the table's types and the file's name. Raises `InvalidTable` with file,
    column and rows; what lies in `folder` is then worth nothing.
    """
    rows = 0
    with Writer(folder, table=replace(of.table, by_month="")) as writer:  # in the order of the source
        for where, before, part in sources.read(of.source, columns=theirs(of)):
            try:
                frame = checked(mapped(part, of=of, where=where, before=before), table=of.table, where=where)
                also(frame, where)
            except InvalidTable as error:
                raise error.below(before) from None
            writer.add(frame)
            rows += frame.height
            told(frame.height)
    staged = Staged(of.table, folder, rows, _left_out(of))
    if rows > sources.SIZE or len(of.source.files) > 1:  # else they were all compared already
        _compare(staged, of=of)
    return staged


def _left_out(of: Mapped) -> tuple[tuple[str, str], ...]:
    given = {reading.column for reading in of.readings}
    return tuple(
        (column.name, DEFAULTS.get((of.table.name, column.name), (None, ""))[1])
        for column in of.table
        if column.name not in given
    )


def _compare(staged: Staged, *, of: Mapped) -> None:
    """Refuse a key that comes again in rows far apart, where it may not."""
    table, key = staged.table, list(staged.table.key)
    shares = -(-staged.rows // _TOGETHER)
    body = [name for name in table.by_name if name not in (*key, "reported_at")] if table.delivered_again else []
    for share in range(shares):
        keys = pl.col(key[0]).hash() if len(key) == 1 else pl.struct(key).hash()
        hashes = staged.scan().select(keys.alias("__key"))
        asked = (hashes.filter(pl.col("__key") % shares == share) if shares > 1 else hashes).collect().to_series()
        if asked.n_unique() == len(asked):
            continue
        part = staged.scan().filter(keys % shares == share) if shares > 1 else staged.scan()
        counted = pl.struct(body).hash().n_unique() if body else pl.len()
        found = part.group_by(key).agg(counted.alias("__times")).filter(pl.col("__times") > 1).head(1)
        twice = found.collect(engine="streaming")
        if twice.height:
            raise _twice(twice.select(key), of=of)


def _twice(keys: pl.DataFrame, *, of: Mapped) -> InvalidTable:
    """The error that names the rows of a key, read again for it."""
    table = of.table
    again = "comes again with another content" if table.delivered_again else "comes more than once"
    why = f"the same {' and '.join(table.key)} {again}"
    rows, places = dict[str, list[int]](), list[str]()
    for where, before, part in sources.read(of.source, columns=theirs(of)):
        frame = checked(mapped(part, of=of, where=where, before=before), table=table, where=where)
        at = frame.with_row_index("__row").join(keys, on=list(table.key), how="semi")["__row"].to_list()
        if at:
            rows.setdefault(where, []).extend(before + row + 1 for row in at)
    places = [f"row {row} of {where}" for where, found in rows.items() for row in found]
    first = next(iter(rows))
    return InvalidTable(f"{why}: {' and '.join(places[:3])}", where=first)
