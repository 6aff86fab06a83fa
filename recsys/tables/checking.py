"""Checks a table against its schema, and says row-precisely what does not fit.

A column may come in another type that holds exactly the same values: shorter integers, floats that
are whole where whole numbers are wanted, categories for texts, another unit or zone of an aware
time, days as texts. Nothing is ever rounded, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from recsys.errors import InvalidTable
from recsys.facts import nearest
from recsys.tables.columns import Column, Table

YEARS = (1850, 2200)
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
    _check_names(frame, table=table, where=where)
    columns = [
        _checked_column(frame[column.name], column=column, where=where)
        if column.name in frame.columns
        else pl.Series(column.name, [None], dtype=column.dtype).new_from_index(0, frame.height)
        for column in table
    ]
    whole = pl.DataFrame(columns)
    for rule in table.rules:
        _refuse(whole.select(rule.broken.fill_null(value=False)).to_series(), rule.why, where=where)
    _check_key(whole, table=table, where=where)
    return whole


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


def _checked_column(series: pl.Series, *, column: Column, where: str) -> pl.Series:
    """The column in its own type, every value inside its bounds."""
    if not column.nullable:
        _refuse(series.is_null(), f"{column.name} is missing", where=where)
    if isinstance(column.dtype, pl.List):
        return _checked_list(series, column=column, where=where)
    known = _converted(series, column=column, where=where)
    for bad, why in _faults(known, column=column):
        _refuse(bad, why, where=where)
    return known.cast(column.dtype)


def _checked_list(series: pl.Series, *, column: Column, where: str) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(column.dtype)
    if not isinstance(series.dtype, pl.List):
        raise InvalidTable(f"{column.name} must be a list, not {_word(series.dtype)}", where=where)
    lengths = series.list.len().fill_null(0)
    owners = pl.Series(range(1, len(series) + 1), dtype=pl.Int64).repeat_by(lengths).explode(empty_as_null=False)
    elements = series.filter(lengths > 0).explode().alias(column.name)
    if not column.gaps:
        _refuse(elements.is_null(), f"{column.name} holds an element that is missing", where=where, rows=owners)
    known = _converted(elements, column=column, where=where, rows=owners)
    for bad, why in _faults(known, column=column):
        _refuse(bad, why, where=where, rows=owners)
    return series.cast(column.dtype)


def _converted(series: pl.Series, *, column: Column, where: str, rows: pl.Series | None = None) -> pl.Series:
    """Values as the column's own type, or as texts where it has choices; refuses what would change a value."""
    have, want = series.dtype, column.element
    name, texts = column.name, isinstance(want, pl.Enum)
    if have == want or have == pl.Null:
        return series.cast(pl.String if texts else want)
    if isinstance(want, (pl.String, pl.Enum)) and isinstance(have, (pl.String, pl.Categorical, pl.Enum)):
        return series.cast(pl.String)
    if isinstance(want, pl.Int64):
        if have.is_integer():
            _refuse(series.cast(pl.Int64, strict=False).is_null() & series.is_not_null(), f"{name} is too large",
                    where=where, rows=rows)  # fmt: skip
            return series.cast(pl.Int64)
        if have.is_float() or have.is_decimal():
            numbers = series.cast(pl.Float64)
            kind = "pence" if column.unit == "pence" else "numbers"
            whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < 2.0**53)
            _refuse(~whole, f"{name} must be whole {kind}", where=where, rows=rows)
            return series.cast(pl.Int64)
    if isinstance(want, pl.Float64) and have.is_numeric():
        return series.cast(pl.Float64)
    if isinstance(want, pl.Datetime) and isinstance(have, pl.Datetime):
        if have.time_zone is None:
            raise InvalidTable(f"{name} has no time zone: write its times as UTC", where=where)
        return series.cast(pl.Datetime("us", have.time_zone)).dt.convert_time_zone("UTC")
    if isinstance(want, pl.Date) and isinstance(have, pl.String):
        days = series.str.to_date("%Y-%m-%d", strict=False)
        _refuse(days.is_null() & series.is_not_null(), f"{name} must be days such as 2026-03-02", where=where)
        return days
    raise InvalidTable(f"{name} must be {_word(want)}, not {_word(have)}", where=where)


def _faults(values: pl.Series, *, column: Column) -> Iterator[tuple[pl.Series, str]]:
    """What each bound refuses of the values that are there."""
    name = column.name
    if isinstance(column.element, pl.Float64):
        yield ~values.is_finite(), f"{name} must be finite"
    if column.above is not None and column.most is not None:
        low, high = column.above, column.most
        yield ~((values > low) & (values <= high)), f"{name} must be in ({low:g}, {high:g}]"
    elif column.least is not None:
        yield values < column.least, f"{name} must be at least {column.least:,.0f}"
    if column.above is None and column.most is not None:
        yield values > column.most, f"{name} must be at most {column.most:,.0f}"
    if column.longest is not None:
        yield values == "", f"{name} is empty"
        if (values.str.len_bytes() > column.longest).any():  # counting characters takes longer
            yield values.str.len_chars() > column.longest, f"{name} is longer than {column.longest} characters"
        yield values.str.contains(r"[\x00-\x1f\x7f]"), f"{name} holds a control character"
    if column.choices:
        yield ~values.is_in(list(column.choices)), f"{name} must be {_listed(column.choices)}"
    if isinstance(column.element, (pl.Date, pl.Datetime)):
        years = values.dt.year()
        yield (years < YEARS[0]) | (years > YEARS[1]), f"{name} must be between the years {YEARS[0]} and {YEARS[1]}"


def _check_key(whole: pl.DataFrame, *, table: Table, where: str) -> None:
    key = list(table.key)
    if whole.select(key).n_unique() == whole.height:
        return
    twice = whole.select(pl.struct(key).is_duplicated()).to_series()
    said = " and ".join(key)
    if not table.delivered_again:
        _refuse(twice, f"the same {said} comes more than once", where=where)
    body = [pl.col(name) for name in table.by_name if name not in (*key, "reported_at")]
    rows = whole.with_row_index("__row").filter(twice)
    changed = rows.group_by(key).agg("__row", __kinds=pl.struct(body).n_unique()).filter(pl.col("__kinds") > 1)
    if changed.height:
        _raise(f"the same {said} comes again with another content", changed["__row"].explode().sort() + 1, where=where)


def _refuse(bad: pl.Series, why: str, *, where: str, rows: pl.Series | None = None) -> None:
    """Raise where any of `bad` is true; `rows` are the 1-based rows of its elements, in order."""
    if bad.any():
        _raise(
            why, (bad.arg_true() + 1) if rows is None else rows.filter(bad.fill_null(value=False)).unique(), where=where
        )


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
