"""What surrounds every request: a crowd is turned away cheaply, answers are kept by nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from serving.around import Admitted
from tests.service import running


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


def test_an_answer_of_the_api_is_kept_by_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        for answer in (app.get("/v1/decisions/none", key="auditor"), app.post("/v1/recommendations", {})):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
