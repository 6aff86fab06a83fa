from __future__ import annotations

import pytest

from recsys.errors import InvalidFact
from recsys.facts import FACTS, checked_fact
from recsys.vocabulary import FactValue

GOOD: dict[str, tuple[object, FactValue]] = {
    "date_of_birth": ("1990-02-28", "1990-02-28"),
    "age_verified": (True, True),
    "arrears_days": (0, 0),
    "balance_pence": (-5_000, -5_000),
    "emergency_months": (2, 2.0),
    "pre_eligible": (["loan"], ("loan",)),
    "pre_eligible_until": ("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z"),
    "credit_declined_on": (None, None),
    "signals": ((), ()),
    "status": ("dormant", "dormant"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_fact_passes_in_its_canonical_form(name: str) -> None:
    given, canonical = GOOD[name]
    checked = checked_fact(name, given)
    assert checked == canonical
    assert type(checked) is type(canonical)
    assert checked_fact(name, checked) == checked


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ballance_pence", 1, "there is no fact ballance_pence; did you mean balance_pence"),
        ("diagnosis", "x", "there is no fact diagnosis"),
        ("date_of_birth", "31/12/1990", "date_of_birth: expected a date such as 2026-03-02, got a text"),
        ("date_of_birth", "1990-02-30", "date_of_birth: expected a date"),
        ("date_of_birth", None, "date_of_birth: cannot be known to be none"),
        ("age_verified", 1, "age_verified: expected true or false, got a whole number"),
        ("age_verified", "yes", "age_verified: expected true or false, got a text"),
        ("arrears_days", True, "arrears_days: expected a whole number, got true or false"),
        ("arrears_days", 1.5, "arrears_days: expected a whole number, got a number"),
        ("arrears_days", -1, "arrears_days: must be at least 0"),
        ("balance_pence", 10**16, "balance_pence: expected a whole number"),
        ("emergency_months", float("nan"), "emergency_months: expected a number"),
        ("pre_eligible_until", "2026-03-02T09:00:00", "pre_eligible_until: expected a time with its zone"),
        ("signals", "saver", "signals: expected a list of texts, got a text"),
        ("signals", ["rich"], "signals: expected family, sole_trader, parent_of_teen, saver or commuter"),
        ("status", "sulking", "status: expected active, dormant"),
        ("held", ["x" * 101], "held: expected a list of texts"),
        ("held", {"pot": 1}, "held: expected a list of texts, got a dict"),
    ],
)
def test_a_fact_of_the_wrong_kind_is_refused_in_one_sentence(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InvalidFact, match=complaint):
        checked_fact(name, value)


@pytest.mark.parametrize("name", [*FACTS, "4929-secret"])
@pytest.mark.parametrize("secret", ["4929-SECRET " * 20, ["4929-SECRET" * 20], {"4929-SECRET": 1}, b"4929-SECRET"])
def test_ops_8_a_refusal_never_quotes_the_value(name: str, secret: object) -> None:
    with pytest.raises(InvalidFact) as caught:
        checked_fact(name, secret)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
