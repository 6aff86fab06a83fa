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
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType

import numpy as np

from recsys.delays import Delays
from recsys.rewards import SEEN, UNSHOWN, Rewards, Stage
from recsys.vocabulary import (
    NOTHING,
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
    without_person,
)


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


@dataclass(slots=True)
class _Comings:
    """What customers came to lately, by themselves or through a card: forgotten once no lesson can ask for it."""

    kept_for: timedelta
    at: dict[tuple[Token, ProductId, str], list[tuple[datetime, bool]]] = field(default_factory=dict)
    known: deque[tuple[datetime, tuple[Token, ProductId, str]]] = field(default_factory=deque)

    def take(self, outcome: Outcome, *, now: datetime) -> None:
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
    open: dict[tuple[DecisionId, ProductId], tuple[datetime, str]] = field(default_factory=dict)

    def taught(
        self, decision: Decision, candidate: Candidate, *, came_at: datetime | None, horizon: timedelta, now: datetime
    ) -> None:
        family = family_of(candidate)
        if came_at is not None:
            self.delays.note(family, decision.made_at, delay=came_at - decision.made_at)
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
                self.delays.note(found[1], found[0], delay=outcome.happened_at - found[0])


_PATIENCE = timedelta(days=3)  # for late delivery of what came just within a horizon


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
        asks = any(stage.given == UNSHOWN for stage in rewards.stages)
        self._comings = _Comings(rewards.longest + _PATIENCE) if asks else None
        self._followed = {
            stage.name: _Followed(Delays(stage.horizon)) for stage in rewards.stages if stage.horizon is not None
        }

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
            case Erasure():
                self._forget(event.body.token)
            case _:
                pass

    def open_from(self, position: int) -> int:
        """The position before the oldest open decision: where a restart at `position` must begin to read.

        How late outcomes come is learned from all of them: where a stage has a horizon that is the beginning.
        """
        if self._followed:
            return 0
        return min((waiting.position for waiting in self._open.values()), default=position + 1) - 1

    def _forget(self, token: Token) -> None:
        """What is still open of somebody who was forgotten teaches no more; its round is told as the log has it."""
        for waiting in self._open.values():
            if waiting.decision.token == token:
                waiting.decision = without_person(waiting.decision)

    def _take_decision(self, decision: Decision, position: int) -> None:
        self.counters.decisions += 1
        self.counters.waiting += 1
        self._open[decision.decision_id] = _Open(decision, position)
        for number, stage in enumerate(self._rewards.stages):
            heapq.heappush(self._due, (decision.made_at + stage.taught_after, position, number, decision.decision_id))
        end = decision.made_at + self._rewards.longest
        heapq.heappush(self._due, (end, position, self._last, decision.decision_id))

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
        if decision.erased:
            return
        if stage.given == UNSHOWN:
            yield from self._unshown(decision, stage, ripe_at, position=waiting.position)
            return
        rows = {candidate.product_id: row for row, candidate in enumerate(decision.candidates)}
        for slot in decision.shown:
            if not self._reached(waiting, slot.product_id, stage) or not waiting.as_shown(slot.number, slot.product_id):
                continue
            happened = waiting.within(slot.product_id, stage.kind, stage)
            row = rows.get(slot.product_id)
            if row is not None:
                share = self._share(waiting, decision.candidates[row], stage, ripe_at)
                yield Lesson(decision, slot, row, stage.name, happened, ripe_at, waiting.position, share)

    def _share(self, waiting: _Open, candidate: Candidate, stage: Stage, now: datetime) -> float:
        """Of the stage's outcomes within its horizon, the share that is known now; then follow the slot further."""
        if stage.horizon is None:
            return 1.0
        followed, decision = self._followed[stage.name], waiting.decision
        share = followed.delays.share(family_of(candidate), min(stage.window, stage.taught_after), now=now)
        came_at = waiting.happened.get((candidate.product_id, stage.kind))
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
            if stage.given == UNSHOWN:
                continue
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


def unshown_row(decision: Decision, *, stage: str) -> int | None:
    """The row of the candidate, of those the slate did not show, that the decision's own dice draw; None for none."""
    shown = {slot.product_id for slot in decision.slots}
    rows = [row for row, each in enumerate(decision.candidates) if each.product_id not in {*shown, NOTHING}]
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
