"""Every requirement of the register has a test that names it, or a reason why not."""

from __future__ import annotations

import pytest

from tests.requirements import Requirement, register

TABLE = register()


@pytest.mark.parametrize("requirement", TABLE, ids=lambda each: each.id)
def test_a_requirement_has_a_test_or_a_reason(requirement: Requirement) -> None:
    assert not requirement.complaint


def test_the_register_is_whole() -> None:
    counts = {"MKT": 9, "AGE": 4, "CRD": 8, "SAV": 8, "ADV": 5, "VUL": 3, "FAIR": 3, "DUT": 5, "TRN": 5, "ERS": 4}
    counts |= {"RET": 2, "MRM": 9, "OPS": 8, "EXP": 5, "EUA": 2}
    assert [each.id for each in TABLE] == [f"{group}-{n}" for group, most in counts.items() for n in range(1, most + 1)]
