"""What callers report: outcomes, displays, activity, facts and permissions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.vocabulary import Outcome, PermissionChange
from tests.builders import START
from tests.service import ADULT, BODIES, NOW, App, assert_problem, outcome_in, running, stamp, text_of


def outcomes(app: App, *items: dict[str, Any]) -> dict[str, Any]:
    answer = app.post("/v1/outcomes", {"outcomes": list(items)})
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_an_outcome_is_accepted_once_then_a_duplicate_and_with_another_body_a_conflict(
    app: App, decided: dict[str, Any]
) -> None:
    named = {"decision_id": decided["decision_id"], "product_id": decided["slate"][0]["product_id"]}
    item = outcome_in("o-1", **named)
    assert outcomes(app, item) == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert outcomes(app, item, item) == {"accepted": 0, "duplicates": 2, "rejected": []}
    [refused] = outcomes(app, item | {"kind": "opened"})["rejected"]
    assert refused["outcome_id"] == "o-1"
    assert refused["reason"].startswith("conflict")
    stored = [event.body for event in app.service.log.read(kinds=("outcome",))]
    assert [each.kind for each in stored if isinstance(each, Outcome) and each.outcome_id == "o-1"] == ["tapped"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decision_id": "no-such"}, "no decision"),
        ({"product_id": "business"}, "not in this decision's slate"),
        ({"happened_at": stamp(START + timedelta(hours=1))}, "future"),
        ({"happened_at": stamp(START - timedelta(hours=1))}, "before the decision"),
        ({"kind": "danced"}, "unknown kind"),
    ],
)
def test_an_outcome_that_cannot_be_is_rejected_with_its_reason_and_harms_no_other(
    app: App, decided: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    named = {"decision_id": decided["decision_id"], "product_id": decided["slate"][0]["product_id"]}
    good = outcome_in(f"good-{reason}", **named)
    told = outcomes(app, outcome_in(f"bad-{reason}", **named) | change, good)
    assert told["accepted"] == 1
    assert [each["outcome_id"] for each in told["rejected"]] == [f"bad-{reason}"]
    assert reason in told["rejected"][0]["reason"]


def test_an_outcome_with_a_customer_and_no_decision_is_organic(app: App) -> None:
    assert outcomes(app, outcome_in("organic-1", customer_id="decided", kind="opened"))["accepted"] == 1
    assert outcomes(app, outcome_in("organic-2", customer_id="decided", product_id="unicorn"))["rejected"]
    [stored] = [
        e.body for e in app.service.log.read(kinds=("outcome",)) if getattr(e.body, "outcome_id", "") == "organic-1"
    ]
    assert isinstance(stored, Outcome)
    assert stored.decision_id is None


@pytest.mark.parametrize("named", [{}, {"decision_id": "d", "customer_id": "c"}])
def test_an_outcome_names_a_decision_or_a_customer_and_not_both(app: App, named: dict[str, str]) -> None:
    assert_problem(app.post("/v1/outcomes", {"outcomes": [outcome_in("o", **named)]}), 422, "/outcomes/0")


def test_an_outcome_cannot_be_laid_on_another_customers_decision(app: App, decided: dict[str, Any]) -> None:
    """The decision says whose outcome it is; nobody can name another customer beside it."""
    product = decided["slate"][0]["product_id"]
    outcomes(app, outcome_in("whose", decision_id=decided["decision_id"], product_id=product))
    tokens = {
        e.body.token for e in app.service.log.read(kinds=("outcome",)) if getattr(e.body, "outcome_id", "") == "whose"
    }
    assert tokens == {app.receipt(decided["decision_id"])["customer_token"]}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/outcomes", "outcomes"),
        ("/v1/displays", "displays"),
        ("/v1/activity", "activities"),
        ("/v1/customers/batch", "customers"),
    ],
)
def test_a_batch_holds_1_to_1000_items(app: App, path: str, name: str) -> None:
    [item] = BODIES[path][name]
    assert_problem(app.post(path, {name: []}), 422, f"/{name}")
    assert_problem(app.post(path, {name: [item] * 1_001}), 422, f"/{name}")


def test_a_late_outcome_is_accepted_and_kept(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.tell()
        told = app.recommend(surface="savings")
        app.clock.set(START + timedelta(days=60))
        named = {"decision_id": told["decision_id"], "product_id": told["slate"][0]["product_id"]}
        late = outcome_in("late", **named) | {"happened_at": stamp(START + timedelta(days=59))}
        assert outcomes(app, late)["accepted"] == 1


def test_an_outcome_is_joined_to_a_decision_of_another_worker(tmp_path: Path) -> None:
    with running(tmp_path) as one, running(tmp_path, catalogue=False) as other:
        other.service.refresh()
        told = one.recommend("c")
        named = {"decision_id": told["decision_id"], "product_id": told["slate"][0]["product_id"]}
        assert outcomes(other, outcome_in("o", **named))["accepted"] == 1


def test_displays_are_accepted_duplicates_conflict_or_rejected(app: App) -> None:
    told = app.recommend("viewer")
    item = {"decision_id": told["decision_id"], "displayed_at": NOW, "product_ids": ["pot"]}

    def report(*items: dict[str, Any]) -> dict[str, Any]:
        answer = app.post("/v1/displays", {"displays": list(items)})
        assert answer.status_code == 202
        return answer.json()

    assert report(item) == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert report(item)["duplicates"] == 1
    assert "conflict" in report(item | {"product_ids": []})["rejected"][0]["reason"]
    assert "no decision" in report(item | {"decision_id": "no-such"})["rejected"][0]["reason"]
    late = item | {"displayed_at": stamp(START + timedelta(days=1))}
    assert "outside" in report(late)["rejected"][0]["reason"]


def test_activity_is_batched_and_idempotent(app: App) -> None:
    item = BODIES["/v1/activity"]["activities"][0] | {"activity_id": "a-1"}
    future = item | {"activity_id": "a-2", "happened_at": stamp(START + timedelta(days=1))}

    def report(*items: dict[str, Any]) -> dict[str, Any]:
        return app.post("/v1/activity", {"activities": list(items)}).json()

    assert report(item)["accepted"] == 1
    assert report(item) == {"accepted": 0, "duplicates": 1, "rejected": []}
    told = report(item | {"subject": "other"}, future)
    assert {each["id"]: each["reason"].split(":")[0] for each in told["rejected"]} == {
        "a-1": "conflict",
        "a-2": "happened_at lies in the future",
    }
    fresh = item | {"activity_id": "a-3"}
    told = report(fresh, fresh | {"subject": "other"}, fresh)
    assert (told["accepted"], told["duplicates"], len(told["rejected"])) == (1, 1, 1)  # of three items, each by itself


def test_facts_are_in_force_on_the_next_request_and_older_never_overwrites_newer(app: App) -> None:
    app.tell("mover", facts=dict(ADULT) | {"held": ["pot"]})
    older = {"as_of": stamp(START - timedelta(days=1)), "facts": {"held": [], "employment": "employed"}}
    assert app.put("/v1/customers/mover", older).json() == {"accepted": 1, "changed": 1}
    receipt = app.receipt(app.recommend("mover", surface="savings")["decision_id"])
    assert {fact["name"]: fact["value"] for fact in receipt["facts_used"]}["held"] == ["pot"]
    assert "pot" not in receipt["eligible"]
    assert app.put("/v1/customers/mover", older).json() == {"accepted": 1, "changed": 0}


def test_a_bad_fact_is_named_with_the_nearest_name_and_its_value_does_not_leak(app: App) -> None:
    secret = "1977-13-45"
    misspelt = app.put("/v1/customers/leak", {"as_of": NOW, "facts": {"date_of_brith": secret}})
    assert "did you mean date_of_birth?" in assert_problem(misspelt, 422, "/facts/date_of_brith")["detail"]
    wrong = app.put("/v1/customers/leak", {"as_of": NOW, "facts": {"date_of_birth": secret}})
    assert_problem(wrong, 422, "/facts/date_of_birth")
    assert secret not in text_of(misspelt) + text_of(wrong)
    assert "leak" not in text_of(misspelt) + text_of(wrong)


def test_a_batch_of_customers_is_taken_whole_or_not_at_all(app: App) -> None:
    good = {"customer_id": "b-1", "as_of": NOW, "facts": dict(ADULT), "permissions": {"in_app": True}}
    bad = {"customer_id": "b-2", "as_of": NOW, "facts": {"arrears_days": "many"}}
    answer = app.post("/v1/customers/batch", {"customers": [good, bad]})
    assert_problem(answer, 422, "/customers/1/facts/arrears_days")
    assert app.recommend("b-1")["mode"] == "broadcast"
    taken = app.post("/v1/customers/batch", {"customers": [good, good | {"customer_id": "b-3"}]})
    assert taken.json() == {"accepted": 2, "changed": 2}
    assert app.recommend("b-1")["mode"] == "fallback:uniform"


@pytest.mark.parametrize(
    "as_of",
    [
        "2026-03-02T09:00:00",
        "yesterday",
        1_770_000_000,
        "1770000000",
        None,
        stamp(START + timedelta(days=1)),
        "0001-01-01T00:00:00Z",
    ],
)
def test_as_of_is_a_time_with_its_zone_that_has_come(app: App, as_of: object) -> None:
    assert_problem(app.put("/v1/customers/time", {"as_of": as_of, "facts": {}}), 422, "/as_of")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_a_permission_is_true_or_false_and_nothing_that_looks_like_it(app: App, value: object) -> None:
    body = {"as_of": NOW, "permissions": {"in_app": value}}
    assert_problem(app.put("/v1/customers/perhaps", body), 422, "/permissions/in_app")


def test_permissions_are_effective_on_the_next_request_and_logged_mkt_4(app: App) -> None:
    app.tell("changing")
    assert app.recommend("changing")["mode"] == "fallback:uniform"
    later = {"as_of": stamp(START + timedelta(minutes=1)), "permissions": {"in_app": False}}
    assert app.put("/v1/customers/changing", later).status_code == 200
    told = app.recommend("changing")
    assert told["mode"] == "broadcast"
    token = app.receipt(told["decision_id"])["customer_token"]
    changes = [e.body for e in app.service.log.read(kinds=("permissions",))]
    assert [c.permissions.in_app for c in changes if isinstance(c, PermissionChange) and c.token == token] == [
        True,
        False,
    ]


def test_an_objector_gets_the_same_broadcast_slate_as_any_other_objector_mkt_3(app: App) -> None:
    objected = {"in_app": True, "objected_at": NOW}
    poor = dict(ADULT) | {"balance_pence": 100, "savings_pence": 0, "signals": ["family"], "held": []}
    app.tell("objector-1", permissions=objected)
    app.tell("objector-2", permissions=objected, facts=poor)
    one, two = app.recommend("objector-1"), app.recommend("objector-2", context={"low_balance": True})
    assert one["mode"] == two["mode"] == "broadcast"
    assert one["slate"] == two["slate"]
    assert {reason["code"] for slot in one["slate"] for reason in slot["reasons"]} == {"SHOWN_TO_EVERYONE"}
    assert app.receipt(one["decision_id"])["purpose"] == "service"
