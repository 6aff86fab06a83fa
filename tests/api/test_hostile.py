"""Hostile input: refused or taken as the text it is, never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service import ADULT, BODIES, NOW, App, asked, assert_problem

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
    "a crowd of fields": json.dumps({f"f{n}": n for n in range(50_000)}).encode(),
    "crowds of fields": json.dumps(
        {name: [{f"f{n}": n for n in range(50)}] * 500 for name in ("outcomes", "displays", "activities", "customers")}
    ).encode(),
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


def test_a_crowd_of_unknown_fields_is_one_fault(app: App) -> None:
    """Telling each would hold up everybody: 120,000 of them took 1.3 s."""
    items = [BODIES["/v1/outcomes"]["outcomes"][0] | {f"f{n}": n for n in range(50)}] * 100
    told = assert_problem(app.raw("/v1/outcomes", json.dumps({"outcomes": items}).encode()), 422)
    assert "has 55 fields; known are outcome_id" in told["detail"]


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
