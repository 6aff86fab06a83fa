"""Evidence of promotions that a law keeps although the person was forgotten (ERS-3, Art. 17(3)(b) and (e)).

It stands in a store of its own, which no process that learns, trains or exports ever opens: beside the home's
database, in a folder that only the installation's user may enter, or on a server with credentials of its own. What
was promoted, when and under which permission is kept under a keyed token, and nothing else: no fact, no id, no
token of the log. The key lies in that folder too, so whoever knows a customer's id, holds the key and may read the
store can answer a claim; nobody else can tell whose it is. Each line goes when the term of its decision ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from recsys.database import Database, sqlite_url
from recsys.errors import Corrupt
from recsys.records import micros, moment
from recsys.terms import term_of
from recsys.vocabulary import CustomerId, Decision, Display, Event

FILE, KEY = "evidence.db", "evidence.key"
_metadata = MetaData()
_promotions = Table(
    "promotions",
    _metadata,
    Column("decision_id", String(40), primary_key=True),
    Column("name", String(64), nullable=False, index=True),  # the keyed token
    Column("made_at", BigInteger, nullable=False),
    Column("until", BigInteger),  # null is for ever
    Column("text", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What somebody was shown, as it is kept once they are forgotten."""

    decision_id: str
    made_at: datetime
    until: datetime | None
    told: dict[str, Any]


class Evidence:
    """The restricted store. Opening it makes what is missing; raises `StoreUnavailable` or `Corrupt`."""

    def __init__(self, folder: Path, *, url: str = "") -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._key = _key(folder / KEY, store=folder / FILE)
        self._database = Database(url or sqlite_url(folder / FILE))
        with self._database.writing() as connection:
            _metadata.create_all(connection)
        if not url:
            (folder / FILE).chmod(0o600)

    def keep(self, customer_id: CustomerId, events: Sequence[Event]) -> list[Promotion]:
        """Keep what these events of one customer show of promotions; again, it changes nothing. Durable on return."""
        shown = {e.body.decision_id: list(e.body.product_ids) for e in events if isinstance(e.body, Display)}
        kept = [
            promoted(event.body, displayed=shown.get(event.body.decision_id))
            for event in events
            if isinstance(event.body, Decision) and event.body.purpose == "promotion" and event.body.shown
        ]
        if kept:
            dialect = postgresql if self._database.dialect == "postgresql" else sqlite
            rows = [
                {
                    "decision_id": each.decision_id,
                    "name": self._name(customer_id),
                    "made_at": micros(each.made_at),
                    "until": None if each.until is None else micros(each.until),
                    "text": json.dumps(each.told),
                }
                for each in kept
            ]
            with self._database.writing() as connection:
                connection.execute(dialect.insert(_promotions).on_conflict_do_nothing(), rows)
        return kept

    def of(self, customer_id: CustomerId) -> list[Promotion]:
        """What is kept of somebody who was forgotten, oldest first."""
        query = select(_promotions).where(_promotions.c.name == self._name(customer_id))
        with self._database.reading() as connection:
            rows = list(connection.execute(query.order_by(_promotions.c.made_at)))
        return [
            Promotion(
                row.decision_id,
                moment(row.made_at),
                None if row.until is None else moment(row.until),
                json.loads(row.text),
            )
            for row in rows
        ]

    def expire(self, now: datetime) -> int:
        """Remove what was kept long enough; how many."""
        with self._database.writing() as connection:
            return connection.execute(delete(_promotions).where(_promotions.c.until < micros(now))).rowcount

    def close(self) -> None:
        """Let go of the store."""
        self._database.close()

    def _name(self, customer_id: CustomerId) -> str:
        return hmac.new(self._key, customer_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def promoted(decision: Decision, *, displayed: Sequence[str] | None) -> Promotion:
    """What of a decision is evidence: what was shown, under which permission, rules and words."""
    permissions = decision.permissions
    told = {
        "surface": decision.surface,
        "products": [[slot.product_id, slot.creative_id] for slot in decision.shown],
        "displayed": None if displayed is None else list(displayed),
        "reasons": [[reason.code for reason in slot.reasons] for slot in decision.shown],
        "permitted": {"in_app": permissions.in_app, "push": permissions.push, "email": permissions.email},
        "policy": decision.policy,
        "catalogue": decision.versions.catalogue,
        "rule_pack": decision.versions.rule_pack,
        "privacy_notice": decision.versions.privacy_notice,
    }
    until = term_of(decision.retention).after(decision.made_at)
    return Promotion(decision.decision_id, decision.made_at, until, told)


def _key(path: Path, *, store: Path) -> bytes:
    """The key of the keyed tokens, made once; whoever comes second takes the first one's."""
    if not path.exists():
        if store.exists():
            raise Corrupt(f"{path} is gone, and what {store.name} keeps cannot be found without it: put it back")
        handle, staged = tempfile.mkstemp(prefix=".key-", dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(staged)
        Path(staged).unlink()
    text = path.read_text(errors="replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Corrupt(f"{path} holds no key: put it back from a backup, or what is kept cannot be found")
    return key
