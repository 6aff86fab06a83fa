"""Rows of a bank's own files and databases, some at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import polars as pl
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.imports import csvs, parquet
from recsys.imports.mapfile import Source

SIZE = 1 << 18
"""Rows held at a time."""


def read(source: Source, *, columns: list[str], size: int = SIZE) -> Iterator[tuple[str, int, pl.DataFrame]]:
    """(the file's name, rows of it before these, the rows) of the asked columns, in order.

    CSV comes as texts. Raises `InvalidTable` for what cannot be read or lacks a column.
    """
    if source.sql:
        yield from _queried(source, columns=columns, size=size)
        return
    for path in source.files:
        with _readable(path, separator=source.separator):
            before = 0
            for frame in _batches(path, separator=source.separator, columns=columns, size=size):
                for start in range(0, frame.height, size):
                    part = frame.slice(start, size)
                    yield path.name, before, part
                    before += part.height


def _batches(path: Path, *, separator: str, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
    packed = path.suffix.lower() == ".parquet"
    rows = pl.scan_parquet(path) if packed else pl.scan_csv(path, infer_schema=False, separator=separator)
    _needs(columns, known=rows.collect_schema().names(), where=path.name)
    if not packed:
        csvs.check_end(path, separator=separator)
    elif parquet.largest_group(path) > parquet.WHOLE_BYTES:
        return parquet.page_by_page(path, columns=columns, size=size)
    return iter(rows.select(columns).collect_batches(chunk_size=size, maintain_order=True))


def _queried(source: Source, *, columns: list[str], size: int) -> Iterator[tuple[str, int, pl.DataFrame]]:
    url = source.url or os.environ.get(source.url_from, "")
    if not url:
        raise InvalidConfiguration(f"the environment holds no {source.url_from}, which names the database")
    before = 0
    if url.startswith("bigquery:"):
        for frame in _of_bigquery(url, source.sql, columns=columns, size=size):
            yield source.name, before, frame
            before += frame.height
        return
    try:
        engine = create_engine(url)
        with engine.connect().execution_options(stream_results=True, max_row_buffer=size) as connection:
            frames = pl.read_database(
                text(source.sql), connection, iter_batches=True, batch_size=size, infer_schema_length=size
            )
            for frame in frames:
                _needs(columns, known=frame.columns, where=source.name)
                yield source.name, before, frame.select(columns)
                before += frame.height
        engine.dispose()
    except (SQLAlchemyError, pl.exceptions.PolarsError, ModuleNotFoundError) as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        raise InvalidTable(f"cannot be read from the database ({kind})", where=source.name) from None


def _of_bigquery(url: str, sql: str, *, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
    try:
        bigquery = import_module("recsys.imports.bigquery")
    except ModuleNotFoundError:
        raise InvalidConfiguration("BigQuery needs its client: pip install 'recsys[bigquery]'") from None
    found: Iterator[pl.DataFrame] = bigquery.rows(bigquery.client_of(url), sql, columns=columns, size=size)
    return found


def _needs(columns: list[str], *, known: list[str], where: str) -> None:
    if missing := [name for name in columns if name not in known]:
        said = f"column{'s' * (len(missing) > 1)} {', '.join(missing)}"
        raise InvalidTable(f"has no {said}; it has {', '.join(known[:40])}", where=where)


@contextmanager
def _readable(path: Path, *, separator: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, parquet.Damaged) as error:
        if path.suffix.lower() != ".parquet" and not isinstance(error, OSError):
            raise csvs.refusal(path, separator=separator, error=error) from None
        raise InvalidTable(f"cannot be read: {str(error).splitlines()[0][:200]}", where=path.name) from None
