"""A lease elects one process among several: the learner, the encoder.

A lease runs in machine time and must be renewed before it ends; a process that died loses it by
itself. It guards against waste and confusion, not against corruption: what the holder publishes is
a function of the log, so even two holders would publish the same.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select, update

from recsys import database as db
from recsys.database import Database
from recsys.records import micros


class Lease:
    """One process's claim on a name."""

    def __init__(self, database: Database, *, name: str, lasting: timedelta = timedelta(seconds=10)) -> None:
        self._database = database
        self._name = name
        self._lasting = lasting
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def held(self) -> bool:
        """Take or renew the lease; False while another process holds it."""
        now = micros(datetime.now(UTC))
        until = now + self._lasting // timedelta(microseconds=1)
        table = db.leases
        with self._database.writing() as connection:
            row = connection.execute(select(table).where(table.c.name == self._name)).first()
            if row is None:
                connection.execute(insert(table).values(name=self._name, holder=self.holder, expires_at=until))
                return True
            if row.holder != self.holder and row.expires_at > now:
                return False
            connection.execute(
                update(table).where(table.c.name == self._name).values(holder=self.holder, expires_at=until)
            )
            return True

    def release(self) -> None:
        """Give the lease back, so that a successor need not wait."""
        table = db.leases
        with self._database.writing() as connection:
            connection.execute(
                update(table).where(table.c.name == self._name, table.c.holder == self.holder).values(expires_at=0)
            )
