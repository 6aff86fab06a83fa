"""What a bank would send of its customers: the facts of the border, and nothing hidden.

Built column by column and zipped into dictionaries, since thousands are asked for at once. Some
facts are missing for some customers, as in life: a key that is absent is not known, None is known
to be none. Of those who have not joined yet nothing is known at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache, partial

import numpy as np

from recsys.bank.customers import APP_PLATFORMS, EMPLOYMENTS, SIGNALS, Customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.holdings import Holdings
from recsys.bank.money import Money
from recsys.bank.standing import STATUSES, TREATMENTS, Standing
from recsys.bank.truth import Truths
from recsys.vocabulary import Bools, CustomerId, FactValue

NAMES = (
    "date_of_birth", "age_verified", "residence", "joined_on", "employment", "household_id", "app_platform",
    "signals", "has_defined_benefit_pension", "limit_increase_opt_out", "status", "arrears_days", "forbearance",
    "breathing_space", "insolvent", "persistent_debt", "at_risk_of_difficulty", "credit_declined_on",
    "direct_debit_failed_on", "repeat_overdraft_use", "gambling_block", "gambling_spike",
    "pre_eligible", "pre_eligible_until", "treatment_flags", "balance_pence", "savings_pence",
    "monthly_income_pence", "monthly_spend_pence", "last_paid_on", "next_payday_on", "isa_subscribed_pence",
    "held", "emergency_months",
)  # fmt: skip
"""Every fact this bank ever sends."""

_UNKNOWN_TO_MANY = ("employment", "has_defined_benefit_pension")


class FactSheet:
    """The facts of every customer: what never changes is laid out once, the rest is read on asking."""

    def __init__(self, customers: Customers, *, truths: Truths, seed: int) -> None:
        dice = partial(uniforms, seed, day=0, keys=keys_of(customers.numbers))
        self._customers = customers
        shares = zip(_UNKNOWN_TO_MANY, (0.97, 0.60), strict=True)
        self._known = np.stack([dice(purpose=f"knows {name}") < share for name, share in shares], axis=1)
        verified, abroad = dice(purpose="age verified") < 0.97, dice(purpose="abroad") < 0.01
        pensioned = (dice(purpose="pension scheme") < 0.12) & (customers.employment != EMPLOYMENTS.index("student"))
        employments = [EMPLOYMENTS[each] for each in customers.employment.tolist()]
        households = [None if each < 0 else f"h-{each:06d}" for each in customers.household.tolist()]
        platforms = [APP_PLATFORMS[each] for each in customers.platform.tolist()]
        self._fixed: list[tuple[FactValue, ...]] = list(
            zip(
                _dates(customers.born_on),
                verified.tolist(),
                np.where(abroad, "IE", "GB").tolist(),
                _dates(customers.joined_on),
                employments,
                households,
                platforms,
                _names_of(customers.signals, SIGNALS),
                pensioned.tolist(),
                strict=True,
            )
        )
        self._products = truths.ids

    def of(
        self, rows: Sequence[int], *, money: Money, standing: Standing, holdings: Holdings
    ) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        """The facts of these customers as they stand this morning; none of those who have not joined."""
        chosen = np.asarray(rows, dtype=np.int64)
        moving = self._moving(chosen, money=money, standing=standing, holdings=holdings)
        sheets = [
            dict(zip(NAMES, (*self._fixed[row], *rest), strict=True))
            for row, rest in zip(rows, zip(*moving, strict=True), strict=True)
        ]
        for name, known in zip(_UNKNOWN_TO_MANY, self._known[chosen].T, strict=True):
            for place in np.flatnonzero(~known).tolist():
                del sheets[place][name]
        for place in np.flatnonzero(~standing.present()[chosen]).tolist():
            sheets[place] = {}
        ids = self._customers.ids
        return [(ids[row], sheet) for row, sheet in zip(rows, sheets, strict=True)]

    def _moving(self, rows: Ints, *, money: Money, standing: Standing, holdings: Holdings) -> list[Iterable[FactValue]]:
        spend = self._customers.spend_pence[rows]
        cushion = np.maximum(money.balance[rows], 0) + money.savings[rows]
        offered = standing.pre_eligible[rows]
        until = np.where(offered.any(axis=1), standing.decided_until[rows], 0)
        return [
            standing.limit_opt_out[rows].tolist(),
            [STATUSES[each] for each in standing.status[rows].tolist()],
            standing.arrears_days[rows].tolist(),
            standing.forbearance[rows].tolist(),
            standing.breathing_space[rows].tolist(),
            standing.insolvent[rows].tolist(),
            standing.persistent_debt[rows].tolist(),
            standing.at_risk()[rows].tolist(),
            _dates(standing.declined_on[rows]),
            _dates(standing.bounced_on[rows]),
            standing.repeats_overdraft()[rows].tolist(),
            *standing.gambling[rows].T.tolist(),
            _names_of(offered, self._products),
            [_midnight(each) for each in until.tolist()],
            _names_of(standing.treatments[rows], TREATMENTS),
            money.balance[rows].tolist(),
            money.savings[rows].tolist(),
            self._customers.income_pence[rows].tolist(),
            spend.tolist(),
            _dates(money.last_paid[rows]),
            _dates(money.next_payday[rows]),
            money.isa_subscribed[rows].tolist(),
            _names_of(holdings.held[rows], self._products),
            np.round(cushion / spend, 1).tolist(),
        ]


@lru_cache(maxsize=65_536)
def _iso(day: int) -> str | None:
    return date.fromordinal(day).isoformat() if day else None


@lru_cache(maxsize=4_096)
def _midnight(day: int) -> str | None:
    return datetime.combine(date.fromordinal(day), time(tzinfo=UTC)).isoformat() if day else None


def _dates(days: Ints) -> list[str | None]:
    return [_iso(day) for day in days.tolist()]


def _names_of(marks: Bools, names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """For each row of `marks` (n, names), the names that are marked."""
    weights = 1 << np.arange(len(names), dtype=np.int64)
    chosen = _chooser(names)
    return [chosen(bits) for bits in (marks @ weights).tolist()]


@lru_cache(maxsize=64)
def _chooser(names: tuple[str, ...]) -> Callable[[int], tuple[str, ...]]:
    @lru_cache(maxsize=1 << 14)
    def chosen(bits: int) -> tuple[str, ...]:
        return tuple(name for place, name in enumerate(names) if bits >> place & 1)

    return chosen
