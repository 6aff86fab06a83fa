"""Events → lessons and rounds, by event time.

`Joiner` reads the log in position order and keeps what is still open. Before it takes in an event it
moves the watermark to that event's `recorded_at` and lets go of everything whose window (and grace)
has closed by then, ordered by (ripe at, position, stage, slot). It never looks at a wall clock and
never at what lies ahead, so what it has told after position n is a function of the first n events,
however they were cut into batches, and outcomes may come in any order inside their windows.

Outcomes recorded after their stage was told amend no lesson; a round takes them if it is still open.
Organic outcomes (no decision) join no round: experiments count them. Lessons of the stage "anyway" are made
of them: for each decision one candidate that its slate did not show, drawn by the decision's own dice, and
whether its customer came to it by themselves within the window. Where a card brought them to it meanwhile
nobody knows, and there is no lesson.

Of a stage with a horizon a lesson also says which share of such outcomes is known by then (delays.py).

Of an open decision a few hundred bytes are held (waiting.py). The decision itself is kept whole, or read again from
the log when a lesson of it falls due: as it then stands there, so that who was forgotten since teaches no more.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import compress
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from recsys.delays import Delays
from recsys.rewards import SEEN, UNSHOWN, Rewards, Stage
from recsys.shelves import ids_of
from recsys.vocabulary import (
    NOTHING,
    Bools,
    Candidate,
    Decision,
    DecisionId,
    Display,
    Erasure,
    Event,
    Lesson,
    Outcome,
    ProductId,
    Round,
    Token,
)
from recsys.waiting import AT_ONCE, Closed, Held, Waiting, Whole, waiting_of

_Due: TypeAlias = tuple[datetime, int, int, Waiting]
"""When something of a decision ripens, the decision's position, which of its steps, and what is held of it."""


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


@dataclass(slots=True)
class _Comings:
    """What customers came to lately, by themselves or through a card: forgotten once no lesson can ask for it."""

    kept_for: timedelta
    kinds: frozenset[str]
    at: dict[tuple[Token, ProductId, str], list[tuple[datetime, bool]]] = field(default_factory=dict)
    known: deque[tuple[datetime, tuple[Token, ProductId, str]]] = field(default_factory=deque)

    def take(self, outcome: Outcome, *, now: datetime) -> None:
        if outcome.kind not in self.kinds:
            return
        key = (outcome.token, outcome.product_id, outcome.kind)
        self.at.setdefault(key, []).append((outcome.happened_at, outcome.decision_id is None))
        self.known.append((now, key))
        while self.known and self.known[0][0] < now - self.kept_for:
            key = self.known.popleft()[1]
            self.at[key].pop(0)
            if not self.at[key]:
                del self.at[key]

    def anyway(self, key: tuple[Token, ProductId, str], *, since: datetime, until: datetime) -> bool | None:
        """Whether they came by themselves in (since, until]; None where a card brought them."""
        inside = [alone for at, alone in self.at.get(key, []) if since < at <= until]
        return None if not all(inside) else bool(inside)


@dataclass(slots=True)
class _Followed:
    """Slots that a stage with a horizon has been taught of: what still comes of them tells how late things come."""

    delays: Delays
    open: dict[tuple[DecisionId, ProductId], tuple[datetime, str]] = field(default_factory=dict)  # when, which family

    def taught(
        self, decision: Decision, candidate: Candidate, *, came_at: datetime | None, horizon: timedelta, now: datetime
    ) -> None:
        family = family_of(candidate)
        if came_at is not None:
            product, delay = candidate.product_id, came_at - decision.made_at
            self.delays.note(product, decision.made_at, family=family, delay=delay)
        else:
            self.open[decision.decision_id, candidate.product_id] = (decision.made_at, family)
        while self.open:
            oldest = next(iter(self.open))
            if self.open[oldest][0] + horizon + _PATIENCE > now:
                break
            del self.open[oldest]

    def take(self, outcome: Outcome) -> None:
        if outcome.decision_id is not None:
            found = self.open.pop((outcome.decision_id, outcome.product_id), None)
            if found is not None:
                made_at, family = found
                self.delays.note(outcome.product_id, made_at, family=family, delay=outcome.happened_at - made_at)


_PATIENCE = timedelta(days=3)  # for late delivery of what came just within a horizon


