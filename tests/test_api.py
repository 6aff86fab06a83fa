"""The outward contract of HTTP version 1, sentence by sentence (shared/design/api.md)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from recsys import artefacts
from recsys.keys import Keys, Scope
from recsys.vocabulary import Bools, Candidate, Context, Floats, Outcome, PermissionChange
from serving.commands.learn import learner_of
from serving.live_policy import STATE, InForce, policy_name
from tests.builders import START, experiment
from tests.service import ADULT, App, running, stamp, text_of

NOW = stamp(START)


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


def asked(**more: Any) -> dict[str, Any]:
    return {"customer_id": "c-1", "surface": "savings", "slots": 1} | more


def outcome_in(outcome_id: str, **more: Any) -> dict[str, Any]:
    return {"outcome_id": outcome_id, "product_id": "pot", "kind": "tapped", "happened_at": NOW} | more


def assert_problem(answer: httpx.Response, status: int, *pointers: str) -> dict[str, Any]:
    """A problem document as RFC 9457 writes it, with these JSON pointers."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert told["type"]
    assert told["title"]
    assert told["detail"]
    assert {fault["pointer"] for fault in told.get("errors", [])} >= set(pointers), told
    return told


# -- who may call ---------------------------------------------------------------------------------


def test_without_a_key_a_call_is_refused_with_401(app: App) -> None:
    answer = app.post("/v1/recommendations", asked(), key=None)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer rk_wrong", "Basic abc", "Bearer \xff\xfe"])
def test_a_header_that_is_no_key_in_force_is_refused_with_401(app: App, header: str) -> None:
    headers = {b"Authorization": header.encode("latin-1")}
    assert_problem(app.ask("POST", "/v1/recommendations", key=None, json=asked(), headers=headers), 401)


@pytest.mark.parametrize(
    ("method", "path", "wrong"),
    [
        ("POST", "/v1/recommendations", "analyst"),
        ("POST", "/v1/displays", "auditor"),
        ("POST", "/v1/outcomes", "nobody"),
        ("POST", "/v1/activity", "analyst"),
        ("PUT", "/v1/customers/c-1", "analyst"),
        ("POST", "/v1/customers/batch", "auditor"),
        ("GET", "/v1/decisions/d-1", "backend"),
        ("GET", "/v1/experiments", "backend"),
        ("GET", "/v1/experiments/e-1", "auditor"),
    ],
)
def test_a_key_without_the_scope_is_refused_with_403(app: App, method: str, path: str, wrong: str) -> None:
    told = assert_problem(app.ask(method, path, key=wrong, json={} if method != "GET" else None), 403)
    assert "scope" in told["detail"]


def test_a_revoked_key_is_dead_at_once_on_every_worker(tmp_path: Path) -> None:
    with running(tmp_path) as one, running(tmp_path) as other:
        assert other.ask("POST", "/v1/recommendations", key="backend", json=asked()).status_code == 200
        Keys(one.service.home.database).revoke("backend-4")
        assert_problem(other.post("/v1/recommendations", asked()), 401)
        assert one.post("/v1/recommendations", asked()).status_code == 200


def test_an_expired_key_is_refused(app: App) -> None:
    secret = Keys(app.service.home.database).create(
        "short", scopes=[Scope.RECOMMEND], expires_in=timedelta(microseconds=1)
    )
    app.keys["short"] = secret
    assert_problem(app.post("/v1/recommendations", asked(), key="short"), 401)


# -- the shape of requests ------------------------------------------------------------------------


def test_an_unknown_field_is_refused_with_its_pointer(app: App) -> None:
    assert_problem(app.post("/v1/recommendations", asked(colour="red")), 422, "/colour")
    nested = {"outcomes": [outcome_in("o", customer_id="c", colour="red")]}
    assert_problem(app.post("/v1/outcomes", nested), 422, "/outcomes/0/colour")


def test_an_unknown_key_inside_context_is_ignored_and_counted(app: App) -> None:
    before = app.metric("recsys_context_keys_ignored_total")
    app.recommend(context={"payday_in_days": 0, "moon": "full", "tide": 2})
    assert app.metric("recsys_context_keys_ignored_total") == before + 2


