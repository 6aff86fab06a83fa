"""An answer's head and body in one write: whatever comes, in whatever pieces, callers read the same bytes in order."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from serving.one_write import OneWrite


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """`/empty` has no body, `/pieces` comes in two that look like heads, any other path is told back."""
    assert scope["type"] == "http"
    assert (await receive())["type"] == "http.request"
    path = scope["path"]
    bodies = {"/empty": [b""], "/pieces": [b"HTTP/1.1 one", b"HTTP/1.1 two"]}.get(path, [path.encode()])
    length = (b"content-length", str(sum(map(len, bodies))).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    for number, body in enumerate(bodies, start=1):
        message: Message = {"type": "http.response.body", "body": body, "more_body": number < len(bodies)}
        await send(message)
        await asyncio.sleep(0)


async def said(*requests: str, ending: bytes) -> bytes:
    """What one connection hears when it says all of this at once, up to an ending."""
    config = uvicorn.Config(
        answering, http=OneWrite, lifespan="off", log_level="error", server_header=False, date_header=False
    )
    config.load()
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write("".join(f"{request} HTTP/1.1\r\nHost: x\r\n\r\n" for request in requests).encode())
        heard = await asyncio.wait_for(reader.readuntil(ending), 10)
        server.should_exit = True
        writer.close()
        await serving
    return heard


def test_answers_to_requests_said_together_come_whole_and_in_order() -> None:
    heard = asyncio.run(said("GET /a", "GET /empty", "HEAD /b", "GET /pieces", "GET /last", ending=b"/last"))
    answers = heard.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert answers == [
        b"content-length: 2\r\n\r\n/a",
        b"content-length: 0\r\n\r\n",
        b"content-length: 2\r\n\r\n",
        b"content-length: 24\r\n\r\nHTTP/1.1 oneHTTP/1.1 two",
        b"content-length: 5\r\n\r\n/last",
    ]


def test_a_head_without_a_body_does_not_wait_for_one() -> None:
    assert asyncio.run(said("HEAD /alone", ending=b"\r\n\r\n")).endswith(b"content-length: 6\r\n\r\n")
