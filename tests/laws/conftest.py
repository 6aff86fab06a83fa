"""A fresh database on SQLite and on PostgreSQL, for laws that both must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.clocks import FixedClock
from recsys.database import Database, sqlite_url
from recsys.eventlog import EventLog
from tests.builders import START
from tests.databases import empty_database, gone


@dataclass(frozen=True)
class Store:
    """One fresh database, and a way to make it unreachable for a while."""

    url: str
    gone: Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield _sqlite_store(tmp_path / "home")
        return
    with empty_database() as url:
        yield Store(url, lambda: gone(url))


def _sqlite_store(home: Path) -> Store:
    @contextmanager
    def gone() -> Iterator[None]:
        away = home.with_name("away")
        home.rename(away)
        yield
        away.rename(home)

    return Store(sqlite_url(home / "recsys.db"), gone)


@pytest.fixture
def database(store: Store) -> Iterator[Database]:
    opened = Database(store.url).create()
    yield opened
    opened.close()


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database, clock=FixedClock(START))


@pytest.fixture
def other(store: Store, database: Database) -> Iterator[EventLog]:
    """The same log through another process's eyes: its own connections."""
    opened = Database(store.url)
    yield EventLog(opened, clock=FixedClock(START))
    opened.close()
