"""Whole lives under a policy: what it does to fatigue, to consent and to log-ins counts here.

Two policies are compared by living the same seed twice: both banks meet the same dice, so a customer
whom both treat alike lives the same life, and the difference is the policies' alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.oracle import slates_of, slates_value
from recsys.bank.outcomes import CANCELLED, COMPLAINED, OPTED_OUT
from recsys.bank.policies import home
from recsys.bank.visits import Arrivals
from recsys.bank.world import Bank
from recsys.vocabulary import Floats

Scorer = Callable[[Bank, Arrivals], Floats]
"""Scores (v, P) of arrivals; what does not score above 0 is not shown. It may read the bank's truth."""


@dataclass(frozen=True, slots=True, eq=False)
class Life:
    """What became of every customer, all (n,); the customer is the sample."""

    worth: Floats  # expected points brought about, as things stood at each visit
    credited: Floats  # the same with openings that would have come anyway
    visits: Ints  # to the home screen
    opted_out: Ints
    cancelled: Ints
    complained: Ints
    loyalty: Floats  # at the end


def oracle(bank: Bank, arrivals: Arrivals) -> Floats:
    """The myopic oracle: the true value of each card today."""
    return bank.values_at(arrivals)


def propensity(bank: Bank, arrivals: Arrivals) -> Floats:
    """What would be credited to each card, known exactly."""
    return bank.attributed_at(arrivals)


def tap_greedy(bank: Bank, arrivals: Arrivals) -> Floats:
    """The chance of a tap, known exactly."""
    return bank.taps_at(arrivals)


def nothing(bank: Bank, arrivals: Arrivals) -> Floats:
    """No card at all."""
    return np.zeros((len(arrivals), len(bank.truths.ids)))


def trajectory(bank_of: Callable[[], Bank], policy: Scorer, days: int) -> Life:
    """Live `days` days of a fresh bank with `policy` on its home screen, among what suits each customer."""
    bank = bank_of()
    n = len(bank.customers)
    worth, credited = np.zeros(n), np.zeros(n)
    counts = {kind: np.zeros(n, dtype=np.int64) for kind in (OPTED_OUT, CANCELLED, COMPLAINED)}
    visits = np.zeros(n, dtype=np.int64)
    for _ in range(days):
        arrivals = home(bank.begin_day().arrivals)
        examination = bank.examination("home")
        eligible = bank.suited(arrivals.rows.tolist())
        shown = slates_of(policy(bank, arrivals), eligible=eligible, slots=len(examination))
        for total, values in ((worth, bank.values_at(arrivals)), (credited, bank.attributed_at(arrivals))):
            np.add.at(total, arrivals.rows, slates_value(values, shown, examination=examination))
        np.add.at(visits, arrivals.rows, 1)
        for told in (bank.respond_at(arrivals, shown), bank.later()):
            for kind, total_of in counts.items():
                np.add.at(total_of, told.rows[told.kinds == kind], 1)
    return Life(
        worth,
        credited,
        visits,
        counts[OPTED_OUT],
        counts[CANCELLED],
        counts[COMPLAINED],
        bank.response.holdings.loyalty.copy(),
    )
