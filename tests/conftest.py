"""Shared fixtures: an empty home, and the command line over it, in this process.

Each import of the house costs most of a second, so commands run through `main`, not as processes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from recsys.database import Database, sqlite_url
from serving.cli import main
from serving.settings import Settings
from tests.databases import drop_databases


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one sentence on stderr, below any progress."""
        return self.err.replace("\r", "\n").rstrip().rpartition("\n")[2]


Recsys = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no other setting from outside."""
    for name in [name for name in os.environ if name.startswith("RECSYS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty one in a file; the laws have one of each kind."""
    opened = Database(sqlite_url(tmp_path / "recsys.db")).create()
    yield opened
    opened.close()


@pytest.fixture
def kept_for_ever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of these tests tell of days that grow older: their activities are not too old to keep."""
    terms = home.with_name("terms.toml")
    standard = Settings().retention.read_text(encoding="utf-8")
    terms.write_text(standard.replace('activities = "13mo"', 'activities = "indefinite"'), encoding="utf-8")
    monkeypatch.setenv("RECSYS_RETENTION", str(terms))


@pytest.fixture
def recsys(home: Path, capsys: pytest.CaptureFixture[str]) -> Recsys:
    """Run a command over the home."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it again and again for garbage took a good part of the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    drop_databases()
