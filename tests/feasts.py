"""A bank's Feast repository in a test: made by our own command, filled as a bank fills it, on SQLite or Redis."""

from __future__ import annotations

import os
import runpy
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recsys.facts import FACTS
from recsys.vocabulary import CustomerId, FactValue
from serving import feast_definitions
from serving.feast_definitions import CUSTOMER_ID, VIEW
from serving.feature_store_profiles import AS_OF, FactStore
from tests.builders import START
from tests.extras import missing, needed

REDIS = os.environ.get("RECSYS_TEST_REDIS", "127.0.0.1:6379")


@dataclass
class Feast:
    """One repository, with what the bank told it."""

    folder: Path
    store: Any
    facts: FactStore
    _rows: dict[CustomerId, dict[str, Any]] = field(default_factory=dict)
    _tellings: int = 0

    def tells(self, customer: CustomerId, facts: Mapping[str, FactValue], *, as_of: datetime) -> None:
        """One more telling online."""
        self.tell_all({customer: facts}, as_of=as_of)

    def tell_all(self, told: Mapping[CustomerId, Mapping[str, FactValue]], *, as_of: datetime) -> None:
        """The same of many customers at once."""
        self._tellings += 1
        for customer, facts in told.items():
            self._rows.setdefault(customer, {}).update(columns_of(facts, as_of=as_of))
        rows = [row_of(each, self._rows[each], told_at=START + timedelta(seconds=self._tellings)) for each in told]
        self.store.write_to_online_store(VIEW, _frame(rows))

    def history(self, tellings: Sequence[tuple[CustomerId, datetime, Mapping[str, Any]]]) -> None:
        """The whole offline store: (who, when it was told, columns)."""
        _frame([row_of(who, columns, told_at=told) for who, told, columns in tellings]).to_parquet(
            self.folder / "data" / f"{VIEW}.parquet"
        )


def columns_of(facts: Mapping[str, FactValue], *, as_of: datetime) -> dict[str, Any]:
    """The columns by which a store keeps some facts."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    return values | {f"{name}{AS_OF}": as_of for name in facts}


def row_of(customer: CustomerId, columns: Mapping[str, Any], *, told_at: datetime) -> dict[str, Any]:
    """A whole row, empty where nothing is known."""
    names = [column for name in FACTS for column in (name, f"{name}{AS_OF}")]
    return {CUSTOMER_ID: str(customer), "told_at": told_at} | {name: columns.get(name) for name in names}


def _frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    pd = needed("pandas", extra="feast")
    frame = pd.DataFrame(rows)
    for column in (each for each in frame.columns if each.endswith(AS_OF)):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return frame


@contextmanager
def feast_on(kind: str, *, folder: Path, address: str = REDIS) -> Iterator[Feast]:
    """A repository whose online store is "sqlite" or "redis"."""
    if kind == "redis":
        _reached(address)
    store = feast_with(folder, redis=f"{address},db=9" if kind == "redis" else None)
    door = needed("serving.feast_store", extra="feast")
    try:
        yield Feast(folder, store, door.FeastFacts(folder))
    finally:
        store.teardown()


def feast_with(folder: Path, *, redis: str | None = None, changed: tuple[str, str] = ("", "")) -> Any:
    """Feast's own view of a repository whose definitions are in force, perhaps with one change to their text."""
    feast = needed("feast", extra="feast")
    feast_definitions.write(folder, redis=redis)
    # a Redis is shared with others: our keys have a name of their own
    settings, definitions = folder / "feature_store.yaml", folder / "definitions.py"
    settings.write_text(settings.read_text().replace("project: recsys", f"project: test_{secrets.token_hex(4)}"))
    definitions.write_text(definitions.read_text().replace(*changed))
    made = runpy.run_path(str(definitions))
    store = feast.FeatureStore(repo_path=str(folder))
    store.apply([made["customer"], made[VIEW]])
    return store


def _reached(address: str) -> None:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        missing("redis", reason=f"no Redis answers at RECSYS_TEST_REDIS ({address})")
