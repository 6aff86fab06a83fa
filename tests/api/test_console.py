"""Sessions and pages, and what operations need."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from recsys.keys import Keys, Scope
from tests.service import App, asked, assert_problem, outcome_in, running


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


def test_a_crowd_of_wrong_keys_at_the_sign_in_leaves_the_service_its_connections(tmp_path: Path) -> None:
    with running(tmp_path) as app:

        async def crowd() -> list[httpx.Response]:
            tries = [app.asking("POST", "/sign-in", key=None, data={"key": f"rk_{n}"}) for n in range(100)]
            return await asyncio.gather(*tries)

        assert {answer.status_code for answer in app.loop.run(crowd())} == {401}
        items = [{"outcomes": [outcome_in(f"o-{n}", customer_id=f"c-{n}")]} for n in range(30)]
        answers = app.together([("/v1/outcomes", item) for item in items])
        assert {answer.status_code for answer in answers} == {202}


def test_a_session_may_not_recommend(app: App) -> None:
    session = cookie_of(app.ask("POST", "/sign-in", key=None, data={"key": app.keys["analyst"]}))
    app.client.cookies.clear()
    assert_problem(app.post("/v1/recommendations", asked(), key=None, headers=session), 401)


def test_experiments_are_listed_and_an_unknown_one_is_404(app: App) -> None:
    assert app.get("/v1/experiments", key="analyst").json() == {"experiments": []}
    assert_problem(app.get("/v1/experiments/no-such", key="analyst"), 404)


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
