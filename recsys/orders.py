"""Where switches and overrides are kept: in the database, in the log, and in a small file of the home.

The database holds the last word on each, the log every word. A process keeps the state in memory and
looks once a second whether one number has grown. What it saw last it leaves in a file, so that a
process that starts while the database is away still obeys; where there is not even a file, nothing
is shown.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from recsys import database as db
from recsys.artefacts import canonical, digest_of
from recsys.clocks import Clock
from recsys.database import Database
from recsys.errors import Conflict, Corrupt, NotFound, RecsysError, StoreUnavailable
from recsys.eventlog import Entry, EventLog
from recsys.records import SCHEMA, decode, encode
from recsys.steering import UNREADABLE, Known, Steering, checked_override, checked_switch
from recsys.vocabulary import Override, Switch

_NUMBER = select(func.max(db.steering.c.change))
_ROWS = select(db.steering).order_by(db.steering.c.change)
logger = logging.getLogger(__name__)


class Orders:
    """The switches and overrides of one home. `current` is replaced whole; readers take it once a decision."""

    def __init__(self, database: Database, *, log: EventLog, clock: Clock, file: Path) -> None:
        self._database = database
        self._log = log
        self._clock = clock
        self._file = file
        self._lock = threading.Lock()
        self.trouble = ""  # why orders are not followed, for whoever watches
        self._closed = threading.Event()
        self._following: threading.Thread | None = None
        self.current = UNREADABLE

    # -- reading -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what was ordered since the last look; without a database, what the file says. Never raises."""
        with self._lock:
            try:
                self._follow()
                self.trouble = ""
            except StoreUnavailable as error:
                self._recall()
                logger.warning("switches as they were last seen: %s", error)
            except Exception as error:  # whatever it was: who follows must go on following
                self.trouble = f"switches and overrides cannot be followed ({type(error).__name__}): restart or mend"
                logger.error(self.trouble)

    def follow(self, *, every: float = 1.0) -> None:
        """Refresh now, and again every so many seconds in a thread of its own, whatever else hangs, until `close`."""
        self.refresh()
        self._following = threading.Thread(target=self._followed, args=(every,), name="following-orders", daemon=True)
        self._following.start()

    def close(self) -> None:
        """Stop following; a look under way is waited for, but not for long."""
        self._closed.set()
        if self._following is not None:
            self._following.join(3.0)

    def _followed(self, every: float) -> None:
        while not self._closed.wait(every):
            self.refresh()

    def history(self) -> tuple[tuple[Switch, ...], tuple[Override, ...]]:
        """The last word on every switch and override there ever was, oldest first. Raises `StoreUnavailable`."""
        with self._database.reading() as connection:
            bodies = _bodies((row.kind, row.text) for row in connection.execute(_ROWS))
        return tuple(b for b in bodies if isinstance(b, Switch)), tuple(b for b in bodies if isinstance(b, Override))

    def _follow(self) -> None:
        with self._database.reading() as connection:
            number = connection.execute(_NUMBER).scalar() or 0
            if number == self.current.number:
                return
            rows = [(row.kind, row.text) for row in connection.execute(_ROWS)]
        self.current = self._state(number, rows)
        self._remember(number, rows)

    def _state(self, number: int, rows: Iterable[tuple[str, str]]) -> Steering:
        now, bodies = self._clock.now(), _bodies(rows)
        switches = tuple(b for b in bodies if isinstance(b, Switch) and b.off and _lasts(b.expires_at, now))
        return Steering(
            number, switches, tuple(b for b in bodies if isinstance(b, Override) and _lasts(b.ends_at, now))
        )

    # -- ordering ----------------------------------------------------------------------------

    def switch(self, order: Switch, *, known: Known) -> Switch:
        """Turn something off or on again; durable on return. Raises `InvalidConfiguration`."""
        now = self._clock.now()
        order = replace(checked_switch(order, at=now, known=known), changed_at=now)
        with self._database.writing() as connection:
            self._put(connection, f"switch:{order.scope}:{order.subject}", order)
        self.refresh()
        return order

    def override(self, order: Override, *, known: Known) -> Override:
        """Give an override; the same again changes nothing. Raises `Conflict` or `InvalidConfiguration`."""
        key = f"override:{order.override_id}"
        with self._database.writing() as connection:
            found = _found(connection, key)
            if found == order:
                return order
            if found is not None:
                raise Conflict(f"an override {order.override_id} was given before: take another id")
            self._put(connection, key, checked_override(order, at=self._clock.now(), known=known))
        self.refresh()
        return order

    def withdraw(self, override_id: str, *, by: str, reason: str) -> Override:
        """End an override now; one that has ended stays as it is. Raises `NotFound`."""
        now, key = self._clock.now(), f"override:{override_id}"
        with self._database.writing() as connection:
            found = _found(connection, key)
            if not isinstance(found, Override):
                raise NotFound(f"no override is called {override_id[:60]}")
            if found.ends_at <= now:
                return found
            ended = replace(found, withdrawn_at=now, by=by, reason=reason)
            self._put(connection, key, ended)
        self.refresh()
        return ended

    def _put(self, connection: Connection, key: str, body: Switch | Override) -> None:
        record = encode(body)
        change = (connection.execute(_NUMBER).scalar() or 0) + 1
        connection.execute(delete(db.steering).where(db.steering.c.key == key))
        row = {"key": key, "kind": record.kind, "change": change, "text": record.text}
        connection.execute(insert(db.steering), row)
        self._log.append_in(connection, [(Entry(body), record)])

    # -- the file ----------------------------------------------------------------------------

    def _remember(self, number: int, rows: Sequence[tuple[str, str]]) -> None:
        content = canonical([number, rows])
        try:
            handle, staged = tempfile.mkstemp(prefix=".steering-", dir=self._file.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{digest_of(content)}\n{content}\n")
                file.flush()
                os.fsync(file.fileno())
            Path(staged).replace(self._file)
        except OSError as error:  # memory knows; only a restart without a database would not
            logger.error("%s cannot be written (%s)", self._file.name, type(error).__name__)

    def _recall(self) -> None:
        """Take in the file where it knows more than memory; damage is as good as no file."""
        try:
            digest, _, content = self._file.read_text(encoding="utf-8").strip().partition("\n")
            if digest != digest_of(content):
                raise Corrupt(f"{self._file.name} is not what was written")
            number, rows = json.loads(content)
            if number > self.current.number:
                self.current = self._state(number, [(kind, text) for kind, text in rows])
        except (OSError, ValueError, TypeError, RecsysError) as error:
            logger.warning("%s tells nothing (%s)", self._file.name, type(error).__name__)


def _lasts(end: datetime | None, now: datetime) -> bool:
    return end is None or now < end


def _bodies(rows: Iterable[tuple[str, str]]) -> list[Switch | Override]:
    """What the rows say; one that cannot be read is passed over, so that it does not silence the others."""
    bodies = []
    for kind, text in rows:
        try:
            bodies.append(decode(kind, text, token="", schema=SCHEMA, lookup=_no_part))
        except RecsysError as error:
            logger.error("a switch or an override cannot be read and is not in force: %s", error)
    return [body for body in bodies if isinstance(body, Switch | Override)]


def _found(connection: Connection, key: str) -> Switch | Override | None:
    row = connection.execute(select(db.steering).where(db.steering.c.key == key)).first()
    return None if row is None else next(iter(_bodies([(row.kind, row.text)])), None)


def _no_part(ref: str) -> Any:
    raise Corrupt(f"a switch or override names the part {ref}")
