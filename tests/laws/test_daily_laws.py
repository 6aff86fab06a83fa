"""Laws of daily sums on every database: what is summed in parts equals what is summed at once."""

from __future__ import annotations

from pathlib import Path

from recsys import daily
from recsys.database import Database
from tests.laws.conftest import Store
from tests.test_daily import everything, fed, lived, opened


def test_parts_add_up_to_the_whole(store: Store, tmp_path: Path) -> None:
    log = lived(60)
    database = Database(store.url).create()
    for stop in (20, 21, 90, log[-1].position):
        fed(database, log, upto=stop)
    whole = opened(tmp_path / "whole")
    fed(whole, log, upto=log[-1].position)
    assert everything(database) == everything(whole)
    assert daily.over_days(database, "shown", since=daily._EPOCH, until=log[-1].body.made_at.date())  # type: ignore[union-attr]
    database.close()
