"""A table's documentation as text: what a bank's data engineer reads before writing an export."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import polars as pl

from recsys.tables.columns import LONGEST_ID, Column, Table

_WIDTH = 100
_WORDS: Mapping[type[pl.DataType], str] = {
    pl.String: "text", pl.Enum: "text", pl.Int64: "whole number", pl.Float64: "number", pl.Boolean: "true or false",
    pl.Date: "day", pl.Datetime: "time",
}  # fmt: skip


def described(table: Table) -> str:
    """The table's documentation, for a terminal.

    >>> from recsys.tables import RATES
    >>> print(described(RATES))
    rates: What a product pays or costs from a day on, until its next row.
    One row for each product_id and effective_on.
    <BLANKLINE>
      product_id    text                   the product
      effective_on  day                    first day of this rate
      aer           number (share a year)  interest, 0.045 for 4.5 %; from -1 to 10
    """
    wide = max(len(column.name) for column in table) + 2
    kinds = max(len(_kind(column)) for column in table) + 2
    lines = [f"{table.name}: {table.about}", f"One row for each {' and '.join(table.key)}.{_division(table)}", ""]
    for column in table:
        lead = f"  {column.name:{wide}}{_kind(column):{kinds}}"
        lines += textwrap.wrap(
            lead + _said(column), width=_WIDTH + wide, subsequent_indent=" " * len(lead), break_on_hyphens=False
        )
    lines += [f"  Never: {rule.why}." for rule in table.rules if "known_none" not in rule.why]
    return "\n".join(lines)


def _division(table: Table) -> str:
    files = f" Files are divided by the month of {table.by_month}." if table.by_month else ""
    again = " A row may come again with the same content." if table.delivered_again else ""
    return files + again


def _kind(column: Column) -> str:
    word = _WORDS[type(column.element)]
    if isinstance(column.dtype, pl.List):
        word = f"list of {word}s"
    return f"{word} ({column.unit})" if column.unit else word


def _said(column: Column) -> str:
    parts = [column.about]
    if column.choices:
        parts.append(f"one of {', '.join(column.choices)}")
    elif column.longest not in (None, LONGEST_ID):
        parts.append(f"at most {column.longest:,} characters")
    if column.above is not None:
        parts.append(f"above {column.above:g}, at most {column.most:g}")
    elif column.least is not None and column.most is not None and column.most < 10_000:
        parts.append(f"from {column.least:g} to {column.most:g}")
    elif column.least == 0:
        parts.append("not negative")
    if column.nullable:
        parts.append(f"null: {column.nullable}")
    if column.gaps:
        parts.append(f"a null element: {column.gaps}")
    return "; ".join(parts)
