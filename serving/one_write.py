"""An answer's head and body leave in one write: the server alone would send them one after the other.

Each write over a connection is a call into the system, and wakes whoever waits at its other end.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1."  # how a head begins; other data that does is only written a moment later


class OneWrite(HttpToolsProtocol):
    """uvicorn's protocol over a transport that holds a head back until what belongs to it comes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _Holding(transport, loop=self.loop))


class _Holding:
    """A transport that writes a head with what is written after it, or alone once the loop went through its pass."""

    def __init__(self, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write in order, a head with what follows; to whoever left already, nothing."""
        if self._transport.is_closing():
            self._head = b""
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._let_go)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close behind what was written."""
        self._let_go()
        self._transport.close()

    def _let_go(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)
