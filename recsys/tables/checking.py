"""Checks a table against its schema, and says row-precisely what does not fit.

A column may come in another type that holds exactly the same values: shorter integers, floats that
are whole where whole numbers are wanted, categories for texts, another unit or zone of an aware
time, days as texts. Nothing is ever rounded, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import InvalidTable
from recsys.facts import nearest
from recsys.tables.columns import Column, Table

YEARS = (1850, 2200)
_DELETE = 0x7F
_WORDS: Mapping[type[pl.DataType], str] = {
    pl.String: "texts", pl.Enum: "texts", pl.Int64: "whole numbers", pl.Float64: "numbers", pl.Boolean: "true or false",
    pl.Date: "days", pl.Datetime: "times with a zone", pl.List: "a list",
}  # fmt: skip


def checked(frame: pl.DataFrame, *, table: Table, where: str) -> pl.DataFrame:
    """`frame` with exactly the table's columns, order and types.

    Raises `InvalidTable` that names `where` (the file), the column, the rows as a person counts them
    from 1 (the first few, and how many more), and the reason in one sentence: a column missing or
    unknown, a wrong type, a time without a zone, money that is not whole pence, nulls where there
    may be none, a key that comes twice, a value out of bounds, a word that is no choice.

    >>> from recsys.tables import BALANCES
    >>> checked(pl.DataFrame({"customer": ["c-1"]}), table=BALANCES, where="balances.csv")
    Traceback (most recent call last):
    ...
    recsys.errors.InvalidTable: balances.csv: there is no column customer; did you mean customer_id?
    """
    whole = fitted(frame, table=table, where=where)
    _check_key(whole, table=table, where=where)
    return whole


def fitted(frame: pl.DataFrame, *, table: Table, where: str) -> pl.DataFrame:
    """`checked`, but for keys that come twice: for rows of a table that is still being read."""
    _check_names(frame, table=table, where=where)
    values, faults = list[pl.Expr](), list[Fault]()
    for column in table:
        if column.name not in frame.columns:
            values.append(pl.lit(None, dtype=column.dtype).alias(column.name))
            continue
        its = pl.col(column.name)
        if not column.nullable:
            faults.append(Fault(its.is_null(), f"{column.name} is missing", its.null_count() > 0))
        if isinstance(column.dtype, pl.List):
            continue
        value, wrong = _converted(frame.schema[column.name], column=column, where=where)
        faults += [*wrong, *_bounds(value, column=column)]
        values.append(value.cast(column.dtype, strict=False).alias(column.name))
    refuse(frame, faults, where=where)
    lists = [
        _checked_list(frame[column.name], column=column, where=where)
        for column in table
        if isinstance(column.dtype, pl.List) and column.name in frame.columns
    ]
    whole = frame.select(*values).with_columns(lists).select(*table.by_name)
    refuse(whole, [Fault(rule.broken.fill_null(value=False), rule.why) for rule in table.rules], where=where)
    return whole


@dataclass(frozen=True, slots=True)
class Fault:
    """What must not be: `rows` marks where it is, `seen` is one value that is true wherever any row is marked."""

    rows: pl.Expr
    why: str
    seen: pl.Expr | None = None  # a cheap one; it may also be true where no row is marked
    told: Callable[[Any], bool] = bool  # what `seen` holds → whether to look at the rows


def refuse(frame: pl.DataFrame, faults: Sequence[Fault], *, where: str, rows: pl.Series | None = None) -> None:
    """Raise `InvalidTable` for the first fault, with its rows; all are looked for in one pass.

    `rows` are the 1-based rows of the elements in `frame`, where it holds elements of lists.
    """
    if not faults or frame.is_empty():
        return
    seen = [(fault.rows.any() if fault.seen is None else fault.seen).alias(str(n)) for n, fault in enumerate(faults)]
    for fault, found in zip(faults, frame.select(seen).row(0), strict=True):
        if fault.told(found):
            bad = frame.select(fault.rows.fill_null(value=False)).to_series()
            if bad.any():
                places = bad.arg_true() + 1 if rows is None else rows.filter(bad).unique()
                _raise(fault.why, places, where=where)


def _check_names(frame: pl.DataFrame, *, table: Table, where: str) -> None:
    for name in frame.columns:
        if name not in table.by_name:
            hint = nearest(name, among=table.by_name)
            known = hint or f"; {table.name} has {', '.join(table.by_name)}"
            raise InvalidTable(f"there is no column {name[:60]}{known}", where=where)
    missing = [column.name for column in table if not column.nullable and column.name not in frame.columns]
    if missing:
        many = len(missing) > 1
        raise InvalidTable(
            f"the column{'s' * many} {', '.join(missing)} {'are' if many else 'is'} missing", where=where
        )


def _checked_list(series: pl.Series, *, column: Column, where: str) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(column.dtype)
    if not isinstance(series.dtype, pl.List):
        raise InvalidTable(f"{column.name} must be a list, not {_word(series.dtype)}", where=where)
    lengths = series.list.len().fill_null(0)
    owners = pl.Series(range(1, len(series) + 1), dtype=pl.Int64).repeat_by(lengths).explode(empty_as_null=False)
    elements = series.filter(lengths > 0).explode().alias(column.name).to_frame()
    value, faults = _converted(elements.schema[column.name], column=column, where=where)
    if not column.gaps:
        faults.insert(0, Fault(pl.col(column.name).is_null(), f"{column.name} holds an element that is missing"))
    refuse(elements, [*faults, *_bounds(value, column=column)], where=where, rows=owners)
    return series.cast(column.dtype)


def _converted(have: pl.DataType, *, column: Column, where: str) -> tuple[pl.Expr, list[Fault]]:
    """The column as its own type, or as texts where it has choices, and what would change a value on the way."""
    want, its, name = column.element, pl.col(column.name), column.name
    if have == want or have == pl.Null:
        return its.cast(pl.String if isinstance(want, pl.Enum) else want), []
    if isinstance(want, (pl.String, pl.Enum)) and isinstance(have, (pl.String, pl.Categorical, pl.Enum)):
        return its.cast(pl.String), []
    if isinstance(want, pl.Int64):
        made = its.cast(pl.Int64, strict=False)
        if have.is_integer():
            return made, [Fault(made.is_null() & its.is_not_null(), f"{name} is too large")]
        if have.is_float() or have.is_decimal():
            numbers = its.cast(pl.Float64)
            kind = "pence" if column.unit == "pence" else "numbers"
            whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < 2.0**53)
            return made, [Fault(~whole, f"{name} must be whole {kind}")]
    if isinstance(want, pl.Float64) and have.is_numeric():
        return its.cast(pl.Float64), []
    if isinstance(want, pl.Datetime) and isinstance(have, pl.Datetime):
        if have.time_zone is None:
            raise InvalidTable(f"{name} has no time zone: write its times as UTC", where=where)
        return its.cast(pl.Datetime("us", have.time_zone)).dt.convert_time_zone("UTC"), []
    if isinstance(want, pl.Date) and isinstance(have, pl.String):
        days = its.str.to_date("%Y-%m-%d", strict=False)
        return days, [Fault(days.is_null() & its.is_not_null(), f"{name} must be days such as 2026-03-02")]
    raise InvalidTable(f"{name} must be {_word(want)}, not {_word(have)}", where=where)


def _bounds(values: pl.Expr, *, column: Column) -> Iterator[Fault]:
    """What each bound refuses of the values that are there."""
    name = column.name
    if isinstance(column.element, pl.Float64):
        yield Fault(~values.is_finite(), f"{name} must be finite")
    if column.above is not None and column.most is not None:
        low, high = column.above, column.most
        yield Fault(~((values > low) & (values <= high)), f"{name} must be in ({low:g}, {high:g}]")
    elif column.least is not None:
        least = column.least
        yield Fault(values < least, f"{name} must be at least {least:,.0f}", values.min() < least)
    if column.above is None and column.most is not None:
        most = column.most
        yield Fault(values > most, f"{name} must be at most {most:,.0f}", values.max() > most)
    if column.longest is not None:
        sizes = values.str.len_bytes()  # counting characters takes longer
        yield Fault(values == "", f"{name} is empty", sizes.min() == 0)
        yield Fault(
            values.str.len_chars() > column.longest,
            f"{name} is longer than {column.longest} characters",
            sizes.max() > column.longest,
        )
        odd = values.str.contains(r"[\x00-\x1f\x7f]")
        yield Fault(odd, f"{name} holds a control character", values.str.join(""), _holds_control)
    if column.choices:
        yield Fault(~values.is_in(list(column.choices)), f"{name} must be {_listed(column.choices)}")
    if isinstance(column.element, (pl.Date, pl.Datetime)):
        years = values.dt.year()
        yield Fault(
            (years < YEARS[0]) | (years > YEARS[1]),
            f"{name} must be between the years {YEARS[0]} and {YEARS[1]}",
            (values.min().dt.year() < YEARS[0]) | (values.max().dt.year() > YEARS[1]),
        )


def _holds_control(together: str | None) -> bool:
    """Whether any of many texts, written one after the other, holds a control character."""
    found = np.frombuffer((together or " ").encode(), dtype=np.uint8)
    return bool(len(found) and (found.min() < ord(" ") or (found == _DELETE).any()))


def _check_key(whole: pl.DataFrame, *, table: Table, where: str) -> None:
    key = list(table.key)
    if whole.select(key).n_unique() == whole.height:
        return
    twice = whole.select(pl.struct(key).is_duplicated()).to_series()
    said = " and ".join(key)
    if not table.delivered_again:
        _raise(f"the same {said} comes more than once", twice.arg_true() + 1, where=where)
    body = [pl.col(name) for name in table.by_name if name not in (*key, "reported_at")]
    rows = whole.with_row_index("__row").filter(twice)
    changed = rows.group_by(key).agg("__row", __kinds=pl.struct(body).n_unique()).filter(pl.col("__kinds") > 1)
    if changed.height:
        _raise(f"the same {said} comes again with another content", changed["__row"].explode().sort() + 1, where=where)


def _raise(why: str, rows: pl.Series, *, where: str) -> None:
    raise InvalidTable(why, where=where, rows=rows.sort().to_list())


def _word(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"a list of {_word(dtype.inner)}"  # type: ignore[arg-type]
    if dtype.is_integer():
        return _WORDS[pl.Int64]
    return _WORDS.get(type(dtype), "numbers" if dtype.is_numeric() else str(dtype))


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