@pytest.mark.parametrize("value", ["0", 0.0, True, None, [0], {"a": 1}, 10**7])
def test_a_context_fact_of_the_wrong_type_is_refused(app: App, value: object) -> None:
    told = assert_problem(
        app.post("/v1/recommendations", asked(context={"payday_in_days": value})), 422, "/context/payday_in_days"
    )
    assert "payday_in_days" in told["detail"]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"slots": 0}, "/slots"),
        ({"slots": 21}, "/slots"),
        ({"slots": "3"}, "/slots"),
        ({"slots": 2.0}, "/slots"),
        ({"slots": 10**400}, "/slots"),
        ({"customer_id": ""}, "/customer_id"),
        ({"customer_id": "x" * 129}, "/customer_id"),
        ({"customer_id": "a\x00b"}, "/customer_id"),
        ({"customer_id": 7}, "/customer_id"),
        ({"surface": "moon"}, "/surface"),
        ({"surface": "home", "slots": 4}, "/slots"),
        ({"candidates": ["pot", "unicorn"]}, "/candidates/1"),
        ({"exclude": ["unicorn"]}, "/exclude/0"),
        ({"deadline_ms": 0}, "/deadline_ms"),
        ({"request_id": "a\nb"}, "/request_id"),
        ({"context": []}, "/context"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_with_its_pointer(app: App, wrong: dict[str, Any], where: str) -> None:
    assert_problem(app.post("/v1/recommendations", asked(**wrong)), 422, where)


def test_an_unknown_address_is_404_and_a_wrong_method_405_naming_the_right_one(app: App) -> None:
    assert_problem(app.get("/v1/nothing"), 404)
    answer = app.get("/v1/recommendations")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_a_body_over_one_mebibyte_is_refused_by_its_declared_length_and_while_it_arrives(app: App) -> None:
    large = b"[" + b" " * (1 << 20) + b"]"
    assert_problem(app.raw("/v1/outcomes", large), 413)

    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 32_768

    headers = {"Content-Type": "application/json"}
    assert_problem(app.ask("POST", "/v1/outcomes", content=pieces(), headers=headers), 413)
    assert_problem(app.ask("POST", "/sign-in", key=None, content=pieces()), 413)


# -- hostile input: never 500 ---------------------------------------------------------------------

DEEP = b'{"customer_id":"c","surface":"home","slots":1,"context":{"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}}"
HOSTILE_BODIES = {
    "empty": b"",
    "not json": b"{",
    "an array": b"[]",
    "a number": b"7",
    "null": b"null",
    "deep": DEEP,
    "deep enough to parse": DEEP.replace(b"[" * 50_000, b"[" * 900).replace(b"]" * 50_000, b"]" * 900),
    "NaN": b'{"customer_id":"c","surface":"home","slots":NaN}',
    "NaN in context": b'{"customer_id":"c","surface":"home","slots":1,"request_id":"n","context":{"x":NaN}}',
    "infinity": b'{"customer_id":"c","surface":"home","slots":-Infinity}',
    "1e400": b'{"customer_id":"c","surface":"home","slots":1e400,"context":{"payday_in_days":1e400}}',
    "a huge integer": b'{"customer_id":"c","surface":"home","slots":' + b"9" * 5_000 + b"}",
    "a large integer": b'{"customer_id":"c","surface":"home","slots":1,"context":{"payday_in_days":'
    + b"9" * 900
    + b"}}",
    "duplicate keys": b'{"customer_id":"c","customer_id":"d","surface":"home","slots":1}',
    "not utf-8": b'{"customer_id":"\xff\xfe","surface":"home"}',
    "utf-16": '{"customer_id":"c","surface":"home"}'.encode("utf-16"),
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
@pytest.mark.parametrize(
    "path", ["/v1/recommendations", "/v1/outcomes", "/v1/displays", "/v1/activity", "/v1/customers/batch"]
)
def test_a_hostile_body_never_breaks_the_service(app: App, name: str, path: str) -> None:
    answer = app.raw(path, HOSTILE_BODIES[name])
    assert answer.status_code in (200, 400, 413, 422)
    if answer.status_code != 200:
        assert_problem(answer, answer.status_code)


BODIES: dict[str, dict[str, Any]] = {
    "/v1/recommendations": asked(request_id="s-1", context={"payday_in_days": 1, "x": "y"}, candidates=["pot"]),
    "/v1/outcomes": {"outcomes": [outcome_in("s-o", customer_id="s-c")]},
    "/v1/displays": {"displays": [{"decision_id": "s-d", "displayed_at": NOW, "product_ids": ["pot"]}]},
    "/v1/activity": {
        "activities": [
            {"activity_id": "s-a", "customer_id": "s-c", "kind": "opened_app", "subject": "home", "happened_at": NOW}
        ]
    },
    "/v1/customers/batch": {
        "customers": [
            {
                "customer_id": "s-c",
                "as_of": NOW,
                "facts": {"residence": "GB", "held": ["pot"], "household_id": "h", "date_of_birth": "1990-05-01"},
            }
        ]
    },
}


def strings_of(body: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each string in a body."""
    if isinstance(body, str):
        yield path
    elif isinstance(body, dict | list):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            yield from strings_of(value, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: object) -> Any:
    """A copy of the body with one value replaced."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


PLACES = [(path, place) for path, body in BODIES.items() for place in strings_of(body)]


@pytest.mark.parametrize(("path", "place"), PLACES, ids=lambda each: str(each))
@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "../../etc/passwd", "x" * 5_000, "", "\u202e", "' OR 1=1 --"])
def test_a_hostile_text_in_any_string_never_breaks_the_service(
    app: App, path: str, place: tuple[Any, ...], text: str
) -> None:
    body = json.dumps(changed(BODIES[path], place, text))
    assert app.raw(path, body.encode()).status_code in (200, 202, 409, 422)


@pytest.mark.parametrize("number", [10**400, -(10**400), 1e308, -1, 2**63, 0.5, True, "1", [], {}])
@pytest.mark.parametrize("fact", ["balance_pence", "emergency_months", "arrears_days", "savings_pence"])
def test_a_hostile_number_in_a_fact_is_refused_or_taken_and_then_serves(app: App, fact: str, number: object) -> None:
    body = {"as_of": NOW, "facts": dict(ADULT) | {fact: number}, "permissions": {"in_app": True}}
    customer = f"n-{fact}-{str(number)[:8]}".replace("[", "l").replace("{", "d")
    answer = app.ask(
        "PUT", f"/v1/customers/{customer}", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in (200, 422), answer.text
    told = app.recommend(customer, surface="savings")
    assert told["decision_id"]


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "9" * 5_000])
def test_a_content_length_that_is_none_is_refused(app: App, length: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length}
    answer = app.ask("POST", "/v1/outcomes", content=b"{}", headers=headers)
    assert_problem(answer, answer.status_code)
    assert answer.status_code in (400, 413)