class Joiner:
    """Feed it events in position order; it tells lessons as they ripen and rounds as they close."""

    def __init__(self, rewards: Rewards, *, whole: Whole | None = None) -> None:
        self._rewards = rewards
        self._whole: Whole = Held() if whole is None else whole
        self._open: dict[DecisionId, Waiting] = {}  # oldest first
        self._due: list[_Due] = []  # of each open decision what is due next
        self._last = len(rewards.stages)
        self._steps = sorted(  # from the decision until each stage, by number, is taught; last of all it closes
            [*((stage.taught_after, n) for n, stage in enumerate(rewards.stages)), (rewards.longest, self._last)]
        )
        kinds = dict.fromkeys((SEEN, *(stage.kind for stage in rewards.stages)))
        self._mark_of = {kind: mark for mark, kind in enumerate(kinds)}
        self._before = {stage.name: stage for stage in rewards.stages}
        self._follows: datetime | None = None
        self.watermark: datetime | None = None
        self.misfits: list[tuple[int, str]] = []  # (position, reason): the caller takes them into quarantine
        self.counters = Counters()
        asked = frozenset(stage.kind for stage in rewards.stages if stage.given == UNSHOWN)
        self._comings = _Comings(rewards.longest + _PATIENCE, asked) if asked else None
        self._followed = {
            stage.name: _Followed(Delays(stage.horizon)) for stage in rewards.stages if stage.horizon is not None
        }

    def feed(self, event: Event) -> Iterator[Lesson | Round]:
        """Everything that ripened by the event's `recorded_at`; then take the event in."""
        for each in self.ripen(event):
            if isinstance(each, Lesson):
                yield each
            elif (decision := self._whole.give(each.position, ahead=self._ahead)) is not None:
                yield each.round(decision)

    def ripen(self, event: Event) -> Iterator[Lesson | Closed]:
        """The same, for whoever needs no decision of a round: where decisions are read again, a reading less."""
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
            case Erasure():
                self._whole.forget(event.body.token)
            case _:
                pass

    def expect(self, until: datetime) -> None:
        """Events up to a moment follow: what ripens by then may be read together. Changes nothing that is told."""
        self._follows = until

    def open_from(self, position: int) -> int:
        """The position before the oldest open decision: where a restart at `position` must begin to read.

        How late outcomes come is learned from all of them: where a stage has a horizon that is the beginning.
        """
        if self._followed:
            return 0
        oldest = next(iter(self._open.values()), None)
        return position if oldest is None else oldest.position - 1

    def _take_decision(self, decision: Decision, position: int) -> None:
        self.counters.decisions += 1
        self.counters.waiting += 1
        waiting = self._open[decision.decision_id] = waiting_of(decision, position=position)
        self._whole.take(decision, position=position)
        self._await(waiting, step=0)

    def _await(self, waiting: Waiting, *, step: int) -> None:
        after, _ = self._steps[step]
        heapq.heappush(self._due, (waiting.made_at + after, waiting.position, step, waiting))

    def _take_outcome(self, outcome: Outcome, position: int) -> None:
        self.counters.outcomes += 1
        if self._comings is not None and self.watermark is not None:
            self._comings.take(outcome, now=self.watermark)
        for stage in self._rewards.stages:
            if stage.kind == outcome.kind and stage.name in self._followed:
                self._followed[stage.name].take(outcome)
        if outcome.decision_id is None:
            self.counters.organic += 1
            return
        waiting = self._open.get(outcome.decision_id)
        if waiting is None:
            self.counters.late += 1
            return
        if outcome.product_id not in waiting.shown:
            self.counters.quarantined += 1
            self.misfits.append((position, "the outcome names a product that its decision never showed"))
            return
        self.counters.joined += 1
        if outcome.kind in self._mark_of:
            waiting.note(self._mark(waiting, outcome.product_id, outcome.kind), outcome.happened_at)

    def _mark(self, waiting: Waiting, product_id: ProductId, kind: str) -> int:
        return waiting.shown.index(product_id) * len(self._mark_of) + self._mark_of[kind]

    def _ripe(self, watermark: datetime) -> Iterator[Lesson | Closed]:
        while self._due and self._due[0][0] <= watermark:
            ripe_at, _, step, waiting = heapq.heappop(self._due)
            number = self._steps[step][1]
            if number < self._last:
                self._await(waiting, step=step + 1)
                for lesson in self._lessons(waiting, self._rewards.stages[number], ripe_at):
                    self.counters.lessons += 1
                    yield lesson
                if waiting.made_at + self._steps[step + 1][0] > watermark:
                    self._whole.rest(waiting.position)
            else:
                del self._open[waiting.decision_id]
                self.counters.waiting -= 1
                self.counters.closed += 1
                yield self._closed(waiting)
                self._whole.close(waiting.position)

    def _ahead(self) -> Iterator[int]:
        """Positions of decisions that may be asked for soon, those that are due first in front."""
        until = max(each for each in (self.watermark, self._follows) if each is not None)
        soonest, found = [(self._due[0], 0)] if self._due else [], 0
        while soonest and found < AT_ONCE:
            (ripe_at, position, step, waiting), row = heapq.heappop(soonest)
            if ripe_at > until:
                return
            number = self._steps[step][1]
            if number < self._last and any(self._telling(waiting, self._rewards.stages[number])):
                found += 1
                yield position
            for below in (2 * row + 1, 2 * row + 2):  # what a heap holds below a row is due later
                if below < len(self._due):
                    heapq.heappush(soonest, (self._due[below], below))

    def _telling(self, waiting: Waiting, stage: Stage) -> Iterator[bool]:
        """Of each shown product, whether the stage teaches of it; of what was not shown, True."""
        if stage.given == UNSHOWN:
            yield True
            return
        for place, product_id in enumerate(waiting.shown):
            yield waiting.as_shown(place) and self._reached(waiting, product_id, stage)

    def _lessons(self, waiting: Waiting, stage: Stage, ripe_at: datetime) -> Iterator[Lesson]:
        if not any(telling := list(self._telling(waiting, stage))):
            return
        decision = self._whole.give(waiting.position, ahead=self._ahead)
        if decision is None or decision.erased:
            return
        if stage.given == UNSHOWN:
            yield from self._unshown(decision, stage, ripe_at, position=waiting.position)
            return
        rows = {product_id: row for row, product_id in enumerate(ids_of(decision.candidates))}
        for slot in compress(decision.shown, telling):
            happened = waiting.within(self._mark(waiting, slot.product_id, stage.kind), stage)
            row = rows.get(slot.product_id)
            if row is not None:
                share = self._share(waiting, decision, row, stage=stage, now=ripe_at)
                yield Lesson(decision, slot, row, stage.name, happened, ripe_at, waiting.position, share)

    def _share(self, waiting: Waiting, decision: Decision, row: int, *, stage: Stage, now: datetime) -> float:
        """Of the stage's outcomes within its horizon, the share that is known now; then follow the slot further."""
        if stage.horizon is None:
            return 1.0
        followed, candidate = self._followed[stage.name], decision.candidates[row]
        age, family = min(stage.window, stage.taught_after), family_of(candidate)
        share = followed.delays.share(candidate.product_id, age, family=family, now=now)
        came_at = waiting.came_at(self._mark(waiting, candidate.product_id, stage.kind))
        followed.taught(decision, candidate, came_at=came_at, horizon=stage.horizon, now=now)
        return share

    def _unshown(self, decision: Decision, stage: Stage, ripe_at: datetime, *, position: int) -> Iterator[Lesson]:
        """One candidate that was not shown: did its customer come to it by themselves?"""
        row = unshown_row(decision, stage=stage.name)
        if row is None or self._comings is None or not decision.token:
            return
        key = (decision.token, decision.candidates[row].product_id, stage.kind)
        happened = self._comings.anyway(key, since=decision.made_at, until=decision.made_at + stage.window)
        if happened is not None:
            yield Lesson(decision, None, row, stage.name, happened, ripe_at, position)

    def _reached(self, waiting: Waiting, product_id: ProductId, stage: Stage) -> bool:
        """Whether every stage that `stage` is given happened; unseen slots do not teach."""
        if not waiting.within(self._mark(waiting, product_id, SEEN), None):
            return False
        given = stage.given
        while given != SEEN:
            before = self._before[given]
            if not waiting.within(self._mark(waiting, product_id, before.kind), before):
                return False
            given = before.given
        return True

    def _closed(self, waiting: Waiting) -> Closed:
        shown, stages = waiting.shown, dict[str, Bools]()
        seen = [waiting.within(self._mark(waiting, product_id, SEEN), None) for product_id in shown]
        points = np.zeros(len(shown))
        for stage in self._rewards.stages:
            if stage.given == UNSHOWN:
                continue
            happened = [
                self._reached(waiting, product_id, stage)
                and waiting.within(self._mark(waiting, product_id, stage.kind), stage)
                for product_id in shown
            ]
            stages[stage.name] = np.array(happened, dtype=np.bool_)
            points += stages[stage.name] * np.array([self._rewards.worth(stage, product_id) for product_id in shown])
        rewards = np.clip(points, self._rewards.low, self._rewards.high)
        return waiting.closed(rewards, seen=np.array(seen, dtype=np.bool_), stages=MappingProxyType(stages))


def unshown_row(decision: Decision, *, stage: str) -> int | None:
    """The row of the candidate, of those the slate did not show, that the decision's own dice draw; None for none."""
    shown = {slot.product_id for slot in decision.slots}
    rows = [row for row, each in enumerate(ids_of(decision.candidates)) if each not in {*shown, NOTHING}]
    head = sha256(f"{decision.decision_id}:{stage}".encode()).digest()[:8]
    return rows[int.from_bytes(head) % len(rows)] if rows else None


def family_of(candidate: Candidate) -> str:
    """The family that a candidate's features name, "" for none."""
    return next((name for name in candidate.names if name.startswith("family_")), "")


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
