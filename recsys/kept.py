"""The few reads of every request, over one connection that a thread keeps, and never for long.

These reads run on the event loop: a thread for each would cost more than the read. So a store that
stalls must not be waited for. A read that is not answered within the patience is given up: SQLite by
its busy timeout, PostgreSQL by its statement timeout, and a connection whose other end is silent by
a watchdog that shuts its socket. (Nothing gives up a SQLite file on a disk that hangs.) From then on
its statement rests: asking for it raises at once, while a thread asks the store the same again and
again, and lifts the rest when it is answered.
A stall thus costs one request one patience, and nobody else anything.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from recsys.errors import StoreUnavailable
from recsys.prepared import Prepared

_AGAIN_SECONDS = 0.1
_FIRST_SECONDS = 3.0  # to connect for the first time
BROKEN = (SQLAlchemyError, MemoryError)
"""How a broken store shows: SQLite runs out of memory over a file that claims pages of any number."""

Reading = tuple[Prepared, Mapping[str, Any]]


class KeptReader:
    """Reads of one thread. `connect` opens a connection that gives up by itself after the patience."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._resting: dict[int, Reading] = {}
        self._lock = threading.Lock()
        self._mending: threading.Thread | None = None
        self._closed = False
        self.since = 0.0  # when the read under way began, 0 between reads: what the watchdog looks at

    def first(self, statement: Prepared, parameters: Mapping[str, Any]) -> Any:
        """The first row or None; raises `StoreUnavailable`, at once while the statement rests.

        Statements are told apart by identity, so pass those that are built once.
        """
        if id(statement) in self._resting:
            raise StoreUnavailable("the database does not answer")
        connection = self._connection or self._opened()
        self.since = time.monotonic()
        try:
            return statement.first(connection, parameters)
        except BROKEN as error:
            self._rest((statement, parameters), connection)
            raise StoreUnavailable(f"the database cannot be read ({name_of(error)})") from error
        finally:
            self.since = 0.0

    def cut(self) -> None:
        """Shut the socket under a read that nobody answers. Called by the watchdog, from its thread."""
        connection = self._connection
        if connection is None:
            return
        with suppress(Exception):  # it may be gone by itself by now
            handle = os.dup(connection.connection.dbapi_connection.fileno())  # type: ignore[union-attr]
            with socket.socket(fileno=handle) as other_end:
                other_end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go; a thread that is mending ends, and is waited for so that it leaves nothing open."""
        self._closed = True
        mending = self._mending
        if mending is not None:
            mending.join(_FIRST_SECONDS)
        self._let_go(self._connection)
        self._connection = None

    # -- inside ------------------------------------------------------------------------------

    def _opened(self) -> Connection:
        """The first connection, opened in a thread and waited for only so long; later ones are never waited for."""
        mending = self._mend()
        if not self._resting:
            mending.join(_FIRST_SECONDS)
        if self._connection is None:
            raise StoreUnavailable("the database does not answer")
        return self._connection

    def _rest(self, reading: Reading, connection: Connection) -> None:
        self._resting[id(reading[0])] = reading
        self._connection = None
        self._let_go(connection)
        self._mend()

    def _mend(self) -> threading.Thread:
        with self._lock:
            if self._mending is None:
                self._mending = threading.Thread(target=self._mended, name="mending-reads", daemon=True)
                self._mending.start()
            return self._mending

    def _mended(self) -> None:
        """Connect, then ask what rests until it is answered."""
        trial: Connection | None = None
        while not self._done():
            try:
                if self._connection is None:
                    self._connection = self._connect()
                for key, (statement, parameters) in list(self._resting.items()):
                    trial = trial or self._connect()
                    statement.first(trial, parameters)
                    del self._resting[key]
            except BROKEN:
                self._let_go(trial)
                trial = None
                time.sleep(_AGAIN_SECONDS)
        self._let_go(trial)

    def _done(self) -> bool:
        """Whether nothing is left to mend; decided under the lock, so that what breaks next finds a new thread."""
        with self._lock:
            done = self._closed or (self._connection is not None and not self._resting)
            if done:
                self._mending = None
            return done

    def _let_go(self, connection: Connection | None) -> None:
        if connection is not None:
            with suppress(*BROKEN):
                connection.invalidate()
                connection.close()


class Watchdog:
    """Cuts reads that have taken longer than `patience` seconds; one thread for all readers of a database."""

    def __init__(self, readers: list[KeptReader], *, patience: float) -> None:
        self._readers = readers
        self._patience = patience
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watchdog-reads", daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(self._patience / 2):
            for reader in list(self._readers):
                since = reader.since
                if since and time.monotonic() - since > self._patience:
                    reader.cut()


def name_of(error: BaseException) -> str:
    """The kind of what went wrong, without the statement or its values."""
    return type(getattr(error, "orig", None) or error).__name__
