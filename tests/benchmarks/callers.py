"""Callers that cost little themselves: raw HTTP/1.1 over kept connections, closed loop or at fixed times.

A client library would be slower than what is measured here. What is read of an answer is its status, and its body
where somebody wants it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop

Answered = Callable[[int, int, bytes], None]
"""Hears (number of the request, status, body)."""


@dataclass
class Counted:
    """What a run came to; times in seconds, from when a request was due."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.times) / self.seconds

    def quantile(self, q: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.times, q)) * 1000 if self.times else float("nan")

    def told(self) -> str:
        """For a table."""
        p50, p99, p999 = (self.quantile(q) for q in (0.5, 0.99, 0.999))
        return (
            f"{len(self.times):>9,} requests {self.rate:>8,.0f}/s  p50 {p50:>7.1f}  p99 {p99:>7.1f}  "
            f"p99.9 {p999:>7.1f} ms  {len(self.failures)} failures"
        )


def post(url: str, path: str, key: str, body: Mapping[str, object]) -> bytes:
    """A request as it goes over the wire."""
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class _Wire(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark or self._waiting is None:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) >= length:
            waiting, self._waiting, self._buffer = self._waiting, None, b""
            waiting.set_result((int(head[9:12]), rest[:length]))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("closed"))

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._waiting = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(request)
        return self._waiting


async def _wire(url: str) -> _Wire:
    parts = urlsplit(url)
    _, wire = await asyncio.get_running_loop().create_connection(_Wire, parts.hostname, parts.port)
    return wire


def closed_loop(
    url: str, make: Callable[[int], bytes], *, connections: int, seconds: float, answered: Answered | None = None
) -> Counted:
    """As many requests as `connections` callers manage, each asking again when it was answered."""

    async def run() -> Counted:
        counted, n, began = Counted(), 0, time.perf_counter()

        async def caller() -> None:
            nonlocal n
            wire = await _wire(url)
            while time.perf_counter() - began < seconds:
                number, n = n, n + 1
                started = time.perf_counter()
                status, body = await wire.ask(make(number))
                counted.times.append(time.perf_counter() - started)
                _note(counted, number, status, body, answered)
            assert wire.transport is not None
            wire.transport.close()

        await asyncio.gather(*(caller() for _ in range(connections)))
        counted.seconds = time.perf_counter() - began
        return counted

    return uvloop.run(run())


def open_loop(
    url: str, make: Callable[[int], bytes], *, rate: float, seconds: float, answered: Answered | None = None,
    connections: int = 128, at: Mapping[float, Callable[[], None]] | None = None,
) -> Counted:  # fmt: skip
    """Requests at fixed times, however long answers take; a time counts from when its request was due.

    `at` maps seconds → what is done then, in a thread.
    """

    async def run() -> Counted:
        counted, free, waiting = Counted(), deque[_Wire](), deque[tuple[int, float]]()
        for _ in range(connections):
            free.append(await _wire(url))
        pending: set[asyncio.Task[None]] = set()
        began = time.perf_counter()

        async def one(wire: _Wire, number: int, due: float) -> None:
            try:
                status, body = await asyncio.wait_for(wire.ask(make(number)), 30)
            except (ConnectionError, TimeoutError) as error:
                counted.failures.append(type(error).__name__)
                wire = await _wire(url)
            else:
                counted.times.append(time.perf_counter() - due)
                _note(counted, number, status, body, answered)
            if waiting:
                start(wire, *waiting.popleft())
            else:
                free.append(wire)

        def start(wire: _Wire, number: int, due: float) -> None:
            task = asyncio.ensure_future(one(wire, number, due))
            pending.add(task)
            task.add_done_callback(pending.discard)

        doing = [asyncio.create_task(_later(after, work)) for after, work in (at or {}).items()]
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (rest := due - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            if free:
                start(free.popleft(), number, due)
            else:
                waiting.append((number, due))
        while pending:
            await asyncio.wait(list(pending))
        counted.seconds = time.perf_counter() - began
        await asyncio.gather(*doing)
        for wire in free:
            assert wire.transport is not None
            wire.transport.close()
        return counted

    return uvloop.run(run())


async def _later(after: float, work: Callable[[], None]) -> None:
    await asyncio.sleep(after)
    await asyncio.to_thread(work)


def _note(counted: Counted, number: int, status: int, body: bytes, answered: Answered | None) -> None:
    if status >= 300:
        counted.failures.append(f"{status} {body[:120]!r}")
    if answered is not None:
        answered(number, status, body)
