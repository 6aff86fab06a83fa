"""What is remembered of contact with a customer, and how an event changes it.

A *touch* is one display, one message sent, one dismissal, opening or opting out: a second, a product
and the mark of the decision it came from. Displays and messages are kept one by one, since rules
count them; of the others only the latest for each product, since rules ask how long ago it was. A
display that is told twice (by `seen` and by `/v1/displays`, or under two ids) counts once for each
decision and product, and what is older than the memory when it comes counts no more, so the result
does not depend on repeats.
"""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from recsys.records import micros
from recsys.vocabulary import Body, Contact, Decision, Display, Outcome, ProductId, Touch

SEEN, SENT, DISMISSED, OPENED, OPTED_OUT = "seen", "sent", "dismissed", "opened", "opted_out"
KINDS = (SEEN, SENT, DISMISSED, OPENED, OPTED_OUT)
COUNTED = frozenset({SEEN, SENT})  # kept one by one
PUSH = "push"
"""The surface, and channel, whose decisions send a message; all others are shown in the app."""

DAILY = 0.93
"""What is left of a display's weight after a day (domain 3.6)."""

DAY = 86_400
_FAINT = 0.01  # a decayed count below this is forgotten
_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Memory:
    """How many seconds each kind of touch is remembered: as long as the longest rule about it."""

    seconds: Mapping[str, int]

    @classmethod
    def of(cls, windows: Mapping[str, int]) -> Memory:
        """At least a week of displays and messages, by which repeats are told."""
        least = {kind: 7 * DAY if kind in COUNTED else 0 for kind in KINDS}
        return cls(MappingProxyType({kind: max(windows.get(kind, 0), least[kind]) for kind in KINDS}))


def second_of(at: datetime) -> int:
    """The whole second of a moment, since 1970."""
    return micros(at) // 1_000_000


def mark_of(decision_id: str) -> str:
    """Eight letters that tell a customer's decisions apart (48 bits).

    >>> len(mark_of("d-1")), mark_of("d-1") == mark_of("d-2")
    (8, False)
    """
    return urlsafe_b64encode(blake2b(decision_id.encode(), digest_size=6).digest()).decode()


def touches_of(body: Body) -> Iterator[tuple[str, Touch]]:
    """(kind, touch) of everything an event does to its customer."""
    match body:
        case Decision(surface=surface) if surface == PUSH:
            second, mark = second_of(body.made_at), mark_of(body.decision_id)
            yield from ((SENT, (second, slot.product_id, mark)) for slot in body.shown)
        case Display():
            second, mark = second_of(body.displayed_at), mark_of(body.decision_id)
            yield from ((SEEN, (second, product, mark)) for product in body.product_ids)
        case Outcome(kind=kind) if kind in KINDS and kind != SENT:
            mark = "" if body.decision_id is None else mark_of(body.decision_id)
            yield kind, (second_of(body.happened_at), body.product_id, mark)


def remembered(contact: Contact, fresh: Sequence[tuple[str, Touch]], *, now: int, memory: Memory) -> Contact:
    """The contact with fresh touches and without what no rule can reach any more; itself where nothing is new."""
    kept = {kind: list(contact.touches.get(kind, ())) for kind, _ in fresh}
    tired = dict(contact.tired)
    moved = False
    for kind, touch in fresh:
        if touch[0] <= now - memory.seconds[kind] or not _takes(kept[kind], touch, counted=kind in COUNTED):
            continue
        moved = True
        if kind == SEEN:
            tired[touch[1]] = _once_more(tired.get(touch[1]), touch[0])
    if not moved:
        return contact
    touches = {
        kind: _pruned(each, after=now - memory.seconds[kind]) for kind, each in {**contact.touches, **kept}.items()
    }
    awake = {product: each for product, each in tired.items() if _decayed(*each, now=now) >= _FAINT}
    return Contact({kind: each for kind, each in touches.items() if each}, awake, contact.version + 1)


def without(contact: Contact, *, decision_id: str) -> Contact:
    """The contact as it would be without the displays and messages of one decision."""
    mark = mark_of(decision_id)
    return Contact(
        {
            kind: [touch for touch in each if kind not in COUNTED or touch[2] != mark]
            for kind, each in contact.touches.items()
        },
        contact.tired,
        contact.version,
    )


def seen_lately(contact: Contact, product_id: ProductId, *, now: int) -> float:
    """Displays of the product, each weighing 0.93 for every day since.

    >>> seen_lately(Contact(tired={"pot": (2.0, 0)}), "pot", now=DAY)
    1.86
    """
    found = contact.tired.get(product_id)
    return 0.0 if found is None else _decayed(*found, now=now)


def parsed(text: str, *, version: int) -> Contact:
    """A contact from its stored text."""
    kept: dict[str, Any] = json.loads(text)
    return Contact(kept["touches"], kept["tired"], version)


def written(contact: Contact) -> str:
    """A contact as stored."""
    return _encoder.encode({"touches": dict(contact.touches), "tired": dict(contact.tired)})


def _takes(kept: list[Touch], touch: Touch, *, counted: bool) -> bool:
    """Put a touch in its place among those of its kind; False where it says nothing new."""
    second, product, mark = touch
    if counted:
        if mark and any(each[1] == product and each[2] == mark for each in kept):
            return False
    else:
        known = next((place for place, each in enumerate(kept) if each[1] == product), None)
        if known is not None:
            if kept[known][0] >= second:
                return False
            del kept[known]
    kept.append(touch)
    kept.sort(key=lambda each: each[0])
    return True


def _pruned(touches: Sequence[Touch], *, after: int) -> list[Touch]:
    return [touch for touch in touches if touch[0] > after]


def _once_more(before: tuple[float, int] | None, second: int) -> tuple[float, int]:
    """A decayed count with one more display; an earlier display adds what is left of it."""
    if before is None:
        return 1.0, second
    count, stood = before
    latest = max(stood, second)
    return round(_decayed(count, stood, now=latest) + _decayed(1.0, second, now=latest), 6), latest


def _decayed(count: float, second: int, *, now: int) -> float:
    days = max(now - second, 0) / DAY
    return count * math.pow(DAILY, days)
