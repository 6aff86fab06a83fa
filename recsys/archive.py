"""Old decisions outside the database: their texts in Parquet, a file a stretch of positions.

    archive/000000000001-000000004711.parquet

A row of the log stays where it is, with its position, key, digest and token, so that everything that looks a
decision up still finds it; only its text, nearly all of its size, lies here. A row whose text is empty has it in the
archive, and the row's digest says whether what is found is what was written. `recsys/compaction.py` moves texts here,
and takes out again what was forgotten or has been kept long enough.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys.artefacts import digest_of, sync_directory
from recsys.errors import Corrupt
from recsys.frozenlog import EVENTS

_KEPT = 4  # files whose texts are at hand: whoever reads in order opens each once
_DEAD_SECONDS = 600.0  # a file is staged for seconds; older is what a killed process left


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file, and the positions between which its decisions lie."""

    first: int
    last: int
    path: Path

    def rows(self) -> pl.DataFrame:
        """What it holds; raises `Corrupt` where it cannot be read."""
        try:
            return pl.read_parquet(self.path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise Corrupt(f"the archive's file {self.path.name} cannot be read ({type(error).__name__})") from None

    def count(self) -> int:
        """How many rows it holds, from its footer alone; -1 where it cannot be read."""
        try:
            return int(pl.scan_parquet(self.path).select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError):
            return -1


class Archive:
    """The archived texts under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._texts: OrderedDict[Path, dict[int, str]] = OrderedDict()

    def text(self, position: int, *, digest: str) -> str:
        """The text of the decision at a position; raises `Corrupt` where it is missing or not what was written."""
        for texts in list(self._texts.values()):
            if digest_of(texts.get(position, "")) == digest:
                return texts[position]
        for segment in segments(self._folder):
            if segment.first <= position <= segment.last:
                text = self._read(segment).get(position, "")
                if digest_of(text) == digest:
                    return text
        raise Corrupt(
            f"the decision at position {position} was archived, and {self._folder} does not hold it as it was written: "
            "put the folder back from a backup"
        )

    def _read(self, segment: Segment) -> dict[int, str]:
        rows = segment.rows()
        texts = dict(zip(rows["position"].to_list(), rows["text"].to_list(), strict=True))
        self._texts[segment.path] = texts
        if len(self._texts) > _KEPT:
            self._texts.popitem(last=False)
        return texts


def segments(folder: Path) -> list[Segment]:
    """The files there are, by position."""
    return sorted(_segment(path) for path in folder.glob("[0-9]*-[0-9]*.parquet"))


def written(folder: Path, rows: Sequence[dict[str, Any]]) -> Segment:
    """Write rows, in order, as one file: whole, or not at all; durable on return."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{rows[0]['position']:012}-{rows[-1]['position']:012}.parquet"
    put(path, pl.DataFrame(list(rows), schema=EVENTS, orient="row"))
    return _segment(path)


def put(path: Path, frame: pl.DataFrame) -> None:
    """Put a frame in the place of a file."""
    handle, staged = tempfile.mkstemp(prefix=".staged-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        frame.write_parquet(file, compression="zstd", statistics=False)
        file.flush()
        os.fsync(file.fileno())
    Path(staged).replace(path)
    sync_directory(path.parent)


def tidy(folder: Path) -> None:
    """Remove what killed processes left half-written."""
    for path in folder.glob(".staged-*"):
        if time.time() - path.stat().st_mtime > _DEAD_SECONDS:
            path.unlink(missing_ok=True)


def _segment(path: Path) -> Segment:
    first, _, last = path.stem.partition("-")
    return Segment(int(first), int(last), path)