def test_a_body_that_is_not_said_to_be_json_is_refused(app: App) -> None:
    body = json.dumps(asked()).encode()
    assert_problem(app.ask("POST", "/v1/recommendations", content=body, headers={"Content-Type": "text/plain"}), 422)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/decisions/%00",
        "/v1/decisions/..%2f..%2fetc%2fpasswd",
        "/v1/decisions/" + "x" * 6_000,
        "/v1/decisions/%ff",
        "/v1/decisions/%F0%9F%92%A9",
        "/v1/experiments/%00",
        "/v1/experiments/..%2f..%2f",
        "/docs/assets/..%2f..%2fapp.py",
        "/docs/assets/%00",
        "/static/..%2fapp.py",
        "/v1/decisions/d?verify=perhaps",
    ],
)
def test_a_hostile_address_is_not_found_and_never_breaks_the_service(app: App, path: str) -> None:
    key = "auditor" if "decisions" in path else "analyst"
    assert_problem(
        app.get(path, key=key), 422 if "x" * 200 in path or ("%00" in path and "dec" in path) or "?" in path else 404
    )


@pytest.mark.parametrize("customer", ["%00", "a%0ab", "x" * 129, "%ed%a0%80"])
def test_a_hostile_customer_id_in_the_address_is_refused_or_taken_as_text(app: App, customer: str) -> None:
    answer = app.put(f"/v1/customers/{customer}", {"as_of": NOW, "facts": {}})
    assert answer.status_code in (200, 422)


# -- recommendations ------------------------------------------------------------------------------


def test_an_empty_home_answers_with_an_empty_slate_that_says_why(tmp_path: Path) -> None:
    with running(tmp_path, catalogue=False) as app:
        told = app.recommend()
        assert told["slate"] == []
        assert "catalogue" in told["shortfall"]["reason"]
        assert told["shortfall"] | {"reason": ""} == {"asked": 3, "given": 0, "reason": ""}
        assert app.receipt(told["decision_id"])["verification"]["draws"]["equal"]
        ready = app.get("/readyz", key=None)
        assert ready.status_code == 503
        assert "catalogue" in ready.json()["missing"][0]


