"""What can be wrong with a CSV file as such, told with its row and never with what stands in it."""

from __future__ import annotations

import csv
from pathlib import Path

from recsys.errors import InvalidTable

_TAIL = 1 << 16


def check_end(path: Path, *, separator: str) -> None:
    """Raise `InvalidTable` for a file that stops in the middle of a row, as a torn copy does."""
    with path.open("rb") as file:
        header = file.readline()
        file.seek(max(len(header), path.stat().st_size - _TAIL))
        last = file.read().rpartition(b"\n")[2]
    if not last.strip() or last.count(b'"') % 2 or b'"' in header:
        return
    has, wants = (next(csv.reader([line.decode(errors="replace")], delimiter=separator)) for line in (last, header))
    if len(has) < len(wants):
        raise InvalidTable(
            f"ends in the middle of a row: its last has {len(has)} of {len(wants)} fields; copy the file anew",
            where=path.name,
        )


def refusal(path: Path, *, separator: str, error: Exception) -> InvalidTable:
    """The error for a file that polars could not read: polars' own sentence may quote the file."""
    said = str(error)
    if "utf-8" in said:
        return InvalidTable("is not written in UTF-8: export it as UTF-8", where=path.name)
    if "empty" in said:
        return InvalidTable("is empty: it needs a row of column names", where=path.name)
    if "more fields" in said:
        rows = _longer(path, separator=separator)
        return InvalidTable("has more fields than the row of column names", where=path.name, rows=rows)
    if "escaped" in said:
        return InvalidTable("holds a quotation mark that is never closed, or stands inside a field", where=path.name)
    return InvalidTable(f"cannot be read as CSV ({type(error).__name__})", where=path.name)


def _longer(path: Path, *, separator: str) -> list[int]:
    """The first rows that have too many fields, counted from 1 below the names."""
    found: list[int] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        wanted = len(next(rows))
        for number, row in enumerate(rows, start=1):
            if len(row) > wanted:
                found.append(number)
                if len(found) == 3:
                    break
    return found
