"""An import map: where a bank's own tables lie, and what stands in their columns.

    zone = "Europe/London"                      # of times that carry none

    [customers]
    from = "households.parquet"                 # Parquet or CSV, one file or a pattern; or sql = "select …"
    [customers.columns]
    customer_id = "household_id"                                    # as it stands there
    as_of = { always = 2026-01-01T00:00:00Z }                       # the same in every row
    balance_pence = { from = "balance", unit = "pounds" }
    joined_on = { from = "opened", format = "%d/%m/%Y" }            # times may also say their own zone, or clock_change
    in_app = { from = "marketing", true = ["Y"], false = ["N"] }
    status = { from = "state", words = { A = "active", D = "dormant" } }
    held = { from = "products", split = ";" }
    employment = { from = "job", missing = "unemployed" }           # stands for what is missing, in our words and units
    [activity.columns]
    activity_id = { join = ["basket_id", "product_id"], by = "/" }  # or { row = "tx" }: its place in the source

Tables and columns of ours are those of `recsys.tables`. A file is read whole or refused with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from recsys import tomls
from recsys.catalogue import Surface
from recsys.errors import InvalidConfiguration
from recsys.facts import nearest
from recsys.tables import ACTIVITY, CREATIVES, CUSTOMERS, DECISIONS, OUTCOMES, PRODUCTS, Table

IMPORTED: Mapping[str, Table] = MappingProxyType(
    {table.name: table for table in (PRODUCTS, CREATIVES, CUSTOMERS, ACTIVITY, DECISIONS, OUTCOMES)}
)
"""What can be imported, in the order in which it is taken in."""

UNITS: Mapping[str, int] = MappingProxyType({"pence": 1, "pounds": 100})
TWICE = ("earliest", "latest")
_FORMS = ("from", "always", "join", "row")
_FORMATS = (".parquet", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from: files, in order, or a query of a database."""

    name: str  # as complaints call it
    files: tuple[Path, ...] = ()
    separator: str = ","
    sql: str = ""
    url: str = ""  # of the database
    url_from: str = ""  # the environment variable that holds it, so that no password stands in a file


@dataclass(frozen=True, slots=True)
class Reading:
    """How one column of ours is read from theirs."""

    column: str
    form: str  # one of _FORMS
    theirs: tuple[str, ...] = ()
    value: Any = None  # of "always", what stands where "from" is missing, and the beginning of ids of "row"
    by: str = "-"
    unit: str = ""
    zone: str = ""
    twice: str = ""  # which is meant of a local time that comes twice as clocks change: one of TWICE, "" refuses
    format: str = ""  # of days and times written as texts, as strptime names it
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    true: tuple[str, ...] = ()
    false: tuple[str, ...] = ()
    split: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """One table of ours, and how it is read."""

    table: Table
    source: Source
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class ImportMap:
    """A whole file. `surfaces` are those of the catalogue that is made of `products`."""

    name: str
    tables: tuple[Mapped, ...]
    surfaces: tuple[Surface, ...] = ()

    def of(self, table: Table) -> Mapped | None:
        """How one table is read, None where it is not imported."""
        return next((each for each in self.tables if each.table is table), None)


def load(path: Path) -> ImportMap:
    """Read a map; raises `InvalidConfiguration` with the line, also where no file lies at its place."""
    top = tomls.document(tomls.read_text(path, error=InvalidConfiguration), where=path.name, error=InvalidConfiguration)
    zone = _zone(top, default="")
    surfaces = tuple(_surface(row, top=top) for row in top.tables("surface"))
    found = []
    for name, table in IMPORTED.items():
        if name in top.row:
            row: dict[str, Any] = top.take(name, dict, f"a table headed [{name}]")
            found.append(_mapped(row, table=table, top=top, zone=zone, folder=path.parent))
    if top.row:
        key = next(iter(top.row))
        raise top.fail(f"there is no table {key}{nearest(key, among=IMPORTED)}; choose {', '.join(IMPORTED)}", key=key)
    if not found:
        raise top.fail(f"maps no table; add one of {', '.join(f'[{name}]' for name in IMPORTED)}")
    made = ImportMap(path.name, tuple(found), surfaces)
    if made.of(PRODUCTS) and not surfaces:
        raise top.fail("maps products but describes no surface they may appear on; add a [[surface]]")
    if made.of(CREATIVES) and not made.of(PRODUCTS):
        raise top.fail("maps creatives without products, which they belong to; add [products]")
    return made


def _mapped(row: Mapping[str, Any], *, table: Table, top: tomls.Table, zone: str, folder: Path) -> Mapped:
    told = top.inside(row, what=table.name)
    zone = _zone(told, default=zone)
    source = _source(told, folder=folder)
    columns: dict[str, Any] = told.take("columns", dict, f"a table headed [{table.name}.columns]")
    inner = told.inside(columns, what="columns")
    told.done()
    for name in columns:
        if name not in table.by_name:
            hint = nearest(name, among=table.by_name)
            raise inner.fail(
                f"{table.name} has no column {name}{hint or '; it has ' + ', '.join(table.by_name)}", key=name
            )
    readings = tuple(_reading(name, said, inner=inner, zone=zone) for name, said in columns.items())
    return Mapped(table, source, readings)


