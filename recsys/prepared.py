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
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.sql.expression import Executable

Values = Mapping[str, Any]
Shape = Callable[[Values], Any]


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

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Execute once for each row of values."""
        sql, shaped = self._for(connection.dialect)
        with _errors(connection.dialect, sql):
            cursor: Any = connection.connection.cursor()
            try:
                cursor.executemany(sql, [shaped(row) for row in rows])
            finally:
                cursor.close()

    def _for(self, dialect: Dialect) -> tuple[str, Shape]:
        ready = self._ready.get(dialect.name)
        if ready is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined]
            ready = self._ready[dialect.name] = (str(compiled), _shape(compiled))
        return ready


def _maker(names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    made: Any = namedtuple("Row", names)  # type: ignore[misc]
    maker: Callable[[Sequence[Any]], Any] = made._make
    return maker


def _shape(compiled: Any) -> Shape:
    """How values by name become what the driver takes: a tuple in order, or a mapping."""
    if not compiled.positional:
        return dict
    names: list[str] = compiled.positiontup
    if len(names) == 1:
        return lambda values: (values[names[0]],)
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
