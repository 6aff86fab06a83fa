"""Checks a table against its schema, and says row-precisely what does not fit.

A column may come in another type that holds exactly the same values: shorter integers, floats that
are whole where whole numbers are wanted, categories for texts, another unit or zone of an aware
time, days as texts. Nothing is ever rounded, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import InvalidTable
from recsys.facts import nearest
from recsys.tables.columns import Column, Rule, Table

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
    may be none, a key that comes twice, a value out of bounds, a word that is no choice. Of several
    columns that do not fit, each is told.

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
    whole, wrong = fitting(frame, table=table, where=where)
    if wrong:
        raise InvalidTable.together(wrong, where=where)
    return whole


def fitting(
    frame: pl.DataFrame,
    *,
    table: Table,
    where: str,
    named: Mapping[str, str] = MappingProxyType({}),
    without: Collection[str] = (),
    also: Sequence[Fault] = (),
) -> tuple[pl.DataFrame, list[InvalidTable]]:
    """The columns that fit, as `fitted` gives them, and what does not fit of the others.

    `named` is what a fault calls a column, where that is more than its name; `without` are columns that are known
    not to fit, and are left out; `also` is asked of the columns that do. Raises `InvalidTable` for columns missing
    or unknown.
    """
    _check_names(frame, table=table, where=where, without=without)
    if not frame.columns:
        return frame, []
    values, faults = list[pl.Expr | pl.Series](), list[Fault]()
    wrong, bad = list[InvalidTable](), {*without}
    for column in table:
        if column.name in bad:
            continue
        if column.name not in frame.columns:
            values.append(pl.lit(None, dtype=column.dtype).alias(column.name))
            continue
        its, said = pl.col(column.name), named.get(column.name, column.name)
        if not column.nullable:
            faults.append(Fault(its.is_null(), f"{said} is missing", its.null_count() > 0, of=column.name))
        try:
            if isinstance(column.dtype, pl.List):
                values.append(_checked_list(frame[column.name], column=column, said=said, where=where))
                continue
            value, changed = _converted(frame.schema[column.name], column=column, said=said, where=where)
        except InvalidTable as error:
            wrong += error.faults
            bad.add(column.name)
            continue
        faults += [*changed, *_bounds(value, column=column, said=said)]
        values.append(value.cast(column.dtype, strict=False).alias(column.name))
    for fault, misfit in found(frame, faults, where=where):
        wrong.append(misfit)
        bad.add(fault.of)
    whole = frame.with_columns(values).select(name for name in table.by_name if name not in bad)
    between = [_between(rule, table=table, named=named) for rule in table.rules if bad.isdisjoint(rule.reads)]
    asked = [*between, *(fault for fault in also if fault.of in whole.columns)]
    wrong += [error for _, error in found(whole, asked, where=where)]
    return whole, wrong


@dataclass(frozen=True, slots=True)
class Fault:
    """What must not be: `rows` marks where it is, `seen` is one value that is true wherever any row is marked."""

    rows: pl.Expr
    why: str
    seen: pl.Expr | None = None  # a cheap one; it may also be true where no row is marked
    told: Callable[[Any], bool] = bool  # what `seen` holds → whether to look at the rows
    of: str = ""  # the column, "" for a rule between columns


def refuse(frame: pl.DataFrame, faults: Sequence[Fault], *, where: str, rows: pl.Series | None = None) -> None:
    """Raise `InvalidTable` for what `found` finds."""
    if wrong := [error for _, error in found(frame, faults, where=where, rows=rows)]:
        raise InvalidTable.together(wrong, where=where)


def found(
    frame: pl.DataFrame, faults: Sequence[Fault], *, where: str, rows: pl.Series | None = None
) -> Iterator[tuple[Fault, InvalidTable]]:
    """The faults there are, each with its rows, those left out that an earlier one of its column marked.

    All are looked for in one pass. `rows` are the 1-based rows of the elements in `frame`, where it holds elements
    of lists.
    """
    if not faults or frame.is_empty():
        return
    seen = [(fault.rows.any() if fault.seen is None else fault.seen).alias(str(n)) for n, fault in enumerate(faults)]
    marked = dict[str, pl.Series]()
    for fault, value in zip(faults, frame.select(seen).row(0), strict=True):
        if not fault.told(value):
            continue
        bad = frame.select(fault.rows.fill_null(value=False)).to_series()
        if fault.of in marked:
            bad = bad & ~marked[fault.of]
        if bad.any():
            if fault.of:
                marked[fault.of] = bad | marked[fault.of] if fault.of in marked else bad
            places = bad.arg_true() + 1 if rows is None else rows.filter(bad).unique()
            yield fault, InvalidTable(fault.why, where=where, rows=places.sort().to_list())


def _between(rule: Rule, *, table: Table, named: Mapping[str, str]) -> Fault:
    """A rule between columns as a fault; where the bank calls any of them otherwise, it names them all."""
    reads = [named.get(name, name) for name in table.by_name if name in rule.reads]
    said = f": {', '.join(reads)}" if set(reads) != rule.reads else ""
    return Fault(rule.broken.fill_null(value=False), f"{rule.why}{said}")


def _check_names(frame: pl.DataFrame, *, table: Table, where: str, without: Collection[str]) -> None:
    for name in frame.columns:
        if name not in table.by_name:
            hint = nearest(name, among=table.by_name)
            known = hint or f"; {table.name} has {', '.join(table.by_name)}"
            raise InvalidTable(f"there is no column {name[:60]}{known}", where=where)
    there = {*frame.columns, *without}
    missing = [column.name for column in table if not column.nullable and column.name not in there]
    if missing:
        many = len(missing) > 1
        raise InvalidTable(
            f"the column{'s' * many} {', '.join(missing)} {'are' if many else 'is'} missing", where=where
        )


def _checked_list(series: pl.Series, *, column: Column, said: str, where: str) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(column.dtype)
    if not isinstance(series.dtype, pl.List):
        raise InvalidTable(f"{said} must be a list, not {_word(series.dtype)}", where=where)
    lengths = series.list.len().fill_null(0)
    owners = pl.Series(range(1, len(series) + 1), dtype=pl.Int64).repeat_by(lengths).explode(empty_as_null=False)
    elements = series.filter(lengths > 0).explode().alias(column.name).to_frame()
    value, faults = _converted(elements.schema[column.name], column=column, said=said, where=where)
    if not column.gaps:
        gap = Fault(pl.col(column.name).is_null(), f"{said} holds an element that is missing", of=column.name)
        faults.insert(0, gap)
    refuse(elements, [*faults, *_bounds(value, column=column, said=said)], where=where, rows=owners)
    return series.cast(column.dtype)


def _converted(have: pl.DataType, *, column: Column, said: str, where: str) -> tuple[pl.Expr, list[Fault]]:
    """The column as its own type, or as texts where it has choices, and what would change a value on the way."""
    want, its, name = column.element, pl.col(column.name), column.name
    if have == want or have == pl.Null:
        return its.cast(pl.String if isinstance(want, pl.Enum) else want), []
    if isinstance(want, (pl.String, pl.Enum)) and isinstance(have, (pl.String, pl.Categorical, pl.Enum)):
        return its.cast(pl.String), []
    if isinstance(want, pl.Int64):
        made = its.cast(pl.Int64, strict=False)
        if have.is_integer():
            return made, [Fault(made.is_null() & its.is_not_null(), f"{said} is too large", of=name)]
        if have.is_float() or have.is_decimal():
            numbers = its.cast(pl.Float64)
            kind = "pence" if column.unit == "pence" else "numbers"
            whole = numbers.is_finite() & (numbers == numbers.round()) & (numbers.abs() < 2.0**53)
            return made, [Fault(~whole, f"{said} must be whole {kind}", of=name)]
    if isinstance(want, pl.Float64) and have.is_numeric():
        return its.cast(pl.Float64), []
    if isinstance(want, pl.Datetime) and isinstance(have, pl.Datetime):
        if have.time_zone is None:
            raise InvalidTable(f"{said} has no time zone: write its times as UTC", where=where)
        return its.cast(pl.Datetime("us", have.time_zone)).dt.convert_time_zone("UTC"), []
    if isinstance(want, pl.Date) and isinstance(have, pl.String):
        days = its.str.to_date("%Y-%m-%d", strict=False)
        return days, [Fault(days.is_null() & its.is_not_null(), f"{said} must be days such as 2026-03-02", of=name)]
    raise InvalidTable(f"{said} must be {_word(want)}, not {_word(have)}", where=where)


def _bounds(values: pl.Expr, *, column: Column, said: str) -> Iterator[Fault]:
    """What each bound refuses of the values that are there."""
    name = column.name
    if isinstance(column.element, pl.Float64):
        yield Fault(~values.is_finite(), f"{said} must be finite", of=name)
    if column.above is not None and column.most is not None:
        low, high = column.above, column.most
        yield Fault(~((values > low) & (values <= high)), f"{said} must be in ({low:g}, {high:g}]", of=name)
    elif column.least is not None:
        least = column.least
        yield Fault(values < least, f"{said} must be at least {least:,.0f}", values.min() < least, of=name)
    if column.above is None and column.most is not None:
        most = column.most
        yield Fault(values > most, f"{said} must be at most {most:,.0f}", values.max() > most, of=name)
    if column.longest is not None:
        sizes = values.str.len_bytes()  # counting characters takes longer
        yield Fault(values == "", f"{said} is empty", sizes.min() == 0, of=name)
        yield Fault(
            values.str.len_chars() > column.longest,
            f"{said} is longer than {column.longest} characters",
            sizes.max() > column.longest,
            of=name,
        )
        odd = values.str.contains(r"[\x00-\x1f\x7f]")
        yield Fault(odd, f"{said} holds a control character", values.str.join(""), _holds_control, of=name)
    if column.choices:
        yield Fault(~values.is_in(list(column.choices)), f"{said} must be {_listed(column.choices)}", of=name)
    if isinstance(column.element, (pl.Date, pl.Datetime)):
        years = values.dt.year()
        yield Fault(
            (years < YEARS[0]) | (years > YEARS[1]),
            f"{said} must be between the years {YEARS[0]} and {YEARS[1]}",
            (values.min().dt.year() < YEARS[0]) | (values.max().dt.year() > YEARS[1]),
            of=name,
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
