"""Laws of errors: each survives the way from one process to another with all that it knows."""

from __future__ import annotations

import ast
import builtins
import copy
import importlib
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InvalidTable

ROOT = Path(__file__).parents[2]
ARGUMENTS: dict[str, Any] = {  # annotation → a value that its default, if any, is not
    "str": "said", "object": 2.0, "float": 0.25, "float | None": 0.5, "int": 9, "Sequence[int]": [3, 1],
    "tuple[str | int, ...]": ("slate", 1),
}  # fmt: skip


def kinds() -> list[tuple[str, str]]:
    """(module, name) of every exception that the project defines, found in its source."""
    classes = [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), node.name, {ast.unparse(each) for each in node.bases})
        for floor in ("recsys", "embeddings", "bandits", "serving")
        for path in sorted((ROOT / floor).rglob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.bases
    ]
    known = {
        name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)
    }
    while more := {name for _, name, bases in classes if bases & known} - known:
        known |= more
    return [(module, name) for module, name, _ in classes if name in known]


def made(kind: type[BaseException]) -> BaseException:
    """One of a kind, with something in every argument."""
    if "__init__" not in {name for each in kind.__mro__ if each.__module__ != "builtins" for name in vars(each)}:
        return kind("said")
    asked = [each for each in inspect.signature(kind).parameters.values() if each.name != "self"]
    plain = [ARGUMENTS[str(each.annotation)] for each in asked if each.kind is not each.KEYWORD_ONLY]
    named = {each.name: ARGUMENTS[str(each.annotation)] for each in asked if each.kind is each.KEYWORD_ONLY}
    return kind(*plain, **named)


def survives_pickling(error: BaseException) -> BaseException:
    again: BaseException = pickle.loads(pickle.dumps(error))
    return again


def survives_copying(error: BaseException) -> BaseException:
    return copy.copy(error)


@pytest.mark.parametrize(("module", "name"), kinds())
@pytest.mark.parametrize("way", [survives_pickling, survives_copying])
def test_laws_of_errors(module: str, name: str, way: Callable[[BaseException], BaseException]) -> None:
    kind: type[BaseException] = getattr(importlib.import_module(module), name)
    error = made(kind)
    again = way(error)
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_fault_of_a_table_arrives_with_its_rows() -> None:
    parts = [InvalidTable("id is missing", where="a.csv", rows=[2], n_rows=70), InvalidTable("is empty", where="b.csv")]
    error = InvalidTable.together(parts, where="customers")
    again = pickle.loads(pickle.dumps(error))
    assert [(each.why, each.where, each.rows, each.n_rows) for each in again.faults] == [
        ("id is missing", "a.csv", (2,), 70), ("is empty", "b.csv", (), 0),
    ]  # fmt: skip
    assert str(again) == str(error)
