"""Parquet page by page, where one row group is larger than memory allows.

polars holds a whole row group of the asked columns, which is faster where row groups are of the usual size.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from pyarrow import ArrowException as Damaged  # type: ignore[import-untyped]
from pyarrow import parquet

__all__ = ["WHOLE_BYTES", "Damaged", "largest_group", "page_by_page"]

WHOLE_BYTES = 256 << 20
"""A row group up to this size, decompressed, is read whole."""

_BUFFER = 1 << 20


def largest_group(path: Path) -> int:
    """Bytes of the largest row group, decompressed. Raises `Damaged` or `OSError` where it cannot be read."""
    found = parquet.read_metadata(path)
    return max((found.row_group(number).total_byte_size for number in range(found.num_row_groups)), default=0)


def page_by_page(path: Path, *, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
    """The asked columns, at most `size` rows at a time; raises as `largest_group` does."""
    with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=size, columns=columns):
            yield pl.DataFrame(batch).select(columns)
