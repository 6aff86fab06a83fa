"""On which line of a TOML file a table and its keys stand, which `tomllib` does not tell.

The text is read a second time for its headers and keys only; whatever cannot be placed takes the
place of the table around it, so a complaint always names a line near the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""' r"|'''.*?'''" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'" r"|\#[^\n]*" r"|[\[\]{}]|\n",
    re.DOTALL,
)
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*(?:\"([^\"]+)\"|'([^']+)'|([\w-]+))\s*[=.]")
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table stands: the line of its header, and the line of each of its keys."""

    line: int = 1
    keys: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Places:
    """The place of every table of one document, which is kept alive so that identities stay."""

    document: Mapping[str, Any]
    by_id: Mapping[int, Place]

    def of(self, table: Mapping[str, Any]) -> Place | None:
        """The place of a table, None for one that has no header of its own."""
        return self.by_id.get(id(table))


def places_of(text: str, *, document: Mapping[str, Any]) -> Places:
    """The places of the tables in `document`, which is what `tomllib` made of `text`.

    >>> import tomllib
    >>> text = "[[rule]]\\nid = 1\\n\\n[[rule]]\\nid = 2\\n"
    >>> document = tomllib.loads(text)
    >>> places_of(text, document=document).of(document["rule"][1])
    Place(line=4, keys={'id': 5})
    """
    here = Place()
    by_id = {id(document): here}
    reached: dict[tuple[str, ...], int] = {}  # array of tables → how many of its headers were read
    for number, line in _statements(text):
        if (header := _HEADER.match(line)) is not None:
            path = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                reached[path] = reached.get(path, 0) + 1
                for inner in [each for each in reached if len(each) > len(path) and each[: len(path)] == path]:
                    del reached[inner]
            here = Place(number)
            table = _table_at(document, path, reached)
            if table is not None:
                by_id[id(table)] = here
        elif (key := _KEY.match(line)) is not None:
            here.keys.setdefault(key[1] or key[2] or key[3], number)
    return Places(document, by_id)


def _table_at(document: Mapping[str, Any], path: tuple[str, ...], reached: Mapping[tuple[str, ...], int]) -> Any:
    """The table that a header opens; None where the header was read amiss."""
    table: Any = document
    try:
        for end, part in enumerate(path, start=1):
            table = table[part]
            if isinstance(table, list):
                table = table[reached[path[:end]] - 1]
    except (KeyError, IndexError, TypeError):
        return None
    return table


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(line number, line) of every line that begins a statement: none inside an array or a longer text."""
    lines = text.split("\n")
    number, depth = 1, 0
    yield number, lines[0]
    for token in _TOKEN.finditer(text):
        depth += _DEPTH.get(token[0], 0)
        number += token[0].count("\n")
        if token[0] == "\n" and depth == 0:
            yield number, lines[number - 1]
