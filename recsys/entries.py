"""What goes into the event log, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recsys.contact import Reservation
from recsys.vocabulary import Body


class Status(StrEnum):
    """What an append came to."""

    APPENDED = "appended"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    STALE = "stale"  # facts or permissions changed since the decision read them: nothing was written
    CAPPED = "capped"  # what it shows may no longer be shown so soon: nothing was written
    ERASED = "erased"  # it is about somebody who was forgotten: nothing was written


REFUSALS = frozenset({Status.STALE, Status.CAPPED})
"""Nothing was written, and the decision is to be made anew."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked under which id, and the digest of what was asked."""

    key_name: str
    request_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to append; a decision with a reservation only if that still holds."""

    body: Body
    request: Request | None = None
    reservation: Reservation | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an entry. `decision_id` names the earlier decision of a repeated request."""

    status: Status
    position: int
    decision_id: str | None = None
