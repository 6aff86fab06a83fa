"""Decisions whose windows are still open: the little that is held of each, and where the whole is had again.

A bank of a million decisions a day has eleven million open. `Waiting` is what joining needs to know of one, in a few
hundred bytes. `Whole` gives the decision itself when a lesson of it falls due: `Held` keeps every one, which suits a
log that fits in memory; `InLog` reads it again, many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Protocol

from recsys.rewards import Stage
from recsys.vocabulary import Bools, Decision, DecisionId, Event, Floats, ProductId, Round, Token, without_person

AT_ONCE = 500
"""Decisions read again together."""


@dataclass(slots=True)
class Waiting:
    """An open decision: what is known of its slots so far.

    What happened stands in two columns: which (product, kind), as the joiner numbers them, and when it happened first.
    """

    decision_id: DecisionId
    position: int
    made_at: datetime
    by: tuple[str, str, str]  # surface, recipe, mode: one tuple for all decisions that share them
    shown: tuple[ProductId, ...]
    displayed: tuple[ProductId, ...] | None = None
    marks: tuple[int, ...] = ()
    times: tuple[datetime, ...] = ()

    def note(self, mark: int, at: datetime) -> None:
        """Something happened to a slot; only the earliest counts."""
        if mark not in self.marks:
            self.marks += (mark,)
            self.times += (at,)
        elif at < self.times[row := self.marks.index(mark)]:
            self.times = (*self.times[:row], at, *self.times[row + 1 :])

    def came_at(self, mark: int) -> datetime | None:
        """When it happened first; None where it did not."""
        return self.times[self.marks.index(mark)] if mark in self.marks else None

    def within(self, mark: int, stage: Stage | None) -> bool:
        """Whether it happened, inside the stage's window where one is named."""
        at = self.came_at(mark)
        return at is not None and (stage is None or at <= self.made_at + stage.window)

    def as_shown(self, place: int) -> bool:
        """Whether a slot (0-based) was displayed as decided: nobody said otherwise, or it stood there."""
        there = self.displayed
        return there is None or (place < len(there) and there[place] == self.shown[place])

    def closed(self, rewards: Floats, *, seen: Bools, stages: Mapping[str, Bools]) -> Closed:
        """What came of it, now that its last window has closed."""
        surface, recipe, mode = self.by
        return Closed(
            self.decision_id, self.position, self.made_at, surface, recipe, mode, rewards, seen, stages, self.displayed
        )


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """A round without its decision: what came of it, and the little of it that sums are kept by.

    `rewards` and `seen` are (shown slots,), as in a `Round`.
    """

    decision_id: DecisionId
    position: int
    made_at: datetime
    surface: str
    recipe: str
    mode: str
    rewards: Floats
    seen: Bools
    stages: Mapping[str, Bools]
    displayed: tuple[ProductId, ...] | None

    def round(self, decision: Decision) -> Round:
        """The round, with its decision."""
        return Round(decision, self.position, self.rewards, self.seen, self.stages, self.displayed)


class Whole(Protocol):
    """Where joining has the decisions themselves."""

    def take(self, decision: Decision, *, position: int) -> None:
        """A decision was met, and is open from here on."""

    def give(self, position: int, *, ahead: Callable[[], Iterable[int]]) -> Decision | None:
        """An open decision, None where it is kept no more; `ahead` are those that will be asked for next."""

    def rest(self, position: int) -> None:
        """It is not asked for again soon."""

    def close(self, position: int) -> None:
        """It is not asked for again."""

    def forget(self, token: Token) -> None:
        """A person was forgotten: what is given of theirs from here on is as the log then has it."""


class Held:
    """Every open decision, in memory."""

    def __init__(self) -> None:
        self._decisions: dict[int, Decision] = {}

    def take(self, decision: Decision, *, position: int) -> None:
        """Keep it."""
        self._decisions[position] = decision

    def give(self, position: int, *, ahead: Callable[[], Iterable[int]]) -> Decision | None:
        """As it was kept."""
        return self._decisions.get(position)

    def rest(self, position: int) -> None:
        """Stays."""

    def close(self, position: int) -> None:
        """Let it go."""
        self._decisions.pop(position, None)

    def forget(self, token: Token) -> None:
        """Take the person out of what is kept."""
        for position, decision in self._decisions.items():
            if decision.token == token:
                self._decisions[position] = without_person(decision)


class InLog:
    """Decisions where they stand already; what is asked for next is read with what is asked for now."""

    def __init__(self, again: Callable[[Sequence[int]], Mapping[int, Event]]) -> None:
        self._again = again
        self._read: dict[int, Decision | None] = {}

    def take(self, decision: Decision, *, position: int) -> None:
        """It stands in the log."""

    def give(self, position: int, *, ahead: Callable[[], Iterable[int]]) -> Decision | None:
        """As the log has it now."""
        if position not in self._read:
            wanted = [each for each in dict.fromkeys((position, *ahead())) if each not in self._read]
            found = self._again(wanted)
            for each in wanted:
                body = found[each].body if each in found else None
                self._read[each] = body if isinstance(body, Decision) else None
        return self._read[position]

    def rest(self, position: int) -> None:
        """Read it again when it is asked for again."""
        self._read.pop(position, None)

    def close(self, position: int) -> None:
        """It stays in the log."""
        self._read.pop(position, None)

    def forget(self, token: Token) -> None:
        """The log was changed before it said so: read again what is theirs."""
        theirs = [at for at, decision in self._read.items() if decision is not None and decision.token == token]
        for position in theirs:
            del self._read[position]


def waiting_of(decision: Decision, *, position: int) -> Waiting:
    """What is held of a decision at a position; equal words are one object."""
    by = (intern(decision.surface), intern(decision.policy.partition("@")[0]), intern(decision.mode))
    shown = tuple(intern(slot.product_id) for slot in decision.shown)
    return Waiting(decision.decision_id, position, decision.made_at, _shared(by), shown)


@lru_cache(maxsize=1_000)
def _shared(by: tuple[str, str, str]) -> tuple[str, str, str]:
    return by
