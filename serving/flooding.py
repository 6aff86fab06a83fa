"""Who teaches too much: bounds for each source in each window, decided from the log alone.

A lesson is taught once for a decision, a slot and a stage, so a flood of outcomes on one decision moves
nothing; what could move a learner is many decisions of one customer, or many decisions told of by one
key. Past its bound in a window, what a source touches is doubted: its lessons wait in quarantine
for a person, neither believed nor counted as a zero.

Windows are cut by `recorded_at`, which grows with the position, so a restart that reads from the
beginning of a window counts as the undisturbed run did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from recsys.records import micros
from recsys.vocabulary import Decision, Event, Outcome


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one source may teach within one window of business time; 0 is no bound."""

    decisions: int = 200  # of one customer
    outcomes: int = 1_000_000  # told by one key
    window: timedelta = timedelta(days=1)


class Flood:
    """Counts what each source sent in the present window; feed it every event in position order."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._decisions: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._starts: list[int] = []  # the first position of each window that was met
        self._index = -1

    def take(self, event: Event) -> str | None:
        """Why what the event tells is doubted: it comes from a source past its bound."""
        index = micros(event.recorded_at) // (self._bounds.window // timedelta(microseconds=1))
        if index != self._index:
            self._index = index
            self._starts.append(event.position)
            self._decisions.clear()
            self._outcomes.clear()
        body = event.body
        if isinstance(body, Decision) and body.token:
            self._decisions[body.token] += 1
            if 0 < self._bounds.decisions < self._decisions[body.token]:
                return f"its customer had more than {self._bounds.decisions:,} decisions in a window"
        elif isinstance(body, Outcome) and body.source:
            self._outcomes[body.source] += 1
            if 0 < self._bounds.outcomes < self._outcomes[body.source]:
                return f"a key told of more than {self._bounds.outcomes:,} outcomes in a window"
        return None

    def begins(self, position: int) -> int:
        """The position before the window that holds `position`: where counting must begin again to be the same."""
        found = bisect_right(self._starts, position) - 1
        return self._starts[max(found, 0)] - 1 if self._starts else 0
