"""Statements of the hot path, made ready for the driver once.

SQLAlchemy works out anew, at each execution, how values become the driver's and how the driver's rows
become values. For the few statements that run for every request this costs more than the database
does, so they are compiled once a dialect and handed to the driver as they are, inside whatever
transaction SQLAlchemy has begun. Columns must hold what the driver takes without conversion: texts,
whole numbers, bytes.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, String, bindparam, select
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql.expression import Executable

T = TypeVar("T")
Values = Mapping[str, Any]
Shape = Callable[[Values], Any]
_MOST_TOGETHER = 64  # rows in one statement


class Prepared:
    """One statement, built once; every value is given by name. Raises `SQLAlchemyError` as any statement does."""

    def __init__(self, statement: Executable, *, columns: Iterable[str] | None = None) -> None:
        """`columns` are those that an insert fills or an update sets, where the statement does not say."""
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._ready: dict[str, tuple[str, Shape]] = {}
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def first(self, connection: Connection, values: Values) -> Any:
        """The first row that a query finds, its columns by name; None where it finds none."""
        sql, shaped = self._for(connection.dialect)
        with _errors(connection.dialect, sql):
            cursor: Any = connection.connection.cursor()
            try:
                cursor.execute(sql, shaped(values))
                found = cursor.fetchone()
                if self._row is None:
                    self._row = _maker([each[0] for each in cursor.description])
            finally:
                cursor.close()
        return None if found is None else self._row(found)

    def all(self, connection: Connection, values: Values) -> list[Any]:
        """Every row that a query finds, its columns by name."""
        sql, shaped = self._for(connection.dialect)
        with _errors(connection.dialect, sql):
            cursor: Any = connection.connection.cursor()
            try:
                cursor.execute(sql, shaped(values))
                found = cursor.fetchall()
                if self._row is None:
                    self._row = _maker([each[0] for each in cursor.description])
            finally:
                cursor.close()
        return [self._row(each) for each in found]

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Execute once for each row of values.

        Rows that SQLite inserts go in together: it lets go of the interpreter at every step, and waiting for that
        costs more than the row.
        """
        sql, shaped = self._for(connection.dialect)
        insert, mark, places = sql.partition(" VALUES ")
        together = connection.dialect.name == "sqlite" and mark and sql.startswith("INSERT") and places.endswith("?)")
        with _errors(connection.dialect, sql):
            cursor: Any = connection.connection.cursor()
            try:
                if not together:
                    cursor.executemany(sql, [shaped(row) for row in rows])
                    return
                for part in _powers_of_two(rows):
                    values = chain.from_iterable(shaped(row) for row in part)
                    cursor.execute(f"{insert} VALUES {', '.join([places] * len(part))}", tuple(values))
            finally:
                cursor.close()

    def _for(self, dialect: Dialect) -> tuple[str, Shape]:
        ready = self._ready.get(dialect.name)
        if ready is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined]
            ready = self._ready[dialect.name] = (str(compiled), _shape(compiled))
        return ready


class Among:
    """A query about several rows at once, built once for each power of two of them: `make(n)` tells of n."""

    def __init__(self, make: Callable[[int], Executable], *, names: Sequence[str], padding: Sequence[Any]) -> None:
        """A row has a value for each of `names`, bound as `name_0` and so on; `padding` is one that finds nothing."""
        self._make = make
        self._names = names
        self._padding = padding
        self._sized: dict[int, Prepared] = {}

    def all(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """What is found of all the rows."""
        found: list[Any] = []
        for start in range(0, len(rows), _MOST_TOGETHER):
            part = rows[start : start + _MOST_TOGETHER]
            size = 1 << (len(part) - 1).bit_length()
            statement = self._sized.get(size)
            if statement is None:
                statement = self._sized[size] = Prepared(self._make(size))
            padded = [*part, *[self._padding] * (size - len(part))]
            named = {
                f"{name}_{n}": value
                for n, row in enumerate(padded)
                for name, value in zip(self._names, row, strict=True)
            }
            found += statement.all(connection, named)
        return found


def among(column: Any, *columns: Any) -> Among:
    """A query for the rows with one of several texts in `column`, which no row has empty; gives it and `columns`."""

    def make(n: int) -> Executable:
        return select(column, *columns).where(column.in_([bindparam(f"text_{i}", type_=String) for i in range(n)]))

    return Among(make, names=("text",), padding=("",))


def _powers_of_two(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """All of them in order, so many at a time that there are few different numbers of them."""
    start = 0
    while start < len(rows):
        size = min(1 << (len(rows) - start).bit_length() - 1, _MOST_TOGETHER)
        yield rows[start : start + size]
        start += size


def _maker(names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    made: Any = namedtuple("Row", names)  # type: ignore[misc]
    maker: Callable[[Sequence[Any]], Any] = made._make
    return maker


def _shape(compiled: Any) -> Shape:
    """How values by name become what the driver takes: a tuple in order, or a mapping."""
    if not compiled.positional:
        return dict
    names: list[str] = compiled.positiontup
    if len(names) < 2:
        return lambda values: tuple([values[name] for name in names])
    return itemgetter(*names)


@contextmanager
def _errors(dialect: Dialect, sql: str) -> Iterator[None]:
    """The driver's errors as SQLAlchemy's, without values.

    SQLite runs out of memory over a file that claims pages of any number.
    """
    driver: Any = dialect.loaded_dbapi
    try:
        yield
    except MemoryError as error:
        raise OperationalError(sql, None, error) from error
    except driver.Error as error:
        raise DBAPIError.instance(sql, None, error, driver.Error, dialect=dialect) from error
