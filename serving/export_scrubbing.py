"""Taking a forgotten person out of what was exported (ERS-1)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recsys.records import nameless
from serving.exporting import parquet, put


def scrubbed(path: Path, *, token: str) -> bool:
    """Take the person out of one file of outcomes, as exporting that day again would; whether they were there."""
    frame = pl.read_parquet(path, hive_partitioning=False)
    if not (frame["token"] == token).any():
        return False
    rows = frame.to_dicts()
    for row in rows:
        if row["token"] == token:
            row |= {"outcome_id": nameless(row["position"]), "amount_pence": None}
    return put(path, parquet("outcomes", rows))
