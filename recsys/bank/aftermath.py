"""What follows an opening on dates of its own: the first deposit, regret, and what is left after 30 days.

Drawn when the opening is decided, so that a day's telling is only a matter of looking. Closed forms
stand beside the draws: `response.Chances.cancels`, `FUNDS`, `COMPLAINS` and `kept_of`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recsys.bank.dice import Keys, uniforms
from recsys.bank.outcomes import (
    BALANCE,
    CANCELLED,
    COMPLAINED,
    FUNDED,
    Happenings,
    joined,
    nothing_happened,
    taken,
)
from recsys.vocabulary import Bools, Floats

FUNDS = 0.9  # of openings with a deposit in mind see it
FUNDED_WITHIN, CANCELLED_FROM, CANCELLED_WITHIN, BALANCE_AFTER = 3.0, 1.0, 14.0, 30.0  # days
EMPTIED = 0.1  # of deposits are gone after 30 days, whatever the patience: a boiler, a car
COMPLAINS = 0.03  # of those who cancel


@dataclass(slots=True, eq=False)
class Aftermath:
    """What will become known, sorted by nothing; `due` takes out what has."""

    waiting: Happenings

    @classmethod
    def none(cls) -> Aftermath:
        """Nothing is to come."""
        return cls(nothing_happened())

    def expect(self, what: Happenings) -> None:
        """Something will happen."""
        self.waiting = joined([self.waiting, what])

    def due(self, *, before: float) -> Happenings:
        """What happens before this second and was not told yet, by time."""
        now = self.waiting.seconds < before
        due, self.waiting = taken(self.waiting, now), taken(self.waiting, ~now)
        return taken(due, np.lexsort((due.columns, due.rows, due.seconds)))


def follow(openings: Happenings, *, cancels: Floats, keys: Keys, seed: int, number: int) -> Happenings:
    """All that follows these openings; `cancels` (h,) is each one's chance of being cancelled.

    `balance_30d` carries the pence first paid in: what is left of them is known on the day.
    """
    names = ("funds", "funded on", "cancels", "cancelled on", "complains")
    funds, soon, regrets, when, complains = (uniforms(seed, purpose=name, day=number, keys=keys) for name in names)
    cancelled = regrets < cancels
    funded = (openings.pence > 0) & (funds < FUNDS)
    given_up = CANCELLED_FROM + (CANCELLED_WITHIN - CANCELLED_FROM) * when
    return joined(
        [
            _later(openings, funded, kind=FUNDED, days=FUNDED_WITHIN * soon),
            _later(openings, cancelled, kind=CANCELLED, days=given_up),
            _later(openings, cancelled & (complains < COMPLAINS), kind=COMPLAINED, days=given_up + 2.0),
            _later(openings, funded & ~cancelled, kind=BALANCE, days=np.full(len(openings), BALANCE_AFTER)),
        ]
    )


def kept_of(patience: Floats, gap: Floats) -> Floats:
    """Expected share of a deposit left after 30 days, of patience and of the points our rate lies ahead."""
    steadiness = _steadiness(patience, gap)
    return (1.0 - EMPTIED) * steadiness / (steadiness + 1.0)


def kept(patience: Floats, gap: Floats, *, keys: Keys, seed: int, number: int) -> Floats:
    """A draw of what `kept_of` expects: a uniform number to the power 1 / steadiness, or nothing at all."""
    luck, emptied = (uniforms(seed, purpose=name, day=number, keys=keys) for name in ("kept", "emptied"))
    return np.where(emptied < EMPTIED, 0.0, luck ** (1.0 / _steadiness(patience, gap)))


def _steadiness(patience: Floats, gap: Floats) -> Floats:
    return 3.0 * np.exp(np.clip(0.5 * patience + gap, -3.0, 3.0))


def _later(openings: Happenings, which: Bools, *, kind: int, days: Floats) -> Happenings:
    chosen = taken(openings, which)
    amounts = chosen.pence if kind in (FUNDED, BALANCE) else np.zeros_like(chosen.pence)
    seconds = (chosen.seconds + 86_400.0 * days[which]).round(3)
    return replace(chosen, kinds=np.full(len(chosen), kind), seconds=seconds, pence=amounts)
