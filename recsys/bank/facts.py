"""What a bank would send of its customers: the facts of the border, and nothing hidden.

Built column by column, since thousands are asked for at once: for tables they stay columns, for the
border they are zipped into dictionaries. Some facts are missing for some customers, as in life: a key
that is absent is not known, None is known to be none. Of those who have not joined yet nothing is
known at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.bank.customers import APP_PLATFORMS, EMPLOYMENTS, SIGNALS, Customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.holdings import Holdings
from recsys.bank.money import Money
from recsys.bank.standing import STATUSES, TREATMENTS, Standing
from recsys.bank.truth import Truths
from recsys.facts import FACTS, Kind
from recsys.vocabulary import Bools, CustomerId, FactValue


@dataclass(frozen=True, slots=True, eq=False)
class FactColumn:
    """One fact of n customers, (n,) but for lists.

    Numbers and truths are as they are, a day or a midnight is its ordinal and 0 for none, a text is its
    place in `words` and -1 for none, a list of texts is its marks (n, words).
    """

    values: NDArray[Any]
    words: tuple[str, ...] = ()
    known: Bools | None = None  # None: of everybody

    def at(self, rows: Ints) -> FactColumn:
        """That of some of the customers."""
        return FactColumn(self.values[rows], self.words, None if self.known is None else self.known[rows])

    def none(self, kind: Kind) -> Bools:
        """(n,) who is known to have none."""
        if kind in (Kind.DATE, Kind.MOMENT, Kind.TEXT):
            none: Bools = self.values == (-1 if kind is Kind.TEXT else 0)
            return none if self.known is None else none & self.known
        return np.zeros(len(self.values), dtype=np.bool_)

    def told(self, kind: Kind) -> Sequence[FactValue]:
        """The values one by one, as the border takes them; what is not known is told as well."""
        values: Sequence[Any] = self.values.tolist()
        match kind:
            case Kind.DATE:
                return [_iso(day) for day in values]
            case Kind.MOMENT:
                return [_midnight(day) for day in values]
            case Kind.TEXT:
                words = (*self.words, None)
                return [words[place] for place in values]
            case Kind.TEXTS:
                return _names_of(self.values, self.words)
            case _:
                return values


class FactSheet:
    """The facts of every customer: what never changes is laid out once, the rest is read on asking."""

    def __init__(self, customers: Customers, *, truths: Truths, seed: int) -> None:
        dice = partial(uniforms, seed, day=0, keys=keys_of(customers.numbers))
        self._customers = customers
        work_known = dice(purpose="knows employment") < 0.97
        pension_known = dice(purpose="knows has_defined_benefit_pension") < 0.60
        verified, abroad = dice(purpose="age verified") < 0.97, dice(purpose="abroad") < 0.01
        pensioned = (dice(purpose="pension scheme") < 0.12) & (customers.employment != EMPLOYMENTS.index("student"))
        households, household = np.unique(customers.household, return_inverse=True)
        alone = int(np.searchsorted(households, 0))  # -1 comes first, where anybody lives alone
        self._fixed = {
            "date_of_birth": FactColumn(customers.born_on),
            "age_verified": FactColumn(verified),
            "residence": FactColumn(abroad.astype(np.int64), ("GB", "IE")),
            "joined_on": FactColumn(customers.joined_on),
            "employment": FactColumn(customers.employment, EMPLOYMENTS, work_known),
            "household_id": FactColumn(household - alone, tuple(f"h-{each:06d}" for each in households[alone:])),
            "app_platform": FactColumn(customers.platform, APP_PLATFORMS),
            "signals": FactColumn(customers.signals, SIGNALS),
            "has_defined_benefit_pension": FactColumn(pensioned, known=pension_known),
        }
        self._told = list(zip(*_listed(self._fixed), strict=True))
        self._products = truths.ids

    def of(
        self, rows: Sequence[int], *, money: Money, standing: Standing, holdings: Holdings
    ) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        """The facts of these customers as they stand this morning; none of those who have not joined."""
        chosen = np.asarray(rows, dtype=np.int64)
        moving = _listed(self._moving(chosen, money=money, standing=standing, holdings=holdings))
        sheets = [
            dict(zip(NAMES, (*self._told[row], *rest), strict=True))
            for row, rest in zip(rows, zip(*moving, strict=True), strict=True)
        ]
        for name, column in self._fixed.items():
            if column.known is not None:
                for place in np.flatnonzero(~column.known[chosen]).tolist():
                    del sheets[place][name]
        for place in np.flatnonzero(~standing.present()[chosen]).tolist():
            sheets[place] = {}
        ids = self._customers.ids
        return [(ids[row], sheet) for row, sheet in zip(rows, sheets, strict=True)]

    def columns(self, rows: Ints, *, money: Money, standing: Standing, holdings: Holdings) -> dict[str, FactColumn]:
        """The same of customers who have joined, by fact."""
        fixed = {name: column.at(rows) for name, column in self._fixed.items()}
        return fixed | self._moving(rows, money=money, standing=standing, holdings=holdings)

    def _moving(self, rows: Ints, *, money: Money, standing: Standing, holdings: Holdings) -> dict[str, FactColumn]:
        spend = self._customers.spend_pence[rows]
        cushion = np.maximum(money.balance[rows], 0) + money.savings[rows]
        offered = standing.pre_eligible[rows]
        values = {
            "limit_increase_opt_out": standing.limit_opt_out[rows],
            "status": standing.status[rows],
            "arrears_days": standing.arrears_days[rows],
            "forbearance": standing.forbearance[rows],
            "breathing_space": standing.breathing_space[rows],
            "insolvent": standing.insolvent[rows],
            "persistent_debt": standing.persistent_debt[rows],
            "at_risk_of_difficulty": standing.at_risk()[rows],
            "credit_declined_on": standing.declined_on[rows],
            "direct_debit_failed_on": standing.bounced_on[rows],
            "repeat_overdraft_use": standing.repeats_overdraft()[rows],
            "gambling_block": standing.gambling[rows, 0],
            "gambling_spike": standing.gambling[rows, 1],
            "pre_eligible": offered,
            "pre_eligible_until": np.where(offered.any(axis=1), standing.decided_until[rows], 0),
            "treatment_flags": standing.treatments[rows],
            "balance_pence": money.balance[rows],
            "savings_pence": money.savings[rows],
            "monthly_income_pence": self._customers.income_pence[rows],
            "monthly_spend_pence": spend,
            "last_paid_on": money.last_paid[rows],
            "next_payday_on": money.next_payday[rows],
            "isa_subscribed_pence": money.isa_subscribed[rows],
            "held": holdings.held[rows],
            "emergency_months": np.round(cushion / spend, 1),
        }
        lists = {"pre_eligible": self._products, "held": self._products, "treatment_flags": TREATMENTS}
        words: dict[str, tuple[str, ...]] = {"status": STATUSES, **lists}
        return {name: FactColumn(column, words.get(name, ())) for name, column in values.items()}


NAMES = (
    "date_of_birth", "age_verified", "residence", "joined_on", "employment", "household_id", "app_platform",
    "signals", "has_defined_benefit_pension", "limit_increase_opt_out", "status", "arrears_days", "forbearance",
    "breathing_space", "insolvent", "persistent_debt", "at_risk_of_difficulty", "credit_declined_on",
    "direct_debit_failed_on", "repeat_overdraft_use", "gambling_block", "gambling_spike",
    "pre_eligible", "pre_eligible_until", "treatment_flags", "balance_pence", "savings_pence",
    "monthly_income_pence", "monthly_spend_pence", "last_paid_on", "next_payday_on", "isa_subscribed_pence",
    "held", "emergency_months",
)  # fmt: skip
"""Every fact this bank ever sends, in the order of a sheet."""


def _listed(columns: Mapping[str, FactColumn]) -> list[Sequence[FactValue]]:
    return [column.told(FACTS[name].kind) for name, column in columns.items()]


@lru_cache(maxsize=65_536)
def _iso(day: int) -> str | None:
    return date.fromordinal(day).isoformat() if day else None


@lru_cache(maxsize=4_096)
def _midnight(day: int) -> str | None:
    return datetime.combine(date.fromordinal(day), time(tzinfo=UTC)).isoformat() if day else None


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