def _source(told: tomls.Table, *, folder: Path) -> Source:
    if ("from" in told.row) == ("sql" in told.row):
        raise told.fail('names no source, or two: give from = "a file or a pattern", or sql = "select …" and its url')
    if "sql" in told.row:
        if ("url" in told.row) == ("url_from" in told.row):
            raise told.fail(
                'sql needs url = "postgresql://…", or url_from = "A_VARIABLE" of the environment', key="sql"
            )
        url, url_from = ("url", "") if "url" in told.row else ("", "url_from")
        return Source(
            "the query", sql=told.text("sql"), url=told.text(url) if url else "",
            url_from=told.text(url_from) if url_from else "",
        )  # fmt: skip
    pattern = told.text("from")
    place = Path(pattern).expanduser()
    root, relative = (Path(place.anchor), str(place.relative_to(place.anchor))) if place.is_absolute() else (
        folder, str(place))  # fmt: skip
    files = sorted(path for path in root.glob(relative) if path.is_file())
    if not files:
        raise told.fail(f"there is no file {pattern}", key="from")
    kinds = {path.suffix.lower() for path in files}
    if len(kinds) > 1 or not kinds <= set(_FORMATS):
        raise told.fail(f"{pattern} must be files of one kind: {', '.join(_FORMATS)}", key="from")
    separator = told.text("separator") if "separator" in told.row else "\t" if kinds == {".tsv"} else ","
    if len(separator) != 1:
        raise told.fail("separator must be one character", key="separator")
    return Source(pattern, files=tuple(files), separator=separator)


def _reading(name: str, said: Any, *, inner: tomls.Table, zone: str) -> Reading:
    if isinstance(said, str):
        return Reading(name, "from", (said,), zone=zone)
    if not isinstance(said, dict):
        raise inner.fail(f"{name} must be a column's name, or a table such as {{ always = … }}", key=name)
    told = inner.inside(said, what=name)
    forms = [form for form in _FORMS if form in told.row]
    if len(forms) != 1:
        raise told.fail(f"needs one of {', '.join(_FORMS)}")
    zone = _zone(told, default=zone)
    match forms[0]:
        case "always":
            made = Reading(name, "always", value=_value("always", zone=zone, told=told))
        case "join":
            theirs = told.texts("join")
            made = Reading(name, "join", theirs, by=told.text("by") if "by" in told.row else "-")
        case "row":
            made = Reading(name, "row", value=told.text("row"))
        case _:
            theirs = (told.text("from"),)
            unit = told.choice("unit", tuple(UNITS)) if "unit" in told.row else ""
            words: Mapping[str, str] = told.take("words", dict, "a table of their words and ours", default={})
            if not all(isinstance(word, str) for word in words.values()):
                raise told.fail("words must be a table of texts", key="words")
            texts = {key: told.text(key) if key in told.row else "" for key in ("format", "split")}
            twice = told.choice("clock_change", TWICE) if "clock_change" in told.row else ""
            true, false = told.texts("true", ()), told.texts("false", ())
            if set(true) & set(false):
                raise told.fail("true and false share a word")
            missing = _value("missing", zone=zone, told=told) if "missing" in told.row else None
            made = Reading(
                name, "from", theirs, missing, unit=unit, zone=zone, twice=twice, words=words, true=true, false=false,
                **texts,
            )  # fmt: skip
    told.done()
    return made


def _value(key: str, *, zone: str, told: tomls.Table) -> Any:
    value = told.row.pop(key)
    if isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(v, str) for v in value)):
        raise told.fail(f"{key} must be one value, or a list of texts", key=key)
    if isinstance(value, datetime) and value.tzinfo is None:
        if not zone:
            raise told.fail(f"{key} is a time without a zone; write it as 2026-03-02T09:00:00Z, or give zone")
        return value.replace(tzinfo=ZoneInfo(zone))
    return value


def _zone(told: tomls.Table, *, default: str) -> str:
    if "zone" not in told.row:
        return default
    name = told.text("zone")
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise told.fail(f"there is no time zone {name}; write it as Europe/London", key="zone") from None
    return name


def _surface(row: Mapping[str, Any], *, top: tomls.Table) -> Surface:
    told = top.inside(row, what="surface")
    null_allowed: bool = told.take("null_allowed", bool, "true or false", default=True)
    surface = Surface(
        told.text("name"), told.whole("max_slots", least=1, default=3), null_allowed,
        told.whole("per_family", least=1, default=2),
    )  # fmt: skip
    told.done()
    return surface
