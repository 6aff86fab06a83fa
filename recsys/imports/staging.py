"""A whole source, checked row by row and written as one of our tables, in memory that does not grow with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.errors import InvalidTable
from recsys.imports import sources
from recsys.imports.mapfile import Mapped
from recsys.imports.mapping import DEFAULTS, mapped, said, theirs
from recsys.imports.misfits import Misfits
from recsys.tables import Fault, Table, Writer, fitting, scan

Part = TypeVar("Part")
Ready = TypeVar("Ready")

_AHEAD = 2  # batches that are checked while another is written
TOGETHER = 4_000_000
"""Keys that are compared at a time: 64 MiB with their sorting."""


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


@dataclass(frozen=True, slots=True)
class _Ready:
    """Some rows of a file that stand `before` rows into it: as rows of ours with their keys, or what is wrong."""

    n_rows: int
    before: int
    wrong: tuple[InvalidTable, ...]
    frame: pl.DataFrame | None = None
    hashes: bytes = b""


def stage(
    of: Mapped,
    *,
    folder: Path,
    also: Sequence[Fault] = (),
    told: Callable[[int], None] = lambda rows: None,
) -> Staged:
    """Read, map, check and write a source below `folder`; `told` hears how many rows more are done.

    `also` is refused too. Raises `InvalidTable` with every column that does not fit, its file and its first rows;
    what lies in `folder` is then worth nothing.
    """
    given = {reading.column for reading in of.readings}
    needed = [each.name for each in of.table if not each.nullable and (of.table.name, each.name) not in DEFAULTS]
    if missing := [name for name in needed if name not in given]:
        raise InvalidTable(f"the map names no column for {', '.join(missing)}", where=of.table.name)
    rows, keys, misfits = 0, folder / f"{of.table.name}.keys", Misfits()
    whole = replace(of.table, by_month="")  # written in the order of the source

    def ready(part: tuple[str, int, pl.DataFrame]) -> _Ready:
        where, before, rows = part
        frame, wrong = _fitting(rows, of=of, where=where, before=before, also=also)
        if wrong:
            return _Ready(rows.height, before, tuple(wrong))
        return _Ready(rows.height, before, (), frame, frame.select(_hash(of.table)).to_series().to_numpy().tobytes())

    with Writer(folder, table=whole) as writer, keys.open("wb") as hashes:
        try:
            for part in _ahead(ready, sources.read(of.source, columns=theirs(of))):
                misfits.add(part.wrong, before=part.before)
                if part.frame is not None and not misfits:
                    writer.add(part.frame)
                    hashes.write(part.hashes)
                rows += part.n_rows
                told(part.n_rows)
        except InvalidTable as error:  # of a file as such
            misfits.add(error.faults, before=0)
    if misfits:
        raise misfits.error(where=of.table.name)
    staged = Staged(of.table, folder, rows, _left_out(of))
    _compare(staged, of=of, hashes=np.memmap(keys, dtype=np.uint64, mode="r") if rows else np.empty(0, np.uint64))
    keys.unlink()
    return staged


def _fitting(
    rows: pl.DataFrame, *, of: Mapped, where: str, before: int, also: Sequence[Fault] = ()
) -> tuple[pl.DataFrame, list[InvalidTable]]:
    """The columns of ours that fit, of some rows of a file, and what does not fit of the others; rows of these rows."""
    frame, unread = mapped(rows, of=of, where=where, before=before)
    fit, wrong = fitting(frame, table=of.table, where=where, named=said(of), without=unread, also=also)
    return fit, [*unread.values(), *wrong]


def _hash(table: Table) -> pl.Expr:
    """A number for each key: the same for the same key, and almost never for another."""
    return pl.col(table.key[0]).hash() if len(table.key) == 1 else pl.struct(table.key).hash()


def _ahead(does: Callable[[Part], Ready], of: Iterable[Part]) -> Iterator[Ready]:
    """`does` of each, in order, while the next ones are at work; the first that fails is raised."""
    waiting = deque[Future[Ready]]()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for each in of:
            waiting.append(pool.submit(does, each))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _left_out(of: Mapped) -> tuple[tuple[str, str], ...]:
    given = {reading.column for reading in of.readings}
    return tuple(
        (column.name, DEFAULTS.get((of.table.name, column.name), (None, ""))[1])
        for column in of.table
        if column.name not in given
    )


def _compare(staged: Staged, *, of: Mapped, hashes: NDArray[np.uint64]) -> None:
    """Refuse a key that comes again, where it may not; `hashes` are those of all rows in order."""
    table, key = staged.table, list(staged.table.key)
    shares = -(-staged.rows // TOGETHER)
    body = [name for name in table.by_name if name not in (*key, "reported_at")] if table.delivered_again else []
    first, n = pl.DataFrame(), 0
    for share in range(shares):
        asked = pl.Series(_share(hashes, share=share, of=shares)).sort().to_numpy()  # on every core
        if not (asked[1:] == asked[:-1]).any():
            continue
        least, most = (pl.lit(end, dtype=pl.UInt64) for end in _bounds(share, of=shares))
        part = staged.scan().filter(_hash(table).is_between(least, most))
        counted = pl.struct(body).hash().n_unique() if body else pl.len()
        found = part.group_by(key).agg(counted.alias("__times")).filter(pl.col("__times") > 1)
        twice = found.collect(engine="streaming").select(key)
        n += twice.height
        first = twice.head(1) if first.is_empty() else first
    if n:
        raise _twice(first, n=n, of=of)


def _share(hashes: NDArray[np.uint64], *, share: int, of: int) -> NDArray[np.uint64]:
    """Those of one share, found piece by piece."""
    least, most = _bounds(share, of=of)
    parts = (hashes[start : start + TOGETHER] for start in range(0, len(hashes), TOGETHER))
    return np.concatenate([part[(part >= least) & (part <= most)] for part in parts] or [hashes])


def _bounds(share: int, *, of: int) -> tuple[int, int]:
    """The least and the greatest hash of a share; hashes spread evenly."""
    return (share << 64) // of, ((share + 1 << 64) // of) - 1


def _twice(keys: pl.DataFrame, *, n: int, of: Mapped) -> InvalidTable:
    """The error that names the rows of one key, read again for it, and says of how many, `n`, it could."""
    table = of.table
    again = "comes again with another content" if table.delivered_again else "comes more than once"
    names = said(of)
    why = f"the same {' and '.join(names.get(each, each) for each in table.key)} {again}"
    if n > 1:
        why += f" (this is one such key of {n:,})"
    rows, places = dict[str, list[int]](), list[str]()
    for where, before, part in sources.read(of.source, columns=theirs(of)):
        frame, _ = _fitting(part, of=of, where=where, before=before)
        at = frame.with_row_index("__row").join(keys, on=list(table.key), how="semi")["__row"].to_list()
        if at:
            rows.setdefault(where, []).extend(before + row + 1 for row in at)
    places = [f"row {row} of {where}" for where, found in rows.items() for row in found]
    first = next(iter(rows))
    if len(rows) == 1:
        return InvalidTable(why, where=first, rows=rows[first])
    return InvalidTable(f"{why}: {' and '.join(places[:3])}", where=first)
