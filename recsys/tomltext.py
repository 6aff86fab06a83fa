"""Canonical TOML: equal values give equal text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any


def written(top: Mapping[str, Any], tables: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The TOML of a top table and of the arrays of tables under it, (header, pairs) in order; None is left out.

    >>> print(written({"version": "1"}, [("surface", {"name": "home", "per_family": None})]), end="")
    version = "1"
    <BLANKLINE>
    [[surface]]
    name = "home"
    """
    lines = _pairs(top)
    for header, pairs in tables:
        lines += ["", f"[[{header}]]", *_pairs(pairs)]
    return "\n".join(lines) + "\n"


def _pairs(pairs: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_literal(value)}" for key, value in pairs.items() if value is not None]


def _literal(value: Any) -> str:
    """A TOML literal; JSON's texts, numbers, truths and lists are TOML's."""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
