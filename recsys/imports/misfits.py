"""What does not fit of a whole source, gathered as it is read: every column, few of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from recsys.errors import InvalidTable

_FILES = 3  # that are named for one fault


@dataclass(slots=True)
class _Place:
    """One fault in one file: its first rows, and how many there are."""

    rows: list[int] = field(default_factory=list)
    n_rows: int = 0


class Misfits:
    """Faults of parts of files, in the order in which they were read.

    >>> misfits = Misfits()
    >>> for before, rows in ((0, [2]), (100, [1])):
    ...     misfits.add([InvalidTable("id is missing", where="a.csv", rows=rows)], before=before)
    >>> str(misfits.error(where="customers"))
    'a.csv: id is missing (rows 2, 101)'
    """

    def __init__(self) -> None:
        self._places: dict[str, dict[str, _Place]] = {}  # fault → file → place

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, faults: Iterable[InvalidTable], *, before: int) -> None:
        """More faults, of a part that begins `before` rows into its file."""
        for fault in faults:
            place = self._places.setdefault(fault.why, {}).setdefault(fault.where, _Place())
            place.rows += [before + row for row in fault.rows[: InvalidTable.NAMED - len(place.rows)]]
            place.n_rows += fault.n_rows

    def error(self, *, where: str) -> InvalidTable:
        """All of them as one error, each with the first files it was found in."""
        told = []
        for why, places in self._places.items():
            others = f", as in {len(places) - _FILES} more files" if len(places) > _FILES else ""
            for number, (file, place) in enumerate(list(places.items())[:_FILES], start=1):
                said = f"{why}{others}" if number == _FILES else why
                told.append(InvalidTable(said, where=file, rows=place.rows, n_rows=place.n_rows))
        return InvalidTable.together(told, where=where)
