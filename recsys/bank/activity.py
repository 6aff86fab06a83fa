"""What customers did with their money today, as the bank's live feed tells it (`POST /v1/activity`)."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from recsys.bank.dice import keys_of, uniforms
from recsys.bank.money import NAMES, SENT, Movements
from recsys.vocabulary import Activity, CustomerId, Floats


def activities_of(
    movements: Movements, *, ids: tuple[CustomerId, ...], seed: int, number: int, midnight: datetime
) -> list[Activity]:
    """Today's movements as activities, sorted by customer; sensitive categories are left out.

    The kind is salary, spending (subject: merchant category) or savings.
    """
    spent = movements.spent
    keys = keys_of(spent.rows * len(NAMES) + spent.categories)
    times = uniforms(seed, purpose="activity times", day=number, keys=keys)
    seconds = (25_200 + 57_600 * times).astype(np.int64)  # shops are open from seven to eleven
    sent = np.flatnonzero(SENT[spent.categories])
    found = [
        Activity(
            f"a-{number}-{row}-{category}", ids[row], "spending", NAMES[category], midnight + _later(second), pence
        )
        for row, category, second, pence in zip(
            spent.rows[sent].tolist(),
            spent.categories[sent].tolist(),
            seconds[sent].tolist(),
            spent.pence[sent].tolist(),
            strict=True,
        )
    ]
    moved = (("salary", "salary", movements.salary, 5_400), ("savings", "sweep", movements.swept, 28_800))
    for kind, subject, pence, second in moved:
        at = midnight + _later(second)
        found += [
            Activity(f"a-{number}-{row}-{kind}", ids[row], kind, subject, at, int(pence[row]))
            for row in np.flatnonzero(pence > 0).tolist()
        ]
    return found


def _later(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def spending_shares(totals: Floats) -> Floats:
    """(n, CATEGORIES) counts → log of smoothed shares of what may be sent, a learner's view of tastes."""
    kept = totals[:, SENT] + 0.5
    logs: Floats = np.log(kept / kept.sum(axis=1, keepdims=True))
    return logs
