"""Which part of a home's log is judged, what is left out of it and why, and the rounds of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bandits.logged_slates import Frame
from recsys.eventlog import EventLog
from recsys.joining import Joiner
from recsys.rewards import Rewards
from recsys.shelves import ids_of
from recsys.vocabulary import NOTHING, Decision, ProductId, Round

_NOT_CHOSEN = {
    "holdout": "the hold-out",
    "broadcast": "the same list for everyone",
    "search": "asked for in words that are not kept",
}
Told = Callable[[str, int], None]
"""Hears which pass over the log is going on, and the position it has come to."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the log: decisions made in [since, until), on one surface, perhaps only those drawn evenly.

    `places` judges that many slots from the top, None whole slates.
    """

    since: datetime | None = None
    until: datetime | None = None
    surface: str | None = None
    uniform_only: bool = False
    places: int | None = None

    def takes(self, decision: Decision) -> bool:
        """Whether a decision lies in this part."""
        if self.since is not None and decision.made_at < self.since:
            return False
        if self.until is not None and decision.made_at >= self.until:
            return False
        return self.surface is None or decision.surface == self.surface

    def why_left_out(self, decision: Decision) -> str | None:
        """Why a decision in this part says nothing of another policy; None where it does."""
        if decision.mode in _NOT_CHOSEN:
            return _NOT_CHOSEN[decision.mode]
        if not decision.candidates or not decision.slots:
            return "nothing could be shown"
        if decision.policy.startswith("static@"):
            return "drawn from a fixed list"
        if not decision.context.names:
            return "facts erased"
        if self.uniform_only and not decision.policy.startswith("uniform@"):
            return "not drawn evenly"
        return None


@dataclass(slots=True)
class Survey:
    """What lies in a scope, read once before anything is judged."""

    products: dict[ProductId, None] = field(default_factory=dict)
    features: dict[str, None] = field(default_factory=dict)
    places: int = 1
    decisions: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None
    position: int = 0  # the log's end as it was

    def frame(self, scope: Scope) -> Frame:
        """The columns of what was found."""
        places = self.places if scope.places is None else min(scope.places, self.places)
        return Frame(tuple(sorted(self.products)), places, tuple(self.features))

    @property
    def span(self) -> tuple[float, float]:
        """From the first decision to just after the last, in seconds since 1970."""
        if self.first_at is None or self.last_at is None:
            return 0.0, 1.0
        return self.first_at.timestamp(), self.last_at.timestamp() + 1.0


def surveyed(log: EventLog, *, scope: Scope, told: Told, also: Callable[[Decision], None] = lambda _: None) -> Survey:
    """Read the decisions of a scope; `also` sees each one that will be judged."""
    found = Survey(position=log.last_position())
    for event in log.read(after=_start(log, scope), until=found.position, kinds=("decision",)):
        decision = event.body
        if not isinstance(decision, Decision) or not scope.takes(decision):
            continue
        told("reading", event.position)
        found.decisions += 1
        if (why := scope.why_left_out(decision)) is not None:
            found.left_out[why] += 1
            continue
        found.products.update((each, None) for each in ids_of(decision.candidates) if each != NOTHING)
        found.features.update(dict.fromkeys(decision.context.names))
        found.places = max(found.places, len(decision.slots))
        found.first_at = min(found.first_at or decision.made_at, decision.made_at)
        found.last_at = max(found.last_at or decision.made_at, decision.made_at)
        also(decision)
    return found


def matured(
    log: EventLog, *, scope: Scope, rewards: Rewards, until: int, told: Callable[[int], None]
) -> Iterator[Round]:
    """The rounds of a scope that may be judged: all their windows have closed by the log's own watermark."""
    joiner = Joiner(rewards)
    last = None if scope.until is None else scope.until + rewards.longest + timedelta(days=1)
    for event in log.read(after=_start(log, scope), until=until):
        for each in joiner.feed(event):
            if isinstance(each, Round) and scope.takes(each.decision) and scope.why_left_out(each.decision) is None:
                yield each
        told(event.position)
        if last is not None and event.recorded_at > last:
            return


def _start(log: EventLog, scope: Scope) -> int:
    return 0 if scope.since is None else log.position_before(scope.since)
