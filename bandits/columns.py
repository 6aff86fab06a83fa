"""Names of features → columns of a dense vector, growing as new names are met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandits.crossing import hats, knots_of
from recsys.vocabulary import Floats

_MOST = 512  # names that a learner takes in; later ones teach nothing
_MOST_ASKED = 1_000  # tuples of names whose columns are kept


class Columns:
    """Names → columns, in the order in which they were first met; part of a learner's state."""

    def __init__(self, names: Sequence[str], *, knots: int) -> None:
        self._at = {name: column for column, name in enumerate(names)}
        self._knots = knots_of(knots)
        self._known: dict[tuple[str, ...], NDArray[np.int64]] = {}  # taken in
        self._asked: dict[tuple[str, ...], NDArray[np.int64]] = {}  # only looked up

    def __len__(self) -> int:
        return len(self._at)

    @property
    def names(self) -> list[str]:
        """In column order."""
        return list(self._at)

    def copy(self) -> Columns:
        """The same columns, to grow apart from here on."""
        return Columns(self.names, knots=self._knots.size)

    def take_in(self, names: tuple[str, ...]) -> int:
        """Give columns to names not met before; how many are new."""
        if names in self._known:
            return 0
        wanted = [name for name in self._wanted(names) if name not in self._at]
        new = wanted[: max(0, _MOST - len(self._at))]
        self._at |= {name: len(self._at) + place for place, name in enumerate(new)}
        if new:
            self._known.clear()
            self._asked.clear()
        self._known[names] = self._columns(names)
        return len(new)

    def vector(self, names: tuple[str, ...], values: Sequence[float]) -> Floats:
        """(columns,) these values in their columns; names without a column are left out."""
        columns = self._columns_of(names)
        given = np.array(values, dtype=np.float64)
        told = np.concatenate([given, hats(given, self._knots)]) if self._knots.size else given
        vector = np.zeros(len(self._at) + 1)  # the last place takes what has no column
        vector[columns] = told
        return vector[:-1]

    def rows(self, names: tuple[str, ...], values: Floats) -> Floats:
        """(m, columns) the same for each row of `values` (m, len(names))."""
        told = values
        if self._knots.size:
            told = np.hstack([values, hats(values.ravel(), self._knots).reshape(len(values), -1)])
        rows = np.zeros((len(values), len(self._at) + 1))
        rows[:, self._columns_of(names)] = told
        return rows[:, :-1]

    def _wanted(self, names: tuple[str, ...]) -> list[str]:
        return [*names, *(f"{name}#{knot}" for name in names for knot in range(self._knots.size))]

    def _columns_of(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        columns = self._known.get(names)
        if columns is None:
            columns = self._asked.get(names)
        if columns is None:
            if len(self._asked) >= _MOST_ASKED:
                self._asked.clear()
            columns = self._asked[names] = self._columns(names)
        return columns

    def _columns(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        return np.array([self._at.get(name, len(self._at)) for name in self._wanted(names)], dtype=np.int64)
