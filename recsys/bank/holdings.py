"""What every customer owns, what is on its way to them, and how they feel about being shown it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints, uniforms
from recsys.bank.outcomes import OPENED, Happenings, joined, nothing_happened, taken
from recsys.bank.truth import Truths
from recsys.vocabulary import Bools, Floats

FATIGUE_FADES = 0.93  # a day
SATISFIED = 6.0  # fatigue after using something that is used, not owned
ANNOYED = 2.0  # fatigue after dismissing a card, beside having seen it
BOTHER_DAYS = 14
PLEASED, BOTHERED, UPSET = 0.010, -0.004, -0.03  # on the log of log-ins: an opening, a dismissal, a complaint
LOYALTY = (0.6, 1.4)


@dataclass(slots=True, eq=False)
class Holdings:
    """Ownership and moods, by customer row and product column.

    `fatigue`, `bothers` and `loyalty` stand as they were this morning; what happens today is put
    aside and counted at night, so that a day does not depend on how its visits were grouped into calls.
    """

    held: Bools  # (n, P)
    coming: Bools  # (n, P) opened or decided to, not yet counted as held
    fatigue: Floats  # (n, P)
    tired_today: Floats  # (n, P) fatigue that today adds
    bothers: Ints  # (BOTHER_DAYS, n) dismissals and pushes, a ring by day
    loyalty: Floats  # (n,) log-ins come this many times as often as they used to
    mood_today: Floats  # (n,) what today adds to its logarithm
    waiting: Happenings  # openings to come

    def settled(self) -> Bools:
        """(n, P) owned or on its way: a card cannot bring it about any more."""
        return self.held | self.coming

    def expect(self, openings: Happenings) -> None:
        """Openings have been decided."""
        self.coming[openings.rows, openings.columns] = True
        self.waiting = joined([self.waiting, openings])

    def cancel(self, rows: Ints, columns: Ints) -> None:
        """What was opened is given back."""
        self.held[rows, columns] = False

    def turn_day(self, *, number: int, truths: Truths) -> None:
        """Begin day `number`: count yesterday, and what was opened by now is owned."""
        self.fatigue += self.tired_today
        self.fatigue *= FATIGUE_FADES
        self.tired_today[:] = 0.0
        self.loyalty = np.clip(self.loyalty * np.exp(self.mood_today), *LOYALTY)
        self.mood_today[:] = 0.0
        due = self.waiting.seconds < number * 86_400.0
        opened, self.waiting = taken(self.waiting, due), taken(self.waiting, ~due)
        rows, columns = opened.rows, opened.columns
        self.coming[rows, columns] = False
        self.held[rows, columns] |= truths.owned[columns]
        np.add.at(self.fatigue, (rows, columns), np.where(truths.owned[columns], 0.0, SATISFIED))
        np.add.at(self.mood_today, rows, PLEASED)
        self.bothers[number % BOTHER_DAYS] = 0


def make_holdings(liking: Floats, *, truths: Truths, suited: Bools, numbers: Ints, seed: int) -> Holdings:
    """The first morning: people own what suits them, about 16 times the organic rate of a month."""
    keys = numbers.astype(np.uint64)[:, None] + truths.salts
    chance = 1.0 - np.exp(-16.0 * truths.organic * np.exp(np.clip(1.1 * liking - 0.6, -4.0, 3.0)))
    held = (uniforms(seed, purpose="holdings", day=0, keys=keys) < chance) & suited & truths.owned
    n = len(numbers)
    return Holdings(
        held=held,
        coming=np.zeros_like(held),
        fatigue=np.zeros(held.shape),
        tired_today=np.zeros(held.shape),
        bothers=np.zeros((BOTHER_DAYS, n), dtype=np.int64),
        loyalty=np.ones(n),
        mood_today=np.zeros(n),
        waiting=nothing_happened(),
    )


def openings_of(
    rows: Ints, columns: Ints, *, seconds: Floats, pence: Ints, days: Ints, surfaces: Ints, places: Ints
) -> Happenings:
    """Openings as happenings, to the millisecond."""
    kinds = np.full(len(rows), OPENED)
    return Happenings(rows, columns, kinds, seconds.round(3), pence, days, surfaces, places)
