"""Who may call, and the shape of what they send."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recsys.keys import Keys, Scope
from tests.service import App, asked, assert_problem, outcome_in, running


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


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_load_balancer_may_ask_by_head_and_gets_what_get_says_without_its_body(app: App, path: str) -> None:
    whole, bare = (app.ask(method, path, key=None) for method in ("GET", "HEAD"))
    assert (bare.status_code, bare.content) == (whole.status_code, b"")
    assert whole.status_code == 200
    assert bare.headers == whole.headers
    assert set(app.get("/openapi.json").json()["paths"][path]) == {"get"}
    wrong = app.ask("DELETE", path, key=None)
    assert_problem(wrong, 405)
    assert wrong.headers["allow"] == "GET, HEAD"


def test_a_body_over_one_mebibyte_is_refused_by_its_declared_length_and_while_it_arrives(app: App) -> None:
    large = b"[" + b" " * (1 << 20) + b"]"
    assert_problem(app.raw("/v1/outcomes", large), 413)

    async def pieces() -> Any:
        for _ in range(40):
            yield b" " * 32_768

    headers = {"Content-Type": "application/json"}
    assert_problem(app.ask("POST", "/v1/outcomes", content=pieces(), headers=headers), 413)
    assert_problem(app.ask("POST", "/sign-in", key=None, content=pieces()), 413)