def test_with_a_catalogue_but_no_model_the_fallback_gives_an_eligible_slate_with_true_propensities(app: App) -> None:
    app.tell("fresh")
    told = app.recommend("fresh", surface="savings", slots=5)
    assert told["mode"] == "fallback:uniform"
    assert told["policy"] == "uniform@0"
    assert len(told["slate"]) == 5
    receipt = app.receipt(told["decision_id"])
    assert receipt["verification"] == {
        "draws": {"equal": True, "differs": []},
        "probabilities": {"equal": True, "largest_difference": 0.0},
    }
    for given, held in zip(told["slate"], receipt["slate"], strict=True):
        assert given["product_id"] in receipt["eligible"]
        assert sum(held["pmf"].values()) == pytest.approx(1.0, abs=1e-12)
        assert given["propensity"] == held["propensity"] == held["pmf"][given["product_id"]]
    assert receipt["joint_propensity"] == pytest.approx(np.prod([slot["propensity"] for slot in told["slate"]]))


def test_the_decision_is_durable_before_the_answer_leaves(app: App) -> None:
    told = app.recommend("durable")
    other = sqlite3.connect(app.service.home.settings.folder / "recsys.db")
    found = other.execute("SELECT count(*) FROM events WHERE key = ?", [f"decision:{told['decision_id']}"]).fetchone()
    other.close()
    assert found == (1,)


def test_a_customer_nobody_told_us_about_is_the_strictest_case_and_never_an_error(app: App) -> None:
    told = app.recommend("stranger", surface="savings")
    assert told["mode"] == "broadcast"
    receipt = app.receipt(told["decision_id"])
    assert receipt["permissions"]["in_app"] is False
    assert receipt["facts_used"] == []
    products = {product.product_id: product for product in app.service.offers.current.catalogue.products}
    assert all(products[slot["product_id"]].regulated_class not in ("credit", "investment") for slot in told["slate"])


def test_the_null_choice_is_a_real_choice_where_the_surface_allows_it(app: App) -> None:
    app.tell("quiet")
    ended = next(told for _ in range(200) if (told := app.recommend("quiet"))["shortfall"] is not None)
    receipt = app.receipt(ended["decision_id"])
    last = receipt["slate"][-1]
    assert last["product_id"] == "nothing"
    assert 0 < last["propensity"] < 1
    assert "nothing" not in [slot["product_id"] for slot in ended["slate"]]
    assert ended["shortfall"]["given"] == len(ended["slate"]) < 3
    assert receipt["verification"]["draws"]["equal"]


def test_the_null_choice_is_not_offered_where_the_surface_does_not_allow_it(app: App) -> None:
    app.tell("shopper")
    told = app.recommend("shopper", surface="savings", slots=5)
    assert "nothing" not in app.receipt(told["decision_id"])["slate"][0]["pmf"]


def test_candidates_and_exclude_narrow_the_slate_and_the_receipt_says_so(app: App) -> None:
    app.tell("narrow")
    told = app.recommend("narrow", surface="savings", candidates=["pot", "fixed-6m"], exclude=["fixed-6m"], slots=2)
    assert [slot["product_id"] for slot in told["slate"]] == ["pot"]
    assert told["shortfall"]["given"] == 1
    rules = app.receipt(told["decision_id"])["rules"]
    assert {
        "product_id": "fixed-6m",
        "rule": "ASKED",
        "allowed": False,
        "reason": "The app asked without this product",
    } in rules


def test_nothing_eligible_is_an_empty_slate_with_a_shortfall(app: App) -> None:
    app.tell("none")
    told = app.recommend("none", candidates=[])
    assert told["slate"] == []
    assert told["shortfall"]["given"] == 0


def test_no_product_stands_twice_and_a_family_keeps_its_limit(app: App) -> None:
    app.tell("many")
    families = {each.product_id: each.family for each in app.service.offers.current.catalogue.products}
    for _ in range(20):
        shown = [slot["product_id"] for slot in app.recommend("many")["slate"]]
        assert len(shown) == len(set(shown))
        assert all([families[product] for product in shown].count(families[product]) <= 2 for product in shown)


