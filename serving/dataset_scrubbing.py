"""Taking a forgotten person out of the datasets that were made of the log (ERS-1).

Their interactions, lessons and rounds go, their events keep what the log keeps of them. What is left is a new
version, which takes the place of the old one; whoever names the old one is led to it.
"""

from __future__ import annotations

import shutil
import time
from io import BytesIO
from pathlib import Path

import polars as pl

from recsys import artefacts, records
from recsys.artefacts import Artefact
from recsys.errors import Corrupt
from recsys.frozenlog import EVENTS, FrozenLog
from serving.datasets import FOLDER, TABLES, forward, parquet, versions

_OWN = ("interactions", "lessons", "rounds")
_DEAD_SECONDS = 600.0  # a dataset is staged for seconds; older is what a killed process left


def scrubbed(root: Path, *, token: str) -> tuple[int, int, list[str]]:
    """Take a person out of every version of every dataset: (rewritten, looked at, folders that cannot be read)."""
    rewritten, looked_at, damaged = 0, 0, list[str]()
    for home in sorted(path for path in (root / FOLDER).glob("*") if path.is_dir()):
        _tidy(home)
        for digest in versions(root, home.name):
            looked_at += 1
            try:
                rewritten += _without(artefacts.read(root / FOLDER, home.name, digest), root=root, token=token)
            except Corrupt:
                damaged.append(str(home / digest))
    return rewritten, looked_at, damaged


def _without(version: Artefact, *, root: Path, token: str) -> bool:
    """Rewrite one version where the person is in it."""
    tables = {name: pl.read_parquet(BytesIO(version.file(f"{name}.parquet"))) for name in TABLES}
    if not any((tables[name]["token"] == token).any() for name in (*_OWN, "events")):
        return False
    tables |= {name: tables[name].filter(pl.col("token") != token) for name in _OWN}
    before = tables["events"]
    tables["events"] = pl.DataFrame(
        [_nobodys(row) if row["token"] == token else row for row in before.to_dicts()], schema=EVENTS
    )
    if all(tables[name].height == version.manifest[name] for name in _OWN) and tables["events"].equals(before):
        return False  # done before
    log = FrozenLog(tables["events"], parts=tables["parts"])
    told = {key: value for key, value in version.manifest.items() if key not in ("files", "name")}
    told |= {name: table.height for name, table in tables.items()} | {
        "log_digest": log.digest(until=log.last_position())
    }
    files = {f"{name}.parquet": parquet(table) for name, table in tables.items()}
    forward(root, version.name, old=version.digest, files=files, manifest=told)
    return True


def _nobodys(row: dict[str, object]) -> dict[str, object]:
    """An event as the log keeps it of somebody forgotten."""
    position = row["position"]
    assert isinstance(position, int)
    changed = records.without_person(str(row["kind"]), str(row["text"]), position=position, key=str(row["key"]))
    return row | (changed or {})


def _tidy(home: Path) -> None:
    """Remove what killed processes left half-written or half-removed."""
    for path in home.glob(".gone-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in home.glob(".staged-*"):
        if time.time() - path.stat().st_mtime > _DEAD_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
