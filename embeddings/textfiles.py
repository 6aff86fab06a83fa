"""Readers of interaction files as public benchmarks publish them.

ordered   one event a line, the oldest first: `user item`, `user item time` or `user item rating time`,
          with spaces, tabs, commas or `::` between; a first line such as `user item` is a header
sets      LightGCN's: `user item item item …`, one customer a line, in a file for training and one for test
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embeddings.histories import Histories
from embeddings.ranking import Wanted
from recsys.errors import InvalidTable

_BETWEEN = re.compile(r"::|[\s,;]+")
_MOST_NAMED = 10
_NAMES = frozenset(
    f"{what}{end}"
    for what in ("user", "item", "customer", "product", "time", "timestamp", "date", "rating", "sid", "uid", "iid")
    for end in ("", "id", "_id", "s")
)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What may be learned from, and what each customer of it chose afterwards."""

    train: Histories
    wanted: Wanted
    n_unknown: int = 0  # test choices of products that training never met: they can only be missed


def read_ordered(path: Path) -> Histories:
    """A file of one event a line.

    Raises:
        InvalidTable: no such file, not UTF-8, lines of other widths, times that are no numbers; with line numbers.
    """
    lines = [(number, _BETWEEN.split(line)) for number, line in _lines(path)]
    if len(lines) > 1 and _is_header(lines[0][1]):
        lines = lines[1:]
    if not lines:
        raise InvalidTable("the file has no interactions", where=path.name)
    width = len(lines[0][1])
    if width not in {2, 3, 4}:
        raise InvalidTable(
            f"a line holds {width} words; expected `user item`, `user item time` or `user item rating time`",
            where=path.name,
        )
    _refuse([number for number, words in lines if len(words) != width], f"expected {width} words", where=path.name)
    times = None
    if width > 2:
        numbers = [_number(words[-1]) for _, words in lines]
        wrong = [line for (line, _), value in zip(lines, numbers, strict=True) if value is None]
        _refuse(wrong, "the last word is not a time", where=path.name)
        times = np.array([value * 1e6 for value in numbers if value is not None]).astype(np.int64)
    return Histories.of([words[0] for _, words in lines], subjects=[words[1] for _, words in lines], happened_at=times)


def read_split(train: Path, *, test: Path) -> Split:
    """A pair of files; each in LightGCN's form or of one event a line.

    Customers who are in the test file alone are judged as new ones, with nothing done.

    Raises:
        InvalidTable: as `read_ordered`; or nothing in the test file can be found by anybody.
    """
    learn, later = _sets(train), _sets(test)
    customers = [user for user, items in learn for _ in items]
    data = Histories.of(customers, subjects=[item for _, items in learn for item in items])
    people = data.customers.appended(user for user, _ in later)
    starts = np.concatenate([data.starts, np.full(len(people) - len(data), data.starts[-1])])
    data = data.with_customers(people, starts=starts)
    chosen: dict[int, list[int]] = {}
    n_unknown = 0
    for user, items in later:
        [place] = people.rows([user], where=test.name)
        rows = [data.products.row(item) for item in items]
        n_unknown += sum(row is None for row in rows)
        chosen.setdefault(int(place), []).extend(row for row in rows if row is not None)
    wanted = [sorted(set(chosen.get(place, ()))) for place in range(len(people))]
    if not any(wanted):
        raise InvalidTable("no product of the test file occurs in the training file", where=test.name)
    lengths = np.array([len(each) for each in wanted], dtype=np.int64)
    rows_wanted = np.array([row for each in wanted for row in each], dtype=np.int64)
    return Split(data, Wanted(np.concatenate([[0], np.cumsum(lengths)]), rows_wanted), n_unknown)


def _sets(path: Path) -> list[tuple[str, list[str]]]:
    lines = [_BETWEEN.split(line) for _, line in _lines(path)]
    if not lines:
        raise InvalidTable("the file has no interactions", where=path.name)
    if len(lines) > 1 and _is_header(lines[0]):
        lines = lines[1:]
    found = [(words[0], words[1:]) for words in lines if len(words) > 1]
    if not found:
        raise InvalidTable("no line names a product after its customer", where=path.name)
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    if not path.is_file():
        raise InvalidTable("no such file", where=str(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InvalidTable(f"cannot be read as text ({type(error).__name__})", where=path.name) from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _is_header(words: list[str]) -> bool:
    """Whether a first line names its columns; ids that look like words are none."""
    return all(word.split(":")[0].lower() in _NAMES for word in words)


def _number(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _refuse(lines: list[int], reason: str, *, where: str) -> None:
    if lines:
        raise InvalidTable(reason, where=where, rows=lines[:_MOST_NAMED])
