"""Small worlds of histories whose next step is known."""

from __future__ import annotations

import numpy as np

from embeddings.histories import Histories
from embeddings.ranking import Wanted

SUBJECTS = 40


def walks(
    seed: int = 0, *, customers: int = 400, length: int = 14, certain: float = 0.85, shuffled: str = "no"
) -> Histories:
    """Each event is followed by the next product of a hidden ring, `certain` of the time.

    `shuffled="yes"` deals the events out anew: nothing follows from anything, popularity stays.
    """
    dice = np.random.default_rng(seed)
    ring = np.random.default_rng(99).permutation(SUBJECTS)
    after = np.empty(SUBJECTS, dtype=np.int64)
    after[ring] = np.roll(ring, -1)
    rows = np.empty((customers, length), dtype=np.int64)
    weights = 1.0 / (1.0 + np.arange(SUBJECTS))
    any_product = dice.choice(SUBJECTS, p=weights / weights.sum(), size=(customers, length))
    rows[:, 0] = any_product[:, 0]
    for place in range(1, length):
        follows = dice.random(customers) < certain
        rows[:, place] = np.where(follows, after[rows[:, place - 1]], any_product[:, place])
    if shuffled == "yes":
        rows = dice.permutation(rows.ravel()).reshape(rows.shape)
    return of_rows(rows)


def of_rows(rows: np.ndarray) -> Histories:
    """Histories of equal length."""
    people = np.repeat(np.arange(len(rows)), rows.shape[1])
    return Histories.of([f"c{each}" for each in people], subjects=[f"p{row}" for row in rows.ravel().tolist()])


def last_out(data: Histories) -> tuple[Histories, Wanted]:
    """What came before each one's last choice, and that choice."""
    before, wanted = data.last_out()
    return before, Wanted.one(wanted)
