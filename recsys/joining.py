"""Events → lessons and rounds, by event time.

`Joiner` reads the log in position order and keeps what is still open. Before it takes in an event it
moves the watermark to that event's `recorded_at` and lets go of everything whose window (and grace)
has closed by then, ordered by (ripe at, position, stage, slot). It never looks at a wall clock and
never at what lies ahead, so what it has told after position n is a function of the first n events,
however they were cut into batches, and outcomes may come in any order inside their windows.

Outcomes recorded after their stage was told amend no lesson; a round takes them if it is still open.
Organic outcomes (no decision) join nothing here: experiments count them, learners use them later.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np

from recsys.rewards import SEEN, Rewards, Stage
from recsys.vocabulary import Decision, Display, Event, Lesson, Outcome, ProductId, Round


@dataclass(slots=True)
class _Open:
    """A decision still waiting: what is known of its slots so far."""

    decision: Decision
    position: int
    happened: dict[tuple[ProductId, str], datetime] = field(default_factory=dict)  # (product, kind) → earliest
    displayed: tuple[ProductId, ...] | None = None

    def within(self, product_id: ProductId, kind: str, stage: Stage | None) -> bool:
        at = self.happened.get((product_id, kind))
        return at is not None and (stage is None or at <= self.decision.made_at + stage.window)

    def as_shown(self, number: int, product_id: ProductId) -> bool:
        """Whether the slot was displayed as decided (nobody said otherwise, or it stood there)."""
        shown = self.displayed
        return shown is None or (number <= len(shown) and shown[number - 1] == product_id)


@dataclass(slots=True)
class Counters:
    """What became of the outcomes and decisions so far; they reconcile (see `reconciles`)."""

    decisions: int = 0
    outcomes: int = 0
    organic: int = 0
    joined: int = 0
    late: int = 0  # its decision's last window had closed: kept in the log, amends no lesson
    quarantined: int = 0  # names a product that its decision never showed: joins nothing, kept with its reason
    waiting: int = 0  # decisions still open
    closed: int = 0
    lessons: int = 0

    def reconciles(self) -> bool:
        """Every outcome and every decision is accounted for."""
        outcomes = self.joined + self.organic + self.late + self.quarantined
        return self.outcomes == outcomes and self.decisions == self.waiting + self.closed


class Joiner:
    """Feed it events in position order; it tells lessons as they ripen and rounds as they close."""

    def __init__(self, rewards: Rewards) -> None:
        self._rewards = rewards
        self._open: dict[str, _Open] = {}
        self._due: list[tuple[datetime, int, int, str]] = []  # ripe_at, position, stage number (last: close), id
        self._last = len(rewards.stages)
        self.watermark: datetime | None = None
        self.misfits: list[tuple[int, str]] = []  # (position, reason): the caller takes them into quarantine
        self.counters = Counters()

    def feed(self, event: Event) -> Iterator[Lesson | Round]:
        """Everything that ripened by the event's `recorded_at`; then take the event in."""
        if self.watermark is None or event.recorded_at > self.watermark:
            self.watermark = event.recorded_at
        yield from self._ripe(self.watermark)
        match event.body:
            case Decision():
                self._take_decision(event.body, event.position)
            case Outcome():
                self._take_outcome(event.body, event.position)
            case Display():
                if (waiting := self._open.get(event.body.decision_id)) is not None:
                    waiting.displayed = event.body.product_ids
            case _:
                pass

    def open_from(self, position: int) -> int:
        """The position before the oldest open decision: where a restart at `position` must begin to read."""
        return min((waiting.position for waiting in self._open.values()), default=position + 1) - 1

    def _take_decision(self, decision: Decision, position: int) -> None:
        self.counters.decisions += 1
        self.counters.waiting += 1
        self._open[decision.decision_id] = _Open(decision, position)
        for number, stage in enumerate(self._rewards.stages):
            heapq.heappush(self._due, (decision.made_at + stage.ripe_after, position, number, decision.decision_id))
        end = decision.made_at + self._rewards.longest
        heapq.heappush(self._due, (end, position, self._last, decision.decision_id))

    def _take_outcome(self, outcome: Outcome, position: int) -> None:
        self.counters.outcomes += 1
        if outcome.decision_id is None:
            self.counters.organic += 1
            return
        waiting = self._open.get(outcome.decision_id)
        if waiting is None:
            self.counters.late += 1
            return
        if all(slot.product_id != outcome.product_id for slot in waiting.decision.shown):
            self.counters.quarantined += 1
            self.misfits.append((position, "the outcome names a product that its decision never showed"))
            return
        self.counters.joined += 1
        key = (outcome.product_id, outcome.kind)
        known = waiting.happened.get(key)
        waiting.happened[key] = outcome.happened_at if known is None else min(known, outcome.happened_at)

    def _ripe(self, watermark: datetime) -> Iterator[Lesson | Round]:
        while self._due and self._due[0][0] <= watermark:
            ripe_at, _, number, decision_id = heapq.heappop(self._due)
            waiting = self._open[decision_id]
            if number < self._last:
                for lesson in self._lessons(waiting, self._rewards.stages[number], ripe_at):
                    self.counters.lessons += 1
                    yield lesson
            else:
                del self._open[decision_id]
                self.counters.waiting -= 1
                self.counters.closed += 1
                yield self._round(waiting)

    def _lessons(self, waiting: _Open, stage: Stage, ripe_at: datetime) -> Iterator[Lesson]:
        decision = waiting.decision
        rows = {candidate.product_id: row for row, candidate in enumerate(decision.candidates)}
        for slot in decision.shown:
            if not self._reached(waiting, slot.product_id, stage) or not waiting.as_shown(slot.number, slot.product_id):
                continue
            happened = waiting.within(slot.product_id, stage.kind, stage)
            row = rows.get(slot.product_id)
            if row is not None:
                yield Lesson(decision, slot, row, stage.name, happened, ripe_at, waiting.position)

    def _reached(self, waiting: _Open, product_id: ProductId, stage: Stage) -> bool:
        """Whether every stage that `stage` is given happened; unseen slots do not teach."""
        if not waiting.within(product_id, SEEN, None):
            return False
        before = {each.name: each for each in self._rewards.stages}
        given = stage.given
        while given != SEEN:
            if not waiting.within(product_id, before[given].kind, before[given]):
                return False
            given = before[given].given
        return True

    def _round(self, waiting: _Open) -> Round:
        shown = waiting.decision.shown
        seen = np.array([waiting.within(slot.product_id, SEEN, None) for slot in shown], dtype=np.bool_)
        points = np.zeros(len(shown))
        stages: dict[str, np.ndarray] = {}
        for stage in self._rewards.stages:
            happened = np.array(
                [
                    self._reached(waiting, slot.product_id, stage)
                    and waiting.within(slot.product_id, stage.kind, stage)
                    for slot in shown
                ],
                dtype=np.bool_,
            )
            stages[stage.name] = happened
            points += happened * np.array([self._rewards.worth(stage, slot.product_id) for slot in shown])
        rewards = np.clip(points, self._rewards.low, self._rewards.high)
        return Round(waiting.decision, waiting.position, rewards, seen, MappingProxyType(stages), waiting.displayed)


def join(events: Iterable[Event], *, rewards: Rewards) -> Iterator[Lesson | Round]:
    """Lessons and rounds of a log, in the order in which they became known."""
    joiner = Joiner(rewards)
    for event in events:
        yield from joiner.feed(event)


def rounds(events: Iterable[Event], *, rewards: Rewards) -> Iterator[Round]:
    """The rounds of a log: decisions all of whose windows have closed."""
    return (each for each in join(events, rewards=rewards) if isinstance(each, Round))


def lessons(events: Iterable[Event], *, rewards: Rewards) -> Iterator[Lesson]:
    """The lessons of a log, each told once, when its stage's window has closed."""
    return (each for each in join(events, rewards=rewards) if isinstance(each, Lesson))
