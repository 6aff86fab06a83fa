"""Their columns → ours: units, zones, words. What is then in the table's own types is checked by `recsys.tables`.

Nothing is rounded and nothing is guessed: a value that cannot be read is refused with its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import polars as pl

from recsys.errors import InvalidTable
from recsys.imports.mapfile import UNITS, Mapped, Reading
from recsys.tables import ACTIVITY, CREATIVES, CUSTOMERS, PRODUCTS, Column, Fault, refuse

_PENNY = 1e-6  # how far from a whole penny a float of pounds may lie
_AMBIGUOUS: Mapping[str, Literal["earliest", "latest", "null"]] = MappingProxyType(
    {"earliest": "earliest", "latest": "latest", "": "null"}
)
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")

DEFAULTS: Mapping[tuple[str, str], tuple[Any, str]] = MappingProxyType(
    {
        (CUSTOMERS.name, "known_none"): ([], ""),
        (CUSTOMERS.name, "in_app"): (False, "nobody allows marketing in the app: everybody gets the broadcast path"),
        (CUSTOMERS.name, "push"): (False, "nobody allows push messages: no campaign reaches anybody"),
        (CUSTOMERS.name, "email"): (False, ""),
        (CUSTOMERS.name, "targeted_support"): (False, "nobody gets targeted support"),
        (PRODUCTS.name, "tags"): ([], "rules and features that read tags see none"),
        (PRODUCTS.name, "value"): (1.0, "an opening of any product is worth one point"),
        (PRODUCTS.name, "min_age"): (0, "no product has an age of its own: rules alone keep minors out"),
        (PRODUCTS.name, "countries"): (["GB"], ""),
        (PRODUCTS.name, "dominated_by"): ([], ""),
        (PRODUCTS.name, "regulated_class"): ("none", "no product counts as regulated: rules on those classes rest"),
        (ACTIVITY.name, "activity_id"): (None, "activities are told apart by their place in the source: "
                                               "the same in another order would be taken for new ones"),
        (CREATIVES.name, "template"): (None, ""),
    }
)  # fmt: skip
"""(table, column) → what an unmapped column holds, and what that costs."""


def mapped(
    frame: pl.DataFrame, *, of: Mapped, where: str, before: int = 0
) -> tuple[pl.DataFrame, dict[str, InvalidTable]]:
    """Rows of a source, `before` rows into its file, as rows of our table.

    The columns of ours that cannot be read are left out, and told with their rows.
    """
    given, names = {reading.column: reading for reading in of.readings}, said(of)
    made, wrong = list[pl.Series | pl.Expr](), dict[str, InvalidTable]()
    for column in of.table:
        if (reading := given.get(column.name)) is not None:
            name = names.get(column.name, column.name)
            try:
                made.append(_read(frame, reading, column=column, said=name, where=where, before=before))
            except InvalidTable as error:
                wrong[column.name] = error
        elif (known := DEFAULTS.get((of.table.name, column.name))) is not None:
            if (of.table.name, column.name) == (ACTIVITY.name, "activity_id"):
                made.append(_numbered(frame.height, f"{where}:", before=before, name=column.name))
            else:
                made.append(_same(known[0], column=column))
    ours = {f"__{each.name if isinstance(each, pl.Series) else each.meta.output_name()}": each for each in made}
    return frame.with_columns(**ours).select(pl.col(name).alias(name[2:]) for name in ours), wrong


def said(of: Mapped) -> dict[str, str]:
    """What a fault calls each column that the bank calls otherwise: our name, and theirs beside it."""
    return {
        each.column: f"{each.column} (their {' and '.join(each.theirs)})"
        for each in of.readings
        if each.theirs and each.theirs != (each.column,)
    }


def theirs(of: Mapped) -> list[str]:
    """The columns that a source must have."""
    return list(dict.fromkeys(name for reading in of.readings for name in reading.theirs))


def _read(
    frame: pl.DataFrame, reading: Reading, *, column: Column, said: str, where: str, before: int
) -> pl.Series | pl.Expr:
    if reading.form == "always":
        return _always(reading, column=column, where=where)
    if reading.form == "row":
        return _numbered(frame.height, str(reading.value), before=before, name=column.name)
    if reading.form == "join":
        parts = [_text(frame[name], name=said, where=where) for name in reading.theirs]
        whole = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
        return whole.select(pl.concat_str(pl.all(), separator=reading.by).alias(column.name)).to_series()
    series = frame[reading.theirs[0]].alias(column.name)
    if reading.words:
        series = _translated(series, reading, said=said, where=where)
    typed = _typed(series, reading, column=column, said=said, where=where).alias(column.name)
    if reading.value is None or not typed.null_count():
        return typed
    standing = pl.select(_always(reading, column=column, where=where)).to_series()
    return standing.new_from_index(0, typed.len()).zip_with(typed.is_null(), typed)


def _typed(series: pl.Series, reading: Reading, *, column: Column, said: str, where: str) -> pl.Series:
    want = column.element
    if isinstance(column.dtype, pl.List):
        if reading.split and series.dtype == pl.String:
            parts = series.str.split(reading.split).list.eval(pl.element().str.strip_chars())
            if isinstance(want, pl.Float64):
                return _numbers(parts, said=said, where=where)
            return parts.list.eval(pl.element().filter(pl.element() != ""))
        if series.dtype == pl.String:
            why = f'{said} must be a list, not texts; say what parts them, as in {{ from = "…", split = ";" }}'
            raise InvalidTable(why, where=where)
        return series
    if isinstance(want, pl.Boolean):
        return _truth(series, reading, said=said, where=where)
    if isinstance(want, (pl.Int64, pl.Float64)):
        return _number(series, reading, column=column, said=said, where=where)
    if isinstance(want, pl.Datetime):
        return _moment(series, reading, said=said, where=where)
    if isinstance(want, pl.Date):
        return _day(series, reading, said=said, where=where)
    return _text(series, name=said, where=where)


def _text(series: pl.Series, *, name: str, where: str) -> pl.Series:
    """Ids are often numbers: whole ones become their digits."""
    if series.dtype.is_integer():
        return series.cast(pl.String)
    if series.dtype.is_float():
        whole = series.is_finite() & (series == series.round()) & (series.abs() < 2.0**53)
        _refuse(~whole, f"{name} must be a text or a whole number", where=where)
        return series.cast(pl.Int64).cast(pl.String)
    return series


def _number(series: pl.Series, reading: Reading, *, column: Column, said: str, where: str) -> pl.Series:
    if series.dtype == pl.String:
        bare = series.str.strip_chars()
        bare = pl.select(pl.when(bare != "").then(bare)).to_series()  # an empty field of a CSV is none
        whole = isinstance(column.element, pl.Int64) and reading.unit != "pounds"
        series = bare.cast(pl.Int64 if whole else pl.Float64, strict=False)
        _refuse(
            series.is_null() & bare.is_not_null(), f"{said} is no {'whole number' if whole else 'number'}", where=where
        )
    if UNITS.get(reading.unit, 1) == 1 or not series.dtype.is_numeric():
        return series
    pence = pl.col(series.name).cast(pl.Float64) * UNITS[reading.unit]
    off, most = (pence - pence.round()).abs(), 2.0**53
    wrong = (off > _PENNY * (1.0 + pence.abs() * 1e-6)) | pence.is_nan() | (pence.abs() > most)
    seen = (off.max() > _PENNY) | pence.is_nan().any() | (pence.abs().max() > most)
    frame = series.to_frame()
    refuse(frame, [Fault(wrong, f"{said} is no whole number of pence", seen)], where=where)
    return frame.select(pence.round().cast(pl.Int64, strict=False)).to_series()


def _numbers(parts: pl.Series, *, said: str, where: str) -> pl.Series:
    """Lists of numbers written as texts; an empty part is one that is not known."""
    read = parts.list.eval(pl.element().filter(pl.element() != "").cast(pl.Float64, strict=False).is_null())
    _refuse(read.list.any(), f"{said} holds what is no number", where=where)
    return parts.list.eval(pl.element().cast(pl.Float64, strict=False))


def _truth(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    if series.dtype == pl.Boolean and not (reading.true or reading.false):
        return series
    words = _text(series, name=said, where=where).cast(pl.String).str.strip_chars()
    true, false = reading.true or _TRUE, reading.false or _FALSE
    if not (reading.true or reading.false):
        words = words.str.to_lowercase()
    known = words.is_in([*true, *false])
    _refuse(~known, f"{said} must be one of {', '.join([*true, *false])}", where=where)
    return words.is_in(list(true))


def _moment(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime("us"))
    if series.dtype == pl.String:
        return _moment_of_text(series, reading, said=said, where=where)
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is None:
        return _placed(series, reading, said=said, where=where)
    return series


def _moment_of_text(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    """Texts with a zone of their own, or in the zone that the map names; some may be of each kind."""
    bare = series.str.strip_chars()
    if reading.format:
        own_zone = "%z" in reading.format
        zone = "UTC" if own_zone else None
        found = bare.str.to_datetime(reading.format, strict=False, time_unit="us", time_zone=zone)
        _refuse(
            found.is_null() & bare.is_not_null() & (bare != ""),
            f"{said} is not written as {reading.format}",
            where=where,
        )
        return found if own_zone else _placed(found, reading, said=said, where=where)
    spelt = bare.str.replace(" ", "T", literal=True).str.replace(r"[Zz]$", "+00:00")
    zoned = spelt.str.contains(r"T.*[+-]\d\d:?\d\d$")
    aware = pl.select(pl.when(zoned).then(spelt)).to_series().str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us", time_zone="UTC"
    )  # fmt: skip
    local = pl.select(pl.when(~zoned).then(spelt)).to_series()
    naive = local.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    naive = naive.fill_null(local.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")))
    unread = aware.is_null() & naive.is_null() & bare.is_not_null() & (bare != "")
    _refuse(unread, f"{said} is no time such as 2026-03-02T09:00:00Z; give its format", where=where)
    if naive.is_null().all():
        return aware
    if not reading.zone and aware.is_not_null().any():
        _refuse(naive.is_not_null(), f"{said} has a time zone in some rows and none in others; give zone in the map "
                "for those, such as Europe/London", where=where)  # fmt: skip
    return aware.fill_null(_placed(naive, reading, said=said, where=where))


def _placed(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    """Times without a zone, in the map's."""
    if not reading.zone:
        raise InvalidTable(f"{said} has no time zone; give zone in the map, such as Europe/London", where=where)
    local = series.cast(pl.Datetime("us"))
    placed = local.dt.replace_time_zone(reading.zone, ambiguous=_AMBIGUOUS[reading.twice], non_existent="null")
    if reading.twice:  # a time that never was is the hour after it
        after = local + timedelta(hours=1)
        placed = placed.fill_null(after.dt.replace_time_zone(reading.zone, ambiguous="earliest", non_existent="null"))
    _refuse(
        placed.is_null() & series.is_not_null(),
        f"{said} falls into the hour of a clock change in {reading.zone}, which comes twice or never: "
        'say so in its column, as { from = "…", clock_change = "earliest" } or "latest", or give it in UTC',
        where=where,
    )
    return placed.dt.convert_time_zone("UTC")


