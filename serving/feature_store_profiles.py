"""Profiles whose facts come from a bank's feature store, beside what was told to us: of each fact the newest stands.

A row of the store holds, for each fact, its value and beside it `<fact>_as_of`, since when it holds. Without an
`as_of` nobody knows the fact; with one and no value it is known to be none. So absent, none and a value are
as apart as in our own database, and a fact grows old by the same clock. What does not fit its definition,
or lies in the future, counts as not known (rules then fail closed), and is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol

from recsys.clocks import Clock
from recsys.customers import Customers
from recsys.errors import InvalidFact, StoreUnavailable
from recsys.facts import FACTS, Kind, checked_fact
from recsys.vocabulary import CustomerId, Fact, Profile

logger = logging.getLogger(__name__)
AS_OF = "_as_of"
Row = Mapping[str, Any]
_AHEAD = timedelta(minutes=5)  # clocks may differ by so much, as for facts that come through the API
_NOBODY = CustomerId("\x00")  # no customer is called so: what a look asks for that wants no answer


class FactStore(Protocol):
    """A feature store as we read it; raises `StoreUnavailable`."""

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that it holds, by name."""

    def now(self, customer_ids: Sequence[CustomerId]) -> list[Row]:
        """The row of each customer as it stands online; all None for one that it does not know."""

    def then(self, asked: Sequence[tuple[CustomerId, datetime]]) -> list[Row]:
        """The row of each customer as it was told by then, whatever was told later."""


@dataclass(slots=True)
class FeatureStoreProfiles:
    """Facts of a feature store beside our own; fulfils `ProfileSource`."""

    customers: Customers
    store: FactStore
    clock: Clock
    at_once: bool = False
    _misfits: set[str] = field(default_factory=set)

    def profile(self, customer_id: CustomerId) -> Profile | None:
        """What is known now, None for a customer nobody told us about."""
        return self.profiles([customer_id]).get(customer_id)

    def profiles(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Profile]:
        """What is known now of those customers who have a token."""
        found = self.customers.profiles(customer_ids)
        return dict(zip(found, self.completed(list(found.values())), strict=True))

    def completed(self, profiles: Sequence[Profile]) -> list[Profile]:
        """The same customers, in order, with the newest of each fact."""
        if not profiles:
            return []
        ids, by = [each.customer_id for each in profiles], self.clock.now() + _AHEAD
        rows, erased = self.store.now(ids), self.customers.erased(ids)
        return [
            replace(each, facts=newest(each.facts, self._facts_of(row, by=by, after=erased.get(each.customer_id))))
            for each, row in zip(profiles, rows, strict=True)
        ]

    def introduce(self, customer_id: CustomerId) -> Profile:
        """A token for a customer that only the feature store knows, or nobody."""
        return self.completed([self.customers.introduce(customer_id)])[0]

    def trouble(self) -> str:
        """Whether it answers."""
        try:
            self.store.now([_NOBODY])
        except StoreUnavailable as error:
            return str(error)
        return ""

    def known_then(self, asked: Sequence[tuple[CustomerId, datetime]]) -> list[Mapping[str, Fact]]:
        """The facts of each customer as they were known then: nothing in them was told later."""
        rows, erased = self.store.then(asked), self.customers.erased([each for each, _ in asked])
        return [self._facts_of(row, by=at, after=erased.get(each)) for row, (each, at) in zip(rows, asked, strict=True)]

    def _facts_of(self, row: Row, *, by: datetime, after: datetime | None) -> dict[str, Fact]:
        """What fits; of somebody who was forgotten only what is newer than that (ERS-4)."""
        found, misfits = facts_of(row, names=self.store.facts, by=by)
        for name, why in misfits:
            if name not in self._misfits:
                self._misfits.add(name)
                logger.warning("feature store: %s; it counts as not known (told once)", why)
        return found if after is None else {name: fact for name, fact in found.items() if fact.as_of > after}


def facts_of(row: Row, *, names: Iterable[str], by: datetime) -> tuple[dict[str, Fact], list[tuple[str, str]]]:
    """The facts of a row that hold by a time, and (name, why) of each that does not fit; no value is quoted.

    >>> from datetime import UTC
    >>> day = datetime(2026, 3, 2, tzinfo=UTC)
    >>> row = {"residence": "GB", "residence_as_of": day, "status": "gone", "status_as_of": day}
    >>> known, misfits = facts_of(row, names=["residence", "held", "status"], by=day)
    >>> known["residence"].value, misfits
    ('GB', [('status', 'fact status: expected active, dormant, bereaved, closed or fincrime_hold')])
    """
    found: dict[str, Fact] = {}
    misfits: list[tuple[str, str]] = []
    for name in names:
        as_of = row.get(f"{name}{AS_OF}")
        if as_of is None:
            continue
        try:
            value = checked_fact(name, _plain(row.get(name), kind=FACTS[name].kind))
        except InvalidFact as error:
            misfits.append((name, str(error)))
            continue
        if as_of <= by:
            found[name] = Fact(value, as_of)
        else:
            misfits.append((name, f"fact {name}: its {name}{AS_OF} lies in the future"))
    return found, misfits


def newest(ours: Mapping[str, Fact], theirs: Mapping[str, Fact]) -> Mapping[str, Fact]:
    """Of each fact the newer one; ours where both are as old."""
    more = {name: fact for name, fact in theirs.items() if name not in ours or fact.as_of > ours[name].as_of}
    return MappingProxyType({**ours, **more}) if more else ours


def _plain(value: Any, *, kind: Kind) -> Any:
    """A store has no empty list apart from none, and columns with gaps turn whole numbers and truths into floats."""
    if kind is Kind.TEXTS:
        return () if value is None else tuple(value)
    if isinstance(value, float) and value.is_integer():
        return (
            int(value) if kind is Kind.WHOLE else bool(value) if kind is Kind.TRUTH and value in (0.0, 1.0) else value
        )
    return value
