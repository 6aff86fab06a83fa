"""What a table is made of: columns with their types, units and bounds, and rules between columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import polars as pl

MOMENT = pl.Datetime("us", "UTC")
LONGEST_ID = 128
LARGEST_PENCE = 10**15
UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Bounds and choices hold for every element where the column is a list.

    `nullable` says what a null means, "" that there may be none; a nullable column may also be left
    out of a file. `gaps` says the same of the elements of a list.
    """

    name: str
    dtype: pl.DataType
    about: str
    unit: str = ""
    nullable: str = ""
    gaps: str = ""
    least: float | None = None
    above: float | None = None  # as `least`, the bound itself left out
    most: float | None = None
    longest: int | None = None  # characters of a text
    choices: tuple[str, ...] = ()

    @property
    def element(self) -> pl.DataType:
        """The type of one value: of an element where the column is a list."""
        inner = self.dtype.inner if isinstance(self.dtype, pl.List) else self.dtype
        return inner if isinstance(inner, pl.DataType) else inner()


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold between the columns of one row: `broken` marks the rows in which it does not."""

    why: str
    broken: pl.Expr

    @property
    def reads(self) -> frozenset[str]:
        """The columns it looks at."""
        return frozenset(self.broken.meta.root_names())


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, its key, and the moment by whose month its files are divided.

    `delivered_again` is for tables that are told at least once: a row may come twice if both say the
    same in every column but `reported_at`.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    by_month: str = ""
    delivered_again: bool = False
    rules: tuple[Rule, ...] = ()

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns by their names."""
        return MappingProxyType({column.name: column for column in self.columns})

    @cached_property
    def schema(self) -> pl.Schema:
        """Names and polars types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})


# -- makers, so that a schema reads as a list of sentences ---------------------------------------


def identifier(name: str, about: str, *, nullable: str = "") -> Column:
    """A text that names something."""
    return Column(name, pl.String(), about, nullable=nullable, longest=LONGEST_ID)


def text(name: str, about: str, *, nullable: str = "", longest: int = 100) -> Column:
    """A text that says something."""
    return Column(name, pl.String(), about, nullable=nullable, longest=longest)


def choice(name: str, about: str, *, choices: tuple[str, ...], nullable: str = "") -> Column:
    """One of a few words."""
    return Column(name, pl.Enum(choices), about, nullable=nullable, choices=choices)


def moment(name: str, about: str, *, nullable: str = "") -> Column:
    """A point in time."""
    return Column(name, MOMENT, about, unit="UTC", nullable=nullable)


def day(name: str, about: str, *, nullable: str = "") -> Column:
    """A calendar day."""
    return Column(name, pl.Date(), about, nullable=nullable)


def pence(name: str, about: str, *, nullable: str = "", least: float = -LARGEST_PENCE) -> Column:
    """Money; never a fraction of a penny."""
    return Column(name, pl.Int64(), about, unit="pence", nullable=nullable, least=least, most=LARGEST_PENCE)


def truth(name: str, about: str, *, nullable: str = "") -> Column:
    """True or false."""
    return Column(name, pl.Boolean(), about, nullable=nullable)


def texts(name: str, about: str, *, nullable: str = "", choices: tuple[str, ...] = ()) -> Column:
    """A list of texts."""
    return Column(name, pl.List(pl.String), about, nullable=nullable, longest=LONGEST_ID, choices=choices)
