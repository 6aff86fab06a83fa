"""Columns of logged rounds, checked before any estimator adds them up: wrong input is refused with its rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats

_ROUNDING = 1e-9
SUMS_TO_ONE = 1e-6  # how far a distribution may miss 1: a log may keep it in single precision


def checked(where: str, *, dimensions: int = 1, before: int = 0, **columns: ArrayLike) -> Mapping[str, Floats]:
    """The columns as float64 arrays of one shape; raises `InvalidTable` naming the 1-based rows.

    `propensity…` must lie in (0, 1], `target…` in [0, 1], everything must be finite. `before` is how many
    rows of a stream came before these, so that rows are named as a person finds them.
    """
    table = {name: _column(name, column, dimensions=dimensions, where=where) for name, column in columns.items()}
    shapes = {name: column.shape for name, column in table.items()}
    if len(set(shapes.values())) > 1:
        counted = ", ".join(f"{name} {' × '.join(map(str, shape))}" for name, shape in shapes.items())
        raise InvalidTable(f"columns of different lengths: {counted}", where=where)
    if not next(iter(table.values())).size:
        raise InvalidTable("no rounds: an estimate needs at least one", where=where)
    for name, column in table.items():
        _check(name, column, where=where, before=before)
    return table


def checked_pmfs(name: str, pmf: Floats, *, where: str, before: int = 0) -> Floats:
    """The (n, A) distributions themselves; raises `InvalidTable` naming the rows that are none."""
    if pmf.ndim != 2 or not pmf.shape[1]:
        raise InvalidTable(f"{name} must be rounds × products, got shape {pmf.shape}", where=where)
    if len(pmf):
        low, off = float(pmf.min()), float(np.abs(pmf @ np.ones(pmf.shape[1]) - 1.0).max())  # nan where any is
        if not (low >= 0.0 and off <= SUMS_TO_ONE):
            wrong = ~(pmf.min(axis=1) >= 0.0) | ~(np.abs(pmf.sum(axis=1) - 1.0) <= SUMS_TO_ONE)
            refuse(wrong, f"{name} is no distribution (numbers from 0 that sum to 1)", where=where, before=before)
    return pmf


def checked_columns(name: str, columns: ArrayLike, *, below: int, where: str, before: int = 0) -> NDArray[np.int64]:
    """(n,) whole numbers from 0 to `below`; raises `InvalidTable` naming the rows that are none."""
    given = _column(name, columns, dimensions=1, where=where)
    wrong = ~((given >= 0.0) & (given < below) & (given == np.floor(given)))
    refuse(wrong, f"{name} is no column of the {below} there are", where=where, before=before)
    return given.astype(np.int64)


def refuse(bad: Bools, why: str, *, where: str, before: int = 0) -> None:
    """Raise `InvalidTable` with the rows of `bad` (n,) or (n, k) that are marked, if any is; see `checked`."""
    if bad.any():
        rows = bad if bad.ndim == 1 else bad.any(axis=tuple(range(1, bad.ndim)))
        raise InvalidTable(why, where=where, rows=(np.flatnonzero(rows) + 1 + before).tolist())


def _check(name: str, column: Floats, *, where: str, before: int) -> None:
    """Refuse what does not lie where it must; two looks at a column that is right, more only to say what is wrong."""
    low, high = float(column.min()), float(column.max())  # nan where any is
    if not (np.isfinite(low) and np.isfinite(high)):
        refuse(~np.isfinite(column), f"{name} must be finite", where=where, before=before)
    if name.startswith("propensity") and (low <= 0.0 or high > 1.0 + _ROUNDING):
        refuse((column <= 0.0) | (column > 1.0 + _ROUNDING), f"{name} must be in (0, 1]", where=where, before=before)
    if name.startswith("target") and (low < 0.0 or high > 1.0 + _ROUNDING):
        refuse((column < 0.0) | (column > 1.0 + _ROUNDING), f"{name} must be in [0, 1]", where=where, before=before)


def _column(name: str, column: ArrayLike, *, dimensions: int, where: str) -> Floats:
    try:
        array = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTable(f"{name} must be numbers", where=where) from None
    if array.ndim != dimensions:
        wanted = {1: "one-dimensional", 2: "two-dimensional (rounds × slots)"}[dimensions]
        raise InvalidTable(f"{name} must be {wanted}, got shape {array.shape}", where=where)
    return array
