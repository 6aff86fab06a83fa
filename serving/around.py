"""What surrounds every request: its size is bounded, only so many are in flight, and each is counted and timed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.bootstrap import Service
from serving.problems import MEDIA_TYPE, problem
from serving.tracing import Asked

LARGEST_BODY = 1 << 20  # 1 MiB
BODY_SECONDS = 10.0
"""A body that takes longer to come is not waited for."""
_CROWD = "too many requests are in flight: come back in a second"
_ALWAYS = ("/healthz", "/readyz", "/metrics")  # what tells of a crowd must get through it
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


def problem_answer(status: int, detail: str, **given: Any) -> Response:
    """A problem document as an answer, with the headers that its status asks for."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status == 503 else {}
    return Response(problem(status, detail, **given), status_code=status, media_type=MEDIA_TYPE, headers=headers)


class Admitted:
    """Lets only so many requests in at once; the others are told to come back, at once and cheaply.

    A queue that grows makes everybody late and then everybody fail. Whose body is still on its way is not in: it
    costs next to nothing, and whoever sends slowly, with a key or without, would shut out everybody else. Answers of
    the API also say here that nobody may keep them or guess their type.
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or tell it to come back."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        send = _safely(send) if scope["path"].startswith("/v1/") else send
        if self._in_flight >= self._most:
            await problem_answer(503, _CROWD)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, self._arriving(receive), send)
        finally:
            self._in_flight -= 1

    def _arriving(self, receive: Receive) -> Receive:
        """The messages of a request, which is out while it waits for its body; raises `HTTPException` 408 and 503."""
        until, whole = asyncio.get_running_loop().time() + BODY_SECONDS, False

        async def arrived() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            self._in_flight -= 1
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                told = f"the body did not come within {BODY_SECONDS:.0f} seconds"
                raise HTTPException(408, told, headers={"Connection": "close"}) from None
            finally:
                self._in_flight += 1
            whole = not message.get("more_body", False)
            if whole and self._in_flight > self._most:
                raise HTTPException(503, _CROWD, headers={"Retry-After": "1"})
            return message

        return arrived


def _safely(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_SAFE]
        await send(message)

    return sent


class Bounded:
    """Refuses bodies over 1 MiB, by their declared length or while they arrive."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, unless it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        declared = declared.strip()
        if not declared.isdigit():
            await problem_answer(400, "Content-Length is not a whole number")(scope, receive, send)
            return
        if len(declared) > 18 or int(declared) > LARGEST_BODY:
            await problem_answer(413, "a request body holds at most 1 MiB")(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY:
                raise HTTPException(413, "a request body holds at most 1 MiB")
            return message

        await self._app(scope, bounded, send)


class Measured:
    """Counts and times each request by its route's pattern, never by its path."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app = app
        self._telemetry = service.telemetry
        self._tracing = service.tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through; count, time and trace it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        with self._tracing.request(scope["method"], parent=parent.decode("latin-1")) as asked:
            await self._counted(scope, receive, send, asked=asked)

    async def _counted(self, scope: Scope, receive: Receive, send: Send, *, asked: Asked) -> None:
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            self._telemetry.answered(route, status, seconds=time.perf_counter() - started)
            asked.answered(route=route, status=status)
