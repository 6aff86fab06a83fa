"""Taking in what callers report: each item is accepted, a duplicate, or rejected with its reason.

No model is touched here. An item that is refused says why and harms no other item of its batch;
what is accepted is durable before the answer leaves.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from recsys import features
from recsys.clocks import Clock
from recsys.customers import Customers, Told
from recsys.errors import InvalidFact
from recsys.eventlog import Entry, EventLog, Receipt, Status
from recsys.facts import checked_fact
from recsys.rewards import Rewards
from recsys.vocabulary import Activity, CustomerId, Decision, Display, FactValue, Outcome, Permissions, ProductId, Token
from serving.misfits import Misfit
from serving.schemas import ActivityIn, CustomerIn, DisplayIn, OutcomeIn, PermissionsIn

ALWAYS_KNOWN = frozenset({"balance_30d", "cancelled_14d", "complained", "opted_out", "funded"})
SKEW = timedelta(minutes=5)  # how far a caller's clock may run ahead of business time
_REMEMBERED = 50_000
_FEW = 20  # items that are checked sooner than a thread is called
_LARGEST = 1_000_000  # of a whole number inside `context`
CONFLICT = "conflict: this id came before with another content"
ERASED = "the customer was erased after this: it is not kept"


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    products: frozenset[ProductId]
    made_at: datetime


@dataclass(slots=True)
class Taken:
    """What to append, and what was refused on the way. `ids` runs beside `entries`."""

    entries: list[Entry] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def result(self, receipts: Sequence[Receipt]) -> tuple[int, int, list[tuple[str, str]]]:
        """(accepted, duplicates, rejected) after the commit."""
        conflicts = [(id_, CONFLICT) for id_, r in zip(self.ids, receipts, strict=True) if r.status is Status.CONFLICT]
        conflicts += [(id_, ERASED) for id_, r in zip(self.ids, receipts, strict=True) if r.status is Status.ERASED]
        accepted = sum(receipt.status is Status.APPENDED for receipt in receipts)
        duplicates = sum(receipt.status is Status.DUPLICATE for receipt in receipts)
        return accepted, duplicates, self.rejected + conflicts


class Intake:
    """Checks outcomes and displays against the decisions they name."""

    def __init__(
        self, log: EventLog, *, customers: Customers, clock: Clock, measured: frozenset[str] = frozenset()
    ) -> None:
        """`measured` are kinds of outcomes that are taken in beside those of the rewards: what experiments measure."""
        self._log = log
        self._measured = measured
        self._customers = customers
        self._clock = clock
        self._decisions: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, decision: Decision) -> _Known:
        """Keep what outcomes of this decision will be checked against; bounded. Safe from several threads."""
        known = _Known(decision.token, frozenset(slot.product_id for slot in decision.shown), decision.made_at)
        with self._lock:
            self._decisions[decision.decision_id] = known
            if len(self._decisions) > _REMEMBERED:
                self._decisions.popitem(last=False)
        return known

    def at_hand(self, items: Sequence[OutcomeIn]) -> bool:
        """Whether `outcomes` would ask the database nothing, and take no longer than a request may on the loop."""
        decisions = self._decisions
        return len(items) <= _FEW and all(item.decision_id in decisions for item in items)

    def outcomes(
        self, items: Sequence[OutcomeIn], *, rewards: Rewards, catalogue: frozenset[ProductId], source: str = ""
    ) -> Taken:
        """Outcomes as entries; `source` names the key that reports them."""
        known = self._known([item.decision_id for item in items if item.decision_id is not None])
        kinds = rewards.kinds | ALWAYS_KNOWN | self._measured
        latest = self._clock.now() + SKEW
        reasons = [
            _fault(item, decision=known.get(item.decision_id or ""), kinds=kinds, catalogue=catalogue, latest=latest)
            for item in items
        ]
        erased = self._customers.erased(_organic(items, reasons))
        for place, item in enumerate(items):  # each by itself: what is new of somebody forgotten lets in nothing older
            customer = _customer(item)
            if reasons[place] is None and customer in erased and item.happened_at <= erased[customer]:
                reasons[place] = ERASED
        tokens = self._customers.tokens(_organic(items, reasons))
        taken = Taken()
        for item, reason in zip(items, reasons, strict=True):
            if reason is not None:
                taken.rejected.append((item.outcome_id, reason))
                continue
            customer = _customer(item)
            token = known[item.decision_id or ""].token if customer is None else tokens[customer]
            body = Outcome(
                item.outcome_id,
                token,
                item.product_id,
                item.kind,
                item.happened_at,
                item.decision_id,
                item.amount_pence,
                source,
            )
            taken.entries.append(Entry(body))
            taken.ids.append(item.outcome_id)
        return taken

    def displays(self, items: Sequence[DisplayIn]) -> Taken:
        """Displays as entries."""
        known = self._known([item.decision_id for item in items])
        latest = self._clock.now() + SKEW
        taken = Taken()
        for item in items:
            decision = known.get(item.decision_id)
            if decision is None:
                taken.rejected.append((item.decision_id, "no decision has this id"))
            elif item.displayed_at > latest or item.displayed_at < decision.made_at - SKEW:
                taken.rejected.append((item.decision_id, "displayed_at lies outside the life of the decision"))
            else:
                body = Display(item.decision_id, item.displayed_at, tuple(item.product_ids))
                taken.entries.append(Entry(body))
                taken.ids.append(item.decision_id)
        return taken

    def _known(self, decision_ids: Sequence[str]) -> Mapping[str, _Known]:
        asked = dict.fromkeys(decision_ids)
        with self._lock:
            found = {each: known for each in asked if (known := self._decisions.get(each)) is not None}
        missing = [each for each in asked if each not in found]
        for start in range(0, len(missing), 500):
            for event in self._log.decisions(missing[start : start + 500]).values():
                if isinstance(event.body, Decision):
                    found[event.body.decision_id] = self.remember(event.body)
        return found


def _customer(item: OutcomeIn) -> CustomerId | None:
    """Who an organic outcome names; None for one that names a decision."""
    named = item.customer_id if item.decision_id is None else None
    return None if named is None else CustomerId(named)


def _organic(items: Sequence[OutcomeIn], reasons: Sequence[str | None]) -> list[CustomerId]:
    """Who is named by the organic ones that have no reason against them."""
    fitting = (item for item, reason in zip(items, reasons, strict=True) if reason is None)
    return [customer for item in fitting if (customer := _customer(item)) is not None]


def _fault(
    item: OutcomeIn,
    *,
    decision: _Known | None,
    kinds: frozenset[str],
    catalogue: frozenset[ProductId],
    latest: datetime,
) -> str | None:
    """Why an outcome cannot be taken, None where it can."""
    if item.kind not in kinds:
        return f"unknown kind: known are {', '.join(sorted(kinds))}"
    if item.happened_at > latest:
        return "happened_at lies in the future"
    if item.decision_id is None:
        return None if item.product_id in catalogue else "no product of the catalogue has this id"
    if decision is None:
        return "no decision has this id"
    if item.product_id not in decision.products:
        return "the product is not in this decision's slate"
    if item.happened_at < decision.made_at - SKEW:
        return "happened_at lies before the decision"
    return None


def told_of(customer_id: str, item: CustomerIn) -> Told:
    """Facts and permissions, each fact checked. Raises `Misfit` naming the fact, never its value."""
    facts = {}
    for name, value in item.facts.items():
        try:
            facts[name] = checked_fact(name, value)
        except InvalidFact as error:
            raise Misfit(str(error), at=("facts", name)) from None
    return Told(CustomerId(customer_id), item.as_of, facts, _permissions(item.permissions))


def activity_of(item: ActivityIn) -> Activity:
    """One activity."""
    return Activity(
        item.activity_id,
        CustomerId(item.customer_id),
        item.kind,
        item.subject,
        item.happened_at,
        item.amount_pence,
    )


def given_of(context: Mapping[str, Any]) -> tuple[dict[str, FactValue], list[str], int]:
    """(facts known only now, names of wrong type, number of unknown keys) of a request's context."""
    given: dict[str, FactValue] = {}
    wrong: list[str] = []
    unknown = 0
    for name, value in context.items():
        kind = features.GIVEN.get(name)
        if kind is None:
            unknown += 1
        elif type(value) is kind and isinstance(value, bool | int) and abs(value) <= _LARGEST:
            given[name] = value
        else:
            wrong.append(name)
    return given, wrong, unknown


def _permissions(item: PermissionsIn | None) -> Permissions | None:
    if item is None:
        return None
    return Permissions(item.in_app, item.push, item.email, item.targeted_support, item.objected_at)
