"""Empty databases on a PostgreSQL server, for tests: each is emptied and used again.

Making and dropping one for every test takes longer than most tests, and much longer on a slow disk: the server writes
out all that it holds each time.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

from tests.extras import missing

SERVER = os.environ.get("RECSYS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
_made: list[str] = []
_free: list[str] = []


@contextmanager
def empty_database() -> Iterator[str]:
    """The URL of a database that nobody else uses meanwhile; skips or fails where no server answers."""
    try:
        server = psycopg.connect(_plain(SERVER), autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        missing("postgres", reason=f"no PostgreSQL answers at RECSYS_TEST_POSTGRES ({type(error).__name__})")
    with server:
        name = _free.pop() if _free else _make(server)
        url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
        try:
            yield url
        finally:
            end_sessions(url)
            _empty(name)
            _free.append(name)


@contextmanager
def gone(url: str) -> Iterator[None]:
    """While this lasts, nobody can reach the database at `url`, and who was connected no longer is."""
    name = make_url(url).database
    assert name in _made
    with psycopg.connect(_plain(SERVER), autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        end_sessions(url)
        try:
            yield
        finally:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def end_sessions(url: str) -> None:
    """Cut every connection to the database at `url`."""
    with psycopg.connect(_plain(SERVER), autocommit=True) as server:
        name = make_url(url).database
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def drop_databases() -> None:
    """When no test will ask any more."""
    if _made:
        with psycopg.connect(_plain(SERVER), autocommit=True) as server:
            while _made:
                server.execute(f"DROP DATABASE {_made.pop()} WITH (FORCE)")


def _make(server: psycopg.Connection) -> str:
    name = f"recsys_{secrets.token_hex(6)}"
    server.execute(f"CREATE DATABASE {name}")
    _made.append(name)
    return name


def _empty(name: str) -> None:
    url = make_url(_plain(SERVER)).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