def test_times_are_rfc_3339_and_the_answer_expires_after_it_was_made(app: App) -> None:
    told = app.recommend()
    assert told["made_at"] == NOW
    assert told["expires_at"] == stamp(START + timedelta(days=1))


# -- idempotency ----------------------------------------------------------------------------------


def test_the_same_request_id_and_body_gives_the_same_answer_and_one_decision(app: App) -> None:
    app.tell("twice")
    first = app.recommend("twice", surface="savings", request_id="r-1", context={"payday_in_days": 1})
    again = app.recommend("twice", surface="savings", request_id="r-1", context={"payday_in_days": 1})
    assert again == first
    assert sum(decision.request_id == "r-1" for decision in app.decisions()) == 1


def test_the_same_request_id_with_another_body_is_a_conflict(app: App) -> None:
    app.recommend("twice", request_id="r-2")
    answer = app.post("/v1/recommendations", {"customer_id": "other", "surface": "home", "request_id": "r-2"})
    assert_problem(answer, 409)


def test_a_request_id_belongs_to_its_key(app: App) -> None:
    app.keys["second"] = Keys(app.service.home.database).create("second", scopes=[Scope.RECOMMEND])
    mine = app.recommend("mine", request_id="r-3")
    theirs = app.post("/v1/recommendations", {"customer_id": "x", "surface": "home", "request_id": "r-3"}, key="second")
    assert theirs.status_code == 200
    assert theirs.json()["decision_id"] != mine["decision_id"]


def test_many_equal_requests_at_once_make_one_decision(app: App) -> None:
    body = asked(customer_id="crowd", request_id="r-4")
    told = [answer.json() for answer in app.together([("/v1/recommendations", body)] * 20)]
    assert len({each["decision_id"] for each in told}) == 1
    assert all(each == told[0] for each in told)


def test_idempotency_holds_across_workers_and_restarts(tmp_path: Path) -> None:
    with running(tmp_path) as one, running(tmp_path, catalogue=False) as other:
        other.keys["backend"] = one.keys["backend"]
        told = one.recommend("c", request_id="r-1")
        assert other.recommend("c", request_id="r-1") == told
        secret = one.keys["backend"]
    with running(tmp_path, catalogue=False) as restarted:
        restarted.keys["backend"] = secret
        assert restarted.recommend("c", request_id="r-1") == told
        assert len(restarted.decisions()) == 1


