"""Which test shows which requirement: `python -m tests.requirements` prints the table.

A test shows a requirement by carrying its id in its name (`test_mkt_7_caps_hold`), a case of the rules
by the rule that refuses. The register, and why some requirements have no test, stand in `requirements.toml`.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REGISTER = HERE / "requirements.toml"
CASES = HERE / "rules" / "cases.toml"
_ID = re.compile(r"(?<![a-z0-9])(mkt|age|crd|sav|adv|vul|fair|dut|trn|ers|ret|mrm|ops|exp|eua)_(\d+)(?![a-z0-9])")


@dataclass(frozen=True)
class Requirement:
    """One line of the register, the tests that show it, and why there is none."""

    id: str
    what: str
    tests: tuple[str, ...]
    untested: str

    @property
    def complaint(self) -> str:
        """What is wrong with the line; empty where nothing is."""
        if self.tests and self.untested:
            return f"{self.id} has a test and says why it has none: remove `untested`"
        return "" if self.tests or self.untested else f"{self.id} has no test and does not say why"


def register() -> list[Requirement]:
    """Every requirement, in the order of the register."""
    rows = tomllib.loads(REGISTER.read_text(encoding="utf-8"))["requirement"]
    shown: dict[str, list[str]] = {row["id"]: [] for row in rows}
    for where, name in named_tests():
        for found in ids_in(name):
            shown.setdefault(found, []).append(f"{where}::{name}")
    for name, rule_id in refused_cases():
        shown.setdefault(rule_id.partition(".")[0], []).append(f"tests/rules/cases.toml: {name}")
    known = [Requirement(row["id"], row["what"], tuple(shown.pop(row["id"])), row.get("untested", "")) for row in rows]
    if shown:
        raise LookupError(f"no requirement is called {', '.join(sorted(shown))}: mend the tests' names")
    return known


def ids_in(name: str) -> list[str]:
    """The requirement ids in a test's name.

    >>> ids_in("test_crd_1_crd_4_no_credit_in_trouble"), ids_in("test_everything")
    (['CRD-1', 'CRD-4'], [])
    """
    return [f"{group.upper()}-{number}" for group, number in _ID.findall(name)]


def named_tests() -> Iterator[tuple[str, str]]:
    """(file, name) of every test function."""
    for path in sorted(HERE.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield path.relative_to(HERE.parent).as_posix(), node.name


def refused_cases() -> Iterator[tuple[str, str]]:
    """(name, rule) of every case that one rule alone refuses."""
    for case in tomllib.loads(CASES.read_text(encoding="utf-8"))["case"]:
        if len(case["refused_by"]) == 1:
            yield case["name"], case["refused_by"][0]


def main() -> None:
    """Print the table; exit 1 where a requirement has neither a test nor a reason."""
    requirements = register()
    for each in requirements:
        print(f"\n{each.id:8} {each.what}")
        for test in each.tests or (f"no test: {each.untested}",):
            print(f"         {test}")
    tested = sum(bool(each.tests) for each in requirements)
    print(f"\n{tested} of {len(requirements)} requirements are shown by a test")
    complaints = [each.complaint for each in requirements if each.complaint]
    sys.exit("\n".join(complaints) if complaints else 0)


if __name__ == "__main__":
    main()
