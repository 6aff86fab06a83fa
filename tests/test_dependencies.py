"""What we depend on has a reason, a bound and a licence that we may use."""

from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests import dependencies
from tests.dependencies import complaints, declared, installed, licences


def test_mrm_7_every_dependency_has_a_reason_a_bound_a_version_and_an_allowed_licence() -> None:
    assert complaints() == []
    assert {"numpy", "torch", "vowpal-wabbit-next", "psycopg", "opentelemetry-sdk", "feast", "ray"} <= {
        e.name for e in installed()
    }
    assert all(each.version for each in installed())
    assert len(list(declared())) > 25


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"numpy>=2",                     # arrays', '"numpy>=2", #', "numpy>=2: say what it is for"),
        ('"numpy>=2",', '"numpy",', "numpy: give a lower bound"),
    ],
)
def test_a_dependency_without_reason_or_bound_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, why: str
) -> None:
    text = dependencies.PROJECT.read_text()
    assert old in text
    lines = [line.split("#")[0] if "#" in new and '"numpy' in line else line for line in text.splitlines()]
    changed = tmp_path / "pyproject.toml"
    changed.write_text("\n".join(lines) if "#" in new else text.replace(old, new))
    monkeypatch.setattr(dependencies, "PROJECT", changed)
    [complaint] = complaints()
    assert complaint.startswith(why)


def test_a_licence_that_is_not_allowed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "dependencies.toml"
    policy.write_text(dependencies.POLICY.read_text().replace('licence = "LGPL-3.0-only"', 'licence = "MIT"'))
    monkeypatch.setattr(dependencies, "POLICY", policy)
    found = complaints()
    assert len(found) == 2
    assert all("has the licence LGPL-3.0-only: may we?" in each for each in found)


def test_licences_are_read_however_a_package_names_them(tmp_path: Path) -> None:
    def of(*lines: str) -> tuple[str, ...]:
        (tmp_path / "METADATA").write_text("\n".join(("Metadata-Version: 2.1", "Name: x", *lines)) + "\n")
        return licences(PathDistribution(tmp_path))

    assert of("License-Expression: (MIT OR Apache-2.0) AND GPL-3.0-only") == ("Apache-2.0", "GPL-3.0-only", "MIT")
    assert of("Classifier: License :: OSI Approved :: BSD License") == ("BSD",)
    assert of("License: MPL-2.0 AND MIT") == ("MPL-2.0", "MIT")
