"""What surrounds every request: a crowd is turned away cheaply, answers are kept by nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from serving import around
from serving.around import Admitted
from tests.service import assert_problem, running


def test_a_crowd_is_told_to_come_back_and_those_inside_are_answered() -> None:
    opened = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await opened.wait()
        await PlainTextResponse("done")(scope, receive, send)

    app, statuses = Admitted(slow, most=2), []

    async def caller(path: str) -> None:
        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                statuses.append((message["status"], headers.get(b"retry-after")))

        async def receive() -> Message:
            return {"type": "http.request"}

        await app({"type": "http", "path": path, "headers": []}, receive, send)

    async def crowd() -> None:
        inside = [asyncio.create_task(caller("/v1/recommendations")) for _ in range(2)]
        await asyncio.sleep(0)
        await caller("/v1/recommendations")
        assert statuses == [(503, b"1")]
        watching = asyncio.create_task(caller("/healthz"))  # what tells of a crowd gets through it
        await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*inside, watching)
        await caller("/v1/recommendations")  # there is room again

    asyncio.run(crowd())
    assert [status for status, _ in statuses] == [503, 200, 200, 200, 200]


def test_whoever_sends_slowly_shuts_nobody_out_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(around, "BODY_SECONDS", 0.05)

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(0)
        await PlainTextResponse("done")(scope, receive, send)

    app, told = Admitted(reading, most=2), list[object]()

    async def caller(whole: asyncio.Event) -> None:
        async def receive() -> Message:
            await whole.wait()
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.append(message["status"])

        try:
            await app({"type": "http", "path": "/v1/outcomes", "headers": []}, receive, send)
        except HTTPException as error:
            told.append((error.status_code, dict(error.headers or {})))

    async def crowd() -> None:
        never, now, together = asyncio.Event(), asyncio.Event(), asyncio.Event()
        now.set()
        slow = [asyncio.create_task(caller(never)) for _ in range(10)]
        await asyncio.sleep(0)
        await caller(now)
        assert told == [200]
        await asyncio.gather(*slow)
        assert told[1:] == [(408, {"Connection": "close"})] * 10
        many = [asyncio.create_task(caller(together)) for _ in range(5)]
        await asyncio.sleep(0)
        together.set()
        await asyncio.gather(*many)
        assert sorted(told[11:], key=str) == [(503, {"Retry-After": "1"})] * 3 + [200] * 2

    asyncio.run(crowd())


def test_nobody_is_sent_to_where_a_header_says(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        answer = app.post("/v1/recommendations/", {}, headers={"Host": "evil.example"})
        assert_problem(answer, 404)


def test_an_answer_of_the_api_is_kept_by_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        for answer in (app.get("/v1/decisions/none", key="auditor"), app.post("/v1/recommendations", {})):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
