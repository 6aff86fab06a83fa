"""Extras that a test needs: it skips where one is missing, or fails where RECSYS_TEST_REQUIRE names it."""

from __future__ import annotations

import importlib
import os
from typing import Any

import pytest


def needed(module: str, *, extra: str) -> Any:
    """The module of an extra."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing(extra, reason=f"{module} is not installed: pip install 'recsys[{extra}]'")


def missing(what: str, *, reason: str) -> None:
    """Skip, or fail where it must be there."""
    if what in os.environ.get("RECSYS_TEST_REQUIRE", ""):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)
