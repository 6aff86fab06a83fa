"""One app that a file's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service import App, running


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One app that tests share: each uses customers and ids of its own."""
    with running(tmp_path_factory.mktemp("home")) as running_app:
        yield running_app


@pytest.fixture(scope="module")
def decided(app: App) -> dict[str, Any]:
    """A decision with a full slate."""
    app.tell("decided")
    return app.recommend("decided", surface="savings")
