"""A browser and a bank to look at: Debian's Chromium through playwright, against a server in this process.

Where the browser or its Python side is missing the tests skip, or fail where RECSYS_TEST_REQUIRE names chromium.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import uvicorn

from recsys.clocks import FixedClock
from recsys.entries import Entry
from recsys.keys import Keys, Scope
from recsys.vocabulary import Body
from serving.app import create_app
from serving.bootstrap import Installation, compose, serve
from serving.settings import Settings
from tests.builders import START
from tests.service import apply_products

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
SCOPES = (Scope.ANALYSE, Scope.AUDIT, Scope.STEER, Scope.APPROVE, Scope.ADMIN)


def missing(why: str) -> NoReturn:
    """Skip, or fail where the browser is required."""
    if "chromium" in os.environ.get("RECSYS_TEST_REQUIRE", ""):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, without a window. No wider: while it is open, nothing else may run an event loop in this thread."""
    if not Path(CHROMIUM).exists():
        missing("Chromium is not installed (Debian's package chromium)")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415  an extra
    except ImportError:
        missing("playwright is not installed (pip install -e '.[dev]')")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, from the package that carries it."""
    try:
        from axe_playwright_python.base import AXE_SCRIPT  # noqa: PLC0415  an extra
    except ImportError:
        missing("axe-playwright-python is not installed (pip install -e '.[dev]')")
    return str(AXE_SCRIPT)


@dataclass
class Bank:
    """A server to look at, with its clock and its log in the test's hands."""

    url: str
    home: Installation
    clock: FixedClock
    refresh: Callable[[], None]

    def key(self, name: str, *scopes: Scope) -> str:
        """A new key's secret."""
        return Keys(self.home.database).create(name, scopes=[*scopes])

    def log(self, bodies: list[Body]) -> None:
        """Write down what happened now."""
        self.home.log.append([Entry(body) for body in bodies])


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Bank]:
    """A bank over a new home, on a port of its own."""
    apply_products(folder)
    clock = FixedClock(START)
    given = {"holdout_share": 0.0, "uniform_share": 0.0, "mlflow_page": "http://127.0.0.1:9"} | settings
    service = serve(compose(Settings(home=folder, **given), clock=clock))
    config = uvicorn.Config(
        create_app(service), host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="on"
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Bank(f"http://127.0.0.1:{port}", service.home, clock, service.refresh)
    finally:
        server.should_exit = True
        thread.join(30)
