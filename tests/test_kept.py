"""The kept reading connection: what breaks under it costs one request, and heals by itself (OPS-2)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, select

from recsys import database as db
from recsys.database import Database, sqlite_url
from recsys.errors import StoreUnavailable
from recsys.keys import Keys
from recsys.prepared import Prepared

BY_NAME = Prepared(select(db.api_keys.c.name).where(db.api_keys.c.name == bindparam("name")))


def test_ops_2_a_store_that_runs_out_of_memory_is_unavailable_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite says so over a damaged file, and Python then raises no database error but MemoryError."""
    database = Database(sqlite_url(tmp_path / "recsys.db")).create()
    Keys(database).create("app", scopes=["recommend"])
    real, broken = Prepared.first, True

    def first(self: Prepared, connection: Connection, values: Mapping[str, Any]) -> Any:
        if broken:
            raise MemoryError
        return real(self, connection, values)

    monkeypatch.setattr(Prepared, "first", first)
    try:
        with pytest.raises(StoreUnavailable):
            database.first(BY_NAME, {"name": "app"})
        with pytest.raises(StoreUnavailable, match="does not answer"):  # at once: nobody waits for it
            database.first(BY_NAME, {"name": "app"})
        broken = False
        assert _answered(database) == "app"
    finally:
        database.close()


def _answered(database: Database) -> str:
    until = time.monotonic() + 10
    while True:
        try:
            return str(database.first(BY_NAME, {"name": "app"}).name)
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
