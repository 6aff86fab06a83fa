"""A strict reader of TOML files: key by key, and what is left over at the end is a mistake.

Every complaint is one sentence that begins with the file and the thing inside it, and ends with the line.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from recsys.errors import Misuse
from recsys.tomlplaces import Place, Places, places_of


def read_text(path: Path, *, error: type[Misuse]) -> str:
    """The text of a file, or `error` saying that it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read ({type(problem).__name__})") from None


def document(text: str, *, where: str, error: type[Misuse]) -> Table:
    """The top table of a TOML text, or `error` saying where it is no TOML."""
    try:
        found = tomllib.loads(text)
        return Table(found, where=where, error=error, places=places_of(text, document=found))
    except tomllib.TOMLDecodeError as problem:
        raise error(f"{where}: is not TOML: {problem}") from None


def check_unique(
    names: Iterable[str], *, where: str, what: str, error: type[Misuse], lines: Sequence[int] = ()
) -> None:
    """Raise `error` naming the first name that comes twice; `lines` are those of the names, where known."""
    names = list(names)
    for name, times in Counter(names).items():
        if times > 1:
            at = [str(line) for line, each in zip(lines, names, strict=False) if each == name]
            told = f" (lines {' and '.join(at)})" if at else ""
            raise error(f"{where}: {what} {name}: is there {times} times; ids must differ{told}")


class Table:
    """One TOML table; each reader takes its key away, `done` complains of the rest."""

    def __init__(
        self,
        row: Mapping[str, Any],
        *,
        where: str,
        error: type[Misuse],
        places: Places | None = None,
        place: Place | None = None,
    ) -> None:
        self.row = dict(row)
        self.where = where
        self.error = error
        self._places = places
        self._place = place or (places.of(row) if places else None)

    @property
    def line(self) -> int:
        """The line on which the table begins; 0 where nobody knows."""
        return self._place.line if self._place else 0

    def inside(self, row: Mapping[str, Any], *, what: str) -> Table:
        """A table within this one, named `what` in complaints."""
        found = self._places.of(row) if self._places else None
        if found is None and self._place is not None:  # an inline table: it stands where its key stands
            found = Place(self._place.keys.get(what, self._place.line))
        return Table(row, where=f"{self.where}: {what}", error=self.error, places=self._places, place=found)

    def fail(self, why: str, *, key: str = "") -> Misuse:
        """The error to raise for this table, or for one of its keys."""
        line = self._place.keys.get(key, self._place.line) if self._place else 0
        return self.error(f"{self.where}: {why} (line {line})" if line else f"{self.where}: {why}")

    def take(self, key: str, kind: type | tuple[type, ...], words: str, *, default: Any = None) -> Any:
        """The value of `key`, checked for its type; `words` says what was wanted."""
        value = self.row.pop(key, default)
        if value is None:
            raise self.fail(f"{key} is missing; give {words}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(f"{key} must be {words}", key=key)
        return value

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value: str = self.take(key, str, "a text")
        if not value.strip():
            raise self.fail(f"{key} is empty; give a text", key=key)
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts."""
        values = self.take(key, (list, tuple), "a list of texts", default=default)
        if not all(isinstance(value, str) and value for value in values):
            raise self.fail(f"{key} must be a list of texts", key=key)
        return tuple(values)

    def choice(self, key: str, among: tuple[str, ...]) -> str:
        """A text among the given ones."""
        value = self.text(key)
        if value not in among:
            raise self.fail(f"{key} is {value!r}; choose {', '.join(among)}", key=key)
        return value

    def whole(self, key: str, *, least: int, default: int | None = None) -> int:
        """A whole number of at least `least`."""
        value: int = self.take(key, int, "a whole number", default=default)
        if value < least:
            raise self.fail(f"{key} must be at least {least}", key=key)
        return value

    def moment(self, key: str) -> datetime | None:
        """A time in UTC, or None where the key is absent."""
        if key not in self.row:
            return None
        value: datetime = self.take(key, datetime, "a time with its zone, such as 2026-03-02T09:00:00Z")
        if value.tzinfo is None:
            raise self.fail(f"{key} needs a zone, such as 2026-03-02T09:00:00Z", key=key)
        return value.astimezone(UTC)

    def day(self, key: str) -> date | None:
        """A calendar day, or None where the key is absent."""
        if key not in self.row:
            return None
        value: date = self.take(key, date, "a day such as 2026-04-06")
        if isinstance(value, datetime):
            raise self.fail(f"{key} must be a day such as 2026-04-06, without a time", key=key)
        return value

    def tables(self, key: str) -> list[dict[str, Any]]:
        """The tables headed [[key]]."""
        rows: list[dict[str, Any]] = self.take(key, list, f"tables, each headed [[{key}]]", default=[])
        if not all(isinstance(row, dict) for row in rows):
            raise self.fail(f"{key} must be tables, each headed [[{key}]]", key=key)
        return rows

    def done(self) -> None:
        """Complain of a key that nobody read."""
        if self.row:
            key = next(iter(self.row))
            raise self.fail(f"does not know the key {key}; remove it or mend its name", key=key)
