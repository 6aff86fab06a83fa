"""The layering rule and the doors of the house, as architecture.md draws them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "recsys": {"recsys"},
    "embeddings": {"recsys", "embeddings"},
    "bandits": {"recsys", "bandits"},
    "serving": {"recsys", "embeddings", "bandits", "serving"},
}
STORES = ("database", "eventlog", "customers", "profiles", "activities", "contacts", "register", "keys", "leases",
          "quarantine", "readmarks", "secrets_of_home", "suppression", "orders", "kept",
          "prepared", "promotions", "trail", "erasures", "tombstones", "daily",
          "expiring", "ended_days", "evidence", "compaction", "partitions")  # fmt: skip
DOORS = {
    "torch": {f"embeddings/{name}.py" for name in ("two_tower", "sequential", "losses", "fitting", "training",
                                                  "sequence_training", "encoding", "together")},
    "faiss": {"embeddings/index.py"},
    "vowpal_wabbit_next": {"bandits/vowpal.py", "bandits/engine.py"},
    "mlflow": {"recsys/tracking.py"},
    "google": {"recsys/imports/bigquery.py"},
    "pyarrow": {"recsys/imports/parquet.py"},
    "sqlalchemy": {"recsys/imports/sources.py", *(f"recsys/{store}.py" for store in STORES)},  # theirs, and ours
    "altair": {"serving/charts.py", "serving/bank_sheet.py"},
    "vl_convert": {"serving/charts.py", "serving/dashboard.py", "serving/bank_sheet.py"},
    "fastapi": {"serving/app.py", "serving/routes.py", "serving/dashboard.py", "serving/console.py",
                "serving/steering_routes.py", "serving/rights_routes.py", "serving/experiment_routes.py",
                "serving/openapi.py", "serving/quick.py", "serving/traced.py", "serving/steering_pages.py",
                "serving/ray_serving.py"},
    "opentelemetry": {"serving/spans.py"},
    "feast": {"serving/feast_store.py"},
    "ray": {"serving/ray_spread.py", "serving/ray_training.py", "serving/ray_serving.py"},
    "pandas": {"serving/feast_store.py"},  # what Feast speaks
    "pydantic": {"serving/quick.py", "serving/schemas.py", "serving/settings.py", "serving/steering_schemas.py",
                 "serving/experiment_schemas.py"},
}  # fmt: skip


def modules() -> Iterator[Path]:
    for floor in FLOORS:
        yield from sorted((ROOT / floor).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", list(modules()), ids=name_of)
def test_a_floor_imports_only_what_lies_below(path: Path) -> None:
    allowed = FLOORS[name_of(path).split("/")[0]]
    ours = {name.split(".")[0] for name in imported(path)} & set(FLOORS)
    assert ours <= allowed


@pytest.mark.parametrize("path", list(modules()), ids=name_of)
def test_each_foreign_engine_has_one_door(path: Path) -> None:
    for name in {name.split(".")[0] for name in imported(path)} & set(DOORS):
        assert name_of(path) in DOORS[name], f"{name} may only be named in {sorted(DOORS[name])}"


def test_tests_and_notebooks_are_imported_by_nobody() -> None:
    for path in modules():
        assert not {name.split(".")[0] for name in imported(path)} & {"tests", "notebooks"}


def test_nothing_else_lies_at_the_root() -> None:
    shown = {
        path.name for path in ROOT.iterdir() if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"}
    assert shown <= {*FLOORS, "notebooks", "tests", "examples", *files, "build", "home"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("serving.app", {"torch", "mlflow", "pandas", "polars", "scipy"}),
        ("serving.cli", {"torch", "mlflow", "pandas", "polars", "scipy", "numpy", "sqlalchemy", "fastapi", "altair"}),
    ],
)
def test_what_must_start_fast_imports_nothing_heavy(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
