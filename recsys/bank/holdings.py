"""What every customer owns, what is on its way to them, and how tired they are of being shown it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints, cells, uniforms
from recsys.bank.truth import Truths
from recsys.vocabulary import Bools, Floats

FATIGUE_FADES = 0.93  # a day
SATISFIED = 6.0  # fatigue after using something that is used, not owned
DISMISSAL_DAYS = 14


@dataclass(frozen=True, slots=True, order=True)
class Opening:
    """A product that will be opened `at` seconds after the bank's first midnight."""

    at: float
    row: int
    column: int
    amount_pence: int


@dataclass(slots=True, eq=False)
class Holdings:
    """Ownership and fatigue, by customer row and product column.

    `fatigue` and `dismissals` stand as they were this morning; what happens today is put aside and
    counted at night, so that a day does not depend on how its visits were grouped into calls.
    """

    held: Bools  # (n, P)
    coming: Bools  # (n, P) opened or decided to, not yet counted as held
    fatigue: Floats  # (n, P)
    seen_today: Floats  # (n, P)
    dismissals: Ints  # (DISMISSAL_DAYS, n) a ring, by day
    waiting: list[Opening]

    def settled(self) -> Bools:
        """(n, P) owned or on its way: a card cannot bring it about any more."""
        return self.held | self.coming

    def expect(self, opening: Opening) -> None:
        """An opening has been decided."""
        self.coming[opening.row, opening.column] = True
        self.waiting.append(opening)

    def turn_day(self, *, number: int, truths: Truths) -> list[Opening]:
        """Begin day `number`: count yesterday, and return the openings that have happened by now."""
        now = number * 86_400.0
        due = sorted(opening for opening in self.waiting if opening.at < now)
        self.waiting = [opening for opening in self.waiting if opening.at >= now]
        self.fatigue += self.seen_today
        self.fatigue *= FATIGUE_FADES
        self.seen_today[:] = 0.0
        for opening in due:
            self.coming[opening.row, opening.column] = False
            if truths.owned[opening.column]:
                self.held[opening.row, opening.column] = True
            else:
                self.fatigue[opening.row, opening.column] += SATISFIED
        self.dismissals[number % DISMISSAL_DAYS] = 0
        return due


def make_holdings(liking: Floats, *, truths: Truths, suited: Bools, seed: int) -> Holdings:
    """The first morning: people own what suits them, about 16 times the organic rate of a month."""
    chance = 1.0 - np.exp(-16.0 * truths.organic * np.exp(np.clip(1.1 * liking - 0.6, -4.0, 3.0)))
    keys = cells(np.arange(len(liking)), columns=len(truths.ids))
    held = (uniforms(seed, purpose="holdings", day=0, keys=keys) < chance) & suited & truths.owned
    return Holdings(
        held=held,
        coming=np.zeros_like(held),
        fatigue=np.zeros(held.shape),
        seen_today=np.zeros(held.shape),
        dismissals=np.zeros((DISMISSAL_DAYS, len(liking)), dtype=np.int64),
        waiting=[],
    )