def _day(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    if series.dtype != pl.String:
        return series.dt.date() if isinstance(series.dtype, pl.Datetime) else series
    bare = series.str.strip_chars()
    found = bare.str.to_date(reading.format or "%Y-%m-%d", strict=False)
    wanted = (
        f"is not written as {reading.format}" if reading.format else "is no day such as 2026-03-02; give its format"
    )
    _refuse(found.is_null() & bare.is_not_null() & (bare != ""), f"{said} {wanted}", where=where)
    return found


def _translated(series: pl.Series, reading: Reading, *, said: str, where: str) -> pl.Series:
    theirs = _text(series, name=said, where=where).cast(pl.String)
    _refuse(
        ~theirs.is_in(list(reading.words)),
        f"{said} holds a word that the map does not know; it knows {', '.join(list(reading.words)[:20])}",
        where=where,
    )
    return theirs.replace_strict(dict(reading.words), default=None, return_dtype=pl.String)


def _always(reading: Reading, *, column: Column, where: str) -> pl.Expr:
    value = reading.value
    number = isinstance(column.element, (pl.Int64, pl.Float64)) and isinstance(value, (bool, date))
    if number or isinstance(value, list) != isinstance(column.dtype, pl.List):  # polars would make one of the other
        why = f"{column.name} cannot be {value}, as the map has it; recsys import --describe says what it must be"
        raise InvalidTable(why, where=where)
    if isinstance(value, str) and isinstance(column.element, (pl.Datetime, pl.Date)):
        read = _moment if isinstance(column.element, pl.Datetime) else _day
        one = Reading(reading.column, "from", ("always",), zone=reading.zone)
        value = read(pl.Series([value]), one, said=column.name, where=where)[0]
    if isinstance(value, date) and not isinstance(value, datetime) and isinstance(column.element, pl.Datetime):
        raise InvalidTable(
            f"{column.name} is always a day, and must be a time such as 2026-03-02T09:00:00Z", where=where
        )
    return _same(value, column=column)


def _same(value: Any, *, column: Column) -> pl.Expr:
    """One value in every row, held once."""
    try:
        one = pl.Series(column.name, [value], dtype=column.dtype)
    except (TypeError, pl.exceptions.PolarsError):
        one = pl.Series(column.name, [value])  # a wrong type, for the table's check to refuse
    return pl.lit(one).first().alias(column.name)


def _numbered(n: int, head: str, *, before: int, name: str) -> pl.Series:
    rows = pl.int_range(before + 1, before + n + 1, eager=True).cast(pl.String)
    return (head + rows).alias(name)


def _refuse(bad: pl.Series, why: str, *, where: str) -> None:
    """Raise where any of `bad` is true."""
    bad = bad.fill_null(value=False)
    if bad.any():
        raise InvalidTable(why, where=where, rows=(bad.arg_true() + 1).to_list())
