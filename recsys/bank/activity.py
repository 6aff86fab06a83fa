"""What customers did with their money today, as the bank's live feed tells it (`POST /v1/activity`).

A thin view over the day's transactions: wages, card payments by merchant category, sweeps to savings.
Sensitive categories are left out (VUL-2), so are declined payments and bills.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.merchants import ALL_NAMES, BONUS, FIRST_BILL, NAMES, SALARY, SENT
from recsys.bank.transactions import SWEEP, Transactions
from recsys.vocabulary import Activity, Bools, CustomerId, Floats

KINDS = ("spending", "salary", "savings")
SUBJECTS = (*NAMES, "salary", "bonus", "sweep")
_SALARY, _BONUS, _SWEPT = range(len(NAMES), len(SUBJECTS))
_TOLD: Bools = np.append(SENT, np.zeros(len(ALL_NAMES) - FIRST_BILL, dtype=np.bool_))
_TOLD[[SALARY, BONUS]] = True


@dataclass(frozen=True, slots=True, eq=False)
class Activities:
    """(a,) columns, sorted by (row, seconds)."""

    rows: Ints
    sequences: Ints
    kinds: Ints  # index in KINDS
    subjects: Ints  # index in SUBJECTS
    seconds: Ints  # after midnight
    pence: Ints

    def __len__(self) -> int:
        """How many activities there are."""
        return len(self.rows)


def activity_of(transactions: Transactions) -> Activities:
    """What of today's transactions is told."""
    swept = transactions.sequences == SWEEP
    at = np.flatnonzero((_TOLD[transactions.category] | swept) & ~transactions.declined)
    category, swept = transactions.category[at], swept[at]
    kinds = np.where(swept, 2, (category >= FIRST_BILL).astype(np.int64))
    paid = np.where(category == SALARY, _SALARY, _BONUS)
    subjects = np.where(swept, _SWEPT, np.where(kinds == 1, paid, category))
    rows, sequences, seconds, pence = (
        each[at] for each in (transactions.rows, transactions.sequences, transactions.seconds, transactions.pence)
    )
    return Activities(rows, sequences, kinds, subjects, seconds, pence)


def activities_of(
    transactions: Transactions, *, ids: tuple[CustomerId, ...], numbers: Ints, number: int, midnight: datetime
) -> list[Activity]:
    """The same as objects; `ids` and `numbers` (n,) are the customers', day `number` begins at `midnight`."""
    told = activity_of(transactions)
    return [
        Activity(
            f"a-{number}-{customer}-{sequence}",
            ids[row],
            KINDS[kind],
            SUBJECTS[subject],
            midnight + timedelta(seconds=second),
            pence,
        )
        for row, customer, sequence, kind, subject, second, pence in zip(
            told.rows.tolist(),
            numbers[told.rows].tolist(),
            told.sequences.tolist(),
            told.kinds.tolist(),
            told.subjects.tolist(),
            told.seconds.tolist(),
            told.pence.tolist(),
            strict=True,
        )
    ]


def spending_shares(totals: Floats) -> Floats:
    """(n, CATEGORIES) counts → log of smoothed shares of what may be sent, a learner's view of tastes."""
    kept = totals[:, SENT] + 0.5
    logs: Floats = np.log(kept / kept.sum(axis=1, keepdims=True))
    return logs
