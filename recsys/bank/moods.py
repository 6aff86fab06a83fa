"""What cards do to moods: they tire, annoy, drive people out of marketing and make some write to complain."""

from __future__ import annotations

import numpy as np

from recsys.bank.dice import Ints, uniforms
from recsys.bank.holdings import ANNOYED, BOTHER_DAYS, BOTHERED, Holdings
from recsys.bank.outcomes import COMPLAINED, Happenings
from recsys.bank.response import Drawn, Shown, opt_out_chance
from recsys.bank.showing import happened
from recsys.vocabulary import Bools, Floats

COMPLAINS, COMPLAINT_AFTER = 0.002, 90_000.0  # of dismissals; seconds


def leaving_of(
    slots: Shown, bothered: Bools, *, bothers: Ints, allows: Bools, irritation: Floats, seed: int, number: int
) -> Ints:
    """Slots that made the customer opt out of marketing; at most one for each customer.

    `bothered` (slots,) marks dismissals and pushes; `bothers`, `allows`, `irritation` are (n,), the first
    of the 14 days up to this morning.
    """
    index = np.flatnonzero(bothered)
    index = index[allows[slots.rows[index]]]
    rows = slots.rows[index]
    luck = uniforms(seed, purpose="opts out", day=number, keys=slots.keys[index])
    leaves = luck < opt_out_chance(bothers[rows] + 1, irritation=irritation[rows])
    _, first = np.unique(rows[leaves], return_index=True)
    return np.sort(index[leaves][first])


def feel(slots: Shown, drawn: Drawn, *, bothered: Bools, holdings: Holdings, irritation: Floats, number: int) -> None:
    """Put aside what these slots do to fatigue, bother and loyalty; it counts from tomorrow."""
    seen = np.flatnonzero(drawn.seen)
    tiring = 1.0 + ANNOYED * drawn.dismissed[seen]
    np.add.at(holdings.tired_today, (slots.rows[seen], slots.columns[seen]), tiring)
    np.add.at(holdings.bothers[number % BOTHER_DAYS], slots.rows[bothered], 1)
    rows = slots.rows[drawn.dismissed]
    np.add.at(holdings.mood_today, rows, BOTHERED * np.exp(0.5 * irritation[rows]))


def complaining(slots: Shown, drawn: Drawn, *, at: Floats, irritation: Floats, seed: int, number: int) -> Happenings:
    """Complaints that dismissed cards will bring a day later; `at` (slots,) is when they were looked at."""
    index = np.flatnonzero(drawn.dismissed)
    luck = uniforms(seed, purpose="complains of a card", day=number, keys=slots.keys[index])
    index = index[luck < COMPLAINS * np.exp(0.5 * irritation[slots.rows[index]])]
    return happened(slots, index, kind=COMPLAINED, seconds=at[index] + COMPLAINT_AFTER, number=number)
