"""What tests of the ladder and of steering share: an administrator, and parts to break."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from recsys.keys import Keys, Scope
from tests.service import App, stamp

HOLD = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 120)
    print("held", flush=True)
    sys.stdin.read()
"""


def administer(app: App) -> App:
    """The app with a key "admin"."""
    keys = Keys(app.service.home.database)
    app.keys["admin"] = keys.create(f"admin-{len(keys.all())}", scopes=[Scope.ADMIN])
    return app


def switch(app: App, scope: str, subject: str = "", days: float = 1, **more: Any) -> dict[str, Any]:
    """Turn something off; must succeed."""
    until = stamp(app.clock.now() + timedelta(days=days))
    body = {"scope": scope, "subject": subject, "off": True, "reason": "a drill", "expires_at": until} | more
    answer = app.put("/v1/switches", body, key="admin")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def override(app: App, name: str, action: str, product: str, days: float = 30, **more: Any) -> dict[str, Any]:
    """Pin, ban or boost; must succeed."""
    until = stamp(app.clock.now() + timedelta(days=days))
    body = {"action": action, "product_id": product, "reason": "a season", "expires_at": until} | more
    answer = app.put(f"/v1/overrides/{name}", body, key="admin")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def products_of(told: dict[str, Any]) -> list[str]:
    """What an answer shows, in order."""
    return [slot["product_id"] for slot in told["slate"]]


@contextmanager
def stalled_sqlite(home: Path) -> Iterator[None]:
    """Another process holds the write lock of the database, and does not let go: nothing can be logged."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home / "recsys.db-shm")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


def soon(done: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
