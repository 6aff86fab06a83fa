"""A fresh database on SQLite and on PostgreSQL, for laws that both must keep."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from recsys.clocks import FixedClock
from recsys.database import Database, sqlite_url
from recsys.eventlog import EventLog
from tests.builders import START

SERVER = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")


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
    try:
        with _server() as connection:
            name = f"recsys_{secrets.token_hex(6)}"
            connection.execute(text(f"CREATE DATABASE {name}"))
    except SQLAlchemyError as error:
        reason = f"no PostgreSQL answers at RECSYS_TEST_POSTGRES ({type(error).__name__})"
        if "postgres" in os.environ.get("RECSYS_TEST_REQUIRE", ""):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
        yield Store(url, lambda: _postgres_gone(name))
    finally:
        with _server() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _server() -> Iterator[Connection]:
    url = make_url(SERVER).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _postgres_gone(name: str) -> Iterator[None]:
    with _server() as connection:
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        yield
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))


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