def test_request_ids_are_kept_seven_days(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        first = app.recommend(request_id="r-1")
        app.clock.set(START + timedelta(days=6, hours=23))
        app.service.tidy()
        assert app.recommend(request_id="r-1") == first
        app.clock.set(START + timedelta(days=7, hours=1))
        app.service.tidy()
        assert app.recommend(request_id="r-1")["decision_id"] != first["decision_id"]


# -- displays and outcomes ------------------------------------------------------------------------


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


# -- customers ------------------------------------------------------------------------------------


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


# -- hold-out, failing parts, swaps ---------------------------------------------------------------


def test_the_hold_out_gets_the_broadcast_slate_and_says_holdout_exp_2(tmp_path: Path) -> None:
    with running(tmp_path, holdout_share=0.5) as app:
        for n in range(20):
            app.tell(f"c-{n}")
        told = [app.recommend(f"c-{n}") for n in range(20)]
        held_out = [each for each in told if each["mode"] == "holdout"]
        assert 0 < len(held_out) < 20
        assert {each["policy"] for each in held_out} == {"static@0"}
        assert len({json.dumps(each["slate"]) for each in held_out}) == 1
        again = [app.recommend(f"c-{n}")["mode"] for n in range(20)]
        assert [mode == "holdout" for mode in again] == [each["mode"] == "holdout" for each in told]


class _Broken:
    """A policy that fails in one of the ways policies fail."""

    name = "bandit@7"
    floor = 0.05

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def scores(self, context: Context, candidates: list[Candidate]) -> Floats:
        if self._fault == "raises":
            raise RuntimeError("a native library gave up")
        return np.full(len(candidates), np.nan if self._fault == "not finite" else 0.0)

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        return np.full(len(scores), 1.7 if self._fault == "too much" else 1 / len(scores))


@pytest.mark.parametrize("fault", ["raises", "not finite", "too much"])
def test_a_failing_policy_gives_way_to_the_fallback_which_is_logged_as_itself(
    app: App, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    app.tell("unlucky")
    live = InForce(_Broken(fault), "r", "s")
    monkeypatch.setattr(type(app.service.live), "policy", lambda self, recipe: live)
    told = app.recommend("unlucky", surface="savings")
    assert (told["policy"], told["mode"]) == ("uniform@0", "fallback:uniform")
    receipt = app.receipt(told["decision_id"])
    assert receipt["versions"]["snapshot"] == ""
    assert receipt["verification"]["probabilities"]["equal"]


def publish(app: App, recipe: str = "uniform") -> artefacts.Artefact:
    """A new snapshot of a recipe, with another digest each time."""
    root = app.service.home.settings.artefacts
    learner = learner_of(app.service.home, only=recipe)
    learner.publish()
    last = artefacts.current(root, policy_name(recipe))
    manifest = {name: value for name, value in last.manifest.items() if name not in ("name", "files")}
    number = manifest["version"] + 1
    return artefacts.publish(
        root, policy_name(recipe), files={STATE: last.file(STATE)}, manifest=manifest | {"version": number}
    )


def _altered_state(app: App) -> None:
    published = publish(app)
    (published.path / STATE).write_bytes(b"poison")


def _altered_manifest(app: App) -> None:
    (publish(app).path / artefacts.MANIFEST).write_text("[]")


def _no_directory(app: App) -> None:
    (app.service.home.settings.artefacts / "policies/uniform/current").write_text("0" * 32)


def _binary_pointer(app: App) -> None:
    (app.service.home.settings.artefacts / "policies/uniform/current").write_bytes(b"\xff\xfe\x00\x80")


def _poison_that_was_published(app: App) -> None:
    root = app.service.home.settings.artefacts
    artefacts.publish(root, policy_name("uniform"), files={STATE: b"\x80poison"}, manifest={"version": None})


@pytest.mark.parametrize(
    "damage", [_altered_state, _altered_manifest, _no_directory, _binary_pointer, _poison_that_was_published]
)
def test_a_damaged_snapshot_leaves_the_last_good_one_in_force(tmp_path: Path, damage: Callable[[App], None]) -> None:
    with running(tmp_path, champion="uniform") as app:
        app.tell()
        good = publish(app)
        app.service.refresh()
        damage(app)
        app.service.refresh()
        told = app.recommend(surface="savings")
        assert told["mode"] == "live"
        assert app.receipt(told["decision_id"])["versions"]["snapshot"] == good.digest
        assert app.metric("recsys_artefact_refusals") == 1
        newer = publish_after(app, good)
        app.service.refresh()
        assert app.receipt(app.recommend(surface="savings")["decision_id"])["versions"]["snapshot"] == newer.digest


def publish_after(app: App, good: artefacts.Artefact) -> artefacts.Artefact:
    """A sound snapshot published after a damaged one."""
    manifest = {name: value for name, value in good.manifest.items() if name not in ("name", "files")}
    root = app.service.home.settings.artefacts
    return artefacts.publish(
        root, policy_name("uniform"), files={STATE: good.file(STATE)}, manifest=manifest | {"version": 99}
    )


def test_a_new_snapshot_swaps_in_without_a_dropped_request(tmp_path: Path) -> None:
    with running(tmp_path, champion="uniform", poll_seconds=0.001) as app:
        app.tell()
        first = publish(app)
        app.service.refresh()
        bodies = [("/v1/recommendations", asked(customer_id="ann", request_id=f"r-{n}")) for n in range(150)]
        before = app.together(bodies[:50])
        second = publish_after(app, first)
        during = app.together(bodies[50:])
        after = app.recommend(surface="savings")
        assert {answer.status_code for answer in before + during} == {200}
        assert app.receipt(after["decision_id"])["versions"]["snapshot"] == second.digest
        snapshots = {decision.versions.snapshot for decision in app.decisions()}
        assert snapshots == {first.digest, second.digest}
        assert len(app.decisions()) == 151


def test_an_experiment_divides_customers_and_the_answer_names_the_variant(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.service.home.register.create(experiment(names=("popularity", "bandit")))
        app.service.refresh()
        for n in range(30):
            app.tell(f"c-{n}")
        told = [app.recommend(f"c-{n}")["experiments"] for n in range(30)]
        assert all([each["id"] for each in experiments] == ["home-bandit"] for experiments in told)
        assert {experiments[0]["variant"] for experiments in told} == {"popularity", "bandit"}
        assert [app.recommend(f"c-{n}")["experiments"] for n in range(30)] == told


# -- the database gone ----------------------------------------------------------------------------


def damage_database(home: Path) -> None:
    """Overwrite the database as a failing disk would."""
    for path in home.glob("recsys.db*"):
        path.write_bytes(b"\x00garbage" * 4_096)


def assert_unlogged(app: App, told: dict[str, Any], *, given: int) -> None:
    assert told["decision_id"] is None
    assert told["mode"] == "fallback:unlogged"
    assert len(told["slate"]) == given
    assert all(slot["propensity"] == 1.0 for slot in told["slate"])
    assert app.metric("recsys_unlogged_total") == 1


@pytest.mark.parametrize("customer", ["known", "unknown"])
def test_with_the_database_gone_the_answer_is_the_approved_static_list_and_counted(
    tmp_path: Path, customer: str
) -> None:
    with running(tmp_path) as app:
        app.tell("known")
        everybody = app.recommend("everybody")
        damage_database(tmp_path)
        told = app.recommend(customer)
        assert_unlogged(app, told, given=3)
        assert [slot["product_id"] for slot in told["slate"]] == [slot["product_id"] for slot in everybody["slate"]]
        answer = app.post("/v1/outcomes", {"outcomes": [outcome_in("o", customer_id="known")]})
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]
        ready = app.get("/readyz", key=None)
        assert ready.status_code == 503
        assert "database" in ready.json()["missing"][0]
        assert app.get("/healthz", key=None).status_code == 200


def test_with_the_database_gone_a_key_that_was_never_seen_gets_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        damage_database(tmp_path)
        assert_problem(app.post("/v1/recommendations", asked()), 503)


def test_with_the_database_gone_the_unlogged_answer_may_be_empty_but_never_an_error(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.recommend()
        damage_database(tmp_path)
        assert_unlogged(app, app.recommend(candidates=[]), given=0)
        assert_problem(app.post("/v1/recommendations", asked(surface="moon")), 422, "/surface")


@pytest.mark.parametrize("customer", ["known", "unknown"])
def test_while_the_database_is_locked_the_answer_comes_inside_the_deadline(tmp_path: Path, customer: str) -> None:
    with running(tmp_path) as app:
        app.tell("known")
        lock = sqlite3.connect(tmp_path / "recsys.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        answer = app.post("/v1/recommendations", {"customer_id": customer, "surface": "home", "deadline_ms": 100})
        lock.execute("ROLLBACK")
        lock.close()
        assert answer.elapsed < timedelta(seconds=5)
        assert_unlogged(app, answer.json(), given=3)
        assert app.recommend("known")["decision_id"]


# -- receipts -------------------------------------------------------------------------------------


def test_an_unknown_decision_is_404(app: App) -> None:
    assert_problem(app.get("/v1/decisions/no-such", key="auditor"), 404)


def test_a_receipt_holds_the_whole_record(app: App, decided: dict[str, Any]) -> None:
    receipt = app.receipt(decided["decision_id"], verify=False)
    assert "verification" not in receipt
    assert receipt["slate"][0]["reasons"] == decided["slate"][0]["reasons"]
    assert set(receipt["versions"]) >= {"catalogue", "rule_pack", "features", "rewards", "recipe", "snapshot", "bundle"}
    products = {rule["product_id"] for rule in receipt["rules"]}
    assert products == set(app.service.offers.current.catalogue.ids)
    assert all(rule["reason"] for rule in receipt["rules"] if not rule["allowed"])
    assert "decided" not in json.dumps(receipt), "the log knows customers by their token"


# -- sessions and pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/experiments", "/experiments/e-1", "/decisions/d-1"])
def test_a_page_without_a_session_leads_to_the_sign_in(app: App, path: str) -> None:
    answer = app.get(path, key=None)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in"


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    header = answer.headers["set-cookie"]
    assert "HttpOnly" in header
    assert "samesite=strict" in header.lower()
    return {"Cookie": header.split(";")[0]}


def test_signing_in_with_a_key_opens_the_pages_and_signing_out_closes_them(app: App) -> None:
    assert app.get("/sign-in", key=None).status_code == 200
    wrong = app.ask("POST", "/sign-in", key=None, data={"key": "rk_wrong"})
    assert wrong.status_code == 401
    cannot_analyse = app.ask("POST", "/sign-in", key=None, data={"key": app.keys["backend"]})
    assert cannot_analyse.status_code == 401
    session = cookie_of(app.ask("POST", "/sign-in", key=None, data={"key": app.keys["analyst"]}))
    app.client.cookies.clear()
    assert app.get("/", key=None, headers=session).status_code == 200
    assert app.get("/v1/experiments", key=None, headers=session).status_code == 200
    out = app.ask("POST", "/sign-out", key=None, headers=session)
    assert 'recsys_session=""' in out.headers["set-cookie"]
    app.client.cookies.clear()


def test_a_session_ends_with_its_key(app: App) -> None:
    app.keys["leaver"] = Keys(app.service.home.database).create("leaver", scopes=[Scope.ANALYSE])
    session = cookie_of(app.ask("POST", "/sign-in", key=None, data={"key": app.keys["leaver"]}))
    app.client.cookies.clear()
    assert app.get("/", key=None, headers=session).status_code == 200
    Keys(app.service.home.database).revoke("leaver")
    assert app.get("/", key=None, headers=session).status_code == 303


@pytest.mark.parametrize("cookie", ["x", "analyst|9999999999|00", "|", "analyst|x|", "\xff|1|2", "a" * 5_000])
def test_a_forged_session_opens_nothing(app: App, cookie: str) -> None:
    headers = {b"Cookie": f"recsys_session={cookie}".encode("latin-1")}
    assert app.ask("GET", "/", key=None, headers=headers).status_code == 303


def test_a_one_time_link_opens_one_session_once(app: App) -> None:
    token = app.service.gate.one_time_link("analyst")
    session = cookie_of(app.get(f"/sign-in/{token}", key=None))
    app.client.cookies.clear()
    assert app.get("/", key=None, headers=session).status_code == 200
    assert app.get(f"/sign-in/{token}", key=None).status_code == 401
    assert app.get("/sign-in/never-made", key=None).status_code == 401


def test_a_session_may_not_recommend(app: App) -> None:
    session = cookie_of(app.ask("POST", "/sign-in", key=None, data={"key": app.keys["analyst"]}))
    app.client.cookies.clear()
    assert_problem(app.post("/v1/recommendations", asked(), key=None, headers=session), 401)


def test_experiments_are_listed_and_an_unknown_one_is_404(app: App) -> None:
    assert app.get("/v1/experiments", key="analyst").json() == {"experiments": []}
    assert_problem(app.get("/v1/experiments/no-such", key="analyst"), 404)


# -- what operations need -------------------------------------------------------------------------


def test_ready_says_what_is_worth_knowing(app: App) -> None:
    answer = app.get("/readyz", key=None)
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert any("no snapshot" in note for note in answer.json()["notes"])


def test_metrics_are_for_loopback_or_a_key_that_may_analyse(tmp_path: Path) -> None:
    with running(tmp_path, client=("10.0.0.9", 5)) as app:
        app.recommend("somebody-private")
        assert_problem(app.get("/metrics", key=None), 401)
        assert_problem(app.get("/metrics", key="backend"), 403)
        text = app.get("/metrics", key="analyst").text
        assert 'recsys_decisions_total{mode="broadcast",surface="home"} 1.0' in text
        assert 'recsys_requests_total{route="/v1/recommendations",status="200"} 1.0' in text
        assert "somebody-private" not in text


def test_the_api_description_comes_from_this_machine_alone(app: App) -> None:
    page = app.get("/docs", key=None)
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://www.w3.org", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert app.get(f"/docs/assets/{asset}", key=None).status_code == 200


def test_every_route_is_described_with_a_summary_a_description_and_a_name(app: App) -> None:
    described = app.get("/openapi.json", key=None).json()
    operations = [each for methods in described["paths"].values() for each in methods.values()]
    assert len(operations) >= 11
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert operation["operationId"]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_a_fault_of_ours_is_a_problem_document_that_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, raising=False) as app:
        monkeypatch.setattr(app.service.intake, "outcomes", _accident, raising=False)
        answer = app.post("/v1/outcomes", {"outcomes": [outcome_in("o", customer_id="secret-customer")]})
        told = assert_problem(answer, 500)
        assert "secret" not in json.dumps(told)


def _accident(*_: object, **__: object) -> None:
    raise RuntimeError("secret detail")
