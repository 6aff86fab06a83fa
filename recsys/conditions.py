"""Conditions over named facts: what a rule may require of a customer.

An answer has three values: it holds, it does not, or it is unknown because a fact is missing; the
rule decides that unknown refuses. A fact of the wrong type, which the border should have refused,
does not hold.
"""

from __future__ import annotations

import operator as op
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from recsys.asking import DERIVED, KINDS, MISSING, Asked, Value
from recsys.facts import Kind

Literal: TypeAlias = bool | int | float | str | tuple[str, ...]
Answer: TypeAlias = bool | None  # None: unknown


@dataclass(frozen=True, slots=True)
class Condition:
    """`fact operator value`; a value "now" or "product.…" stands for the moment's or the product's own."""

    fact: str
    operator: str
    value: Literal
    or_none: bool = False

    @property
    def of_product(self) -> str | None:
        """The product's attribute that the value names, None for a constant."""
        if isinstance(self.value, str) and self.value.startswith("product."):
            return self.value.removeprefix("product.")
        return None


_ORDERED = frozenset({Kind.WHOLE, Kind.NUMBER, Kind.DATE, Kind.MOMENT})
_PLAIN = frozenset({Kind.TRUTH, Kind.WHOLE, Kind.NUMBER, Kind.TEXT})
OPERATORS: Mapping[str, frozenset[Kind]] = MappingProxyType(
    {
        "equals": _PLAIN,
        "not_equals": _PLAIN,
        "at_least": _ORDERED,
        "at_most": _ORDERED,
        "before": frozenset({Kind.DATE, Kind.MOMENT}),
        "after": frozenset({Kind.DATE, Kind.MOMENT}),
        "in": frozenset({Kind.TEXT}),
        "not_in": frozenset({Kind.TEXT}),
        "contains": frozenset({Kind.TEXTS}),
        "lacks": frozenset({Kind.TEXTS}),
    }
)
"""Each operator and the kinds of fact it fits."""

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"at_least": op.ge, "at_most": op.le, "before": op.lt, "after": op.gt}
)


def ordered(value: object, *, kind: Kind) -> float:
    """A number by which values of an ordered kind compare; TypeError or ValueError when it has none."""
    if kind in (Kind.WHOLE, Kind.NUMBER) and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if kind is Kind.DATE and isinstance(value, str):
        return date.fromisoformat(value).toordinal()
    if kind is Kind.MOMENT and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.timestamp()
    raise TypeError


Question: TypeAlias = Callable[[Asked], Answer]


def question_of(condition: Condition) -> Question:
    """A condition with a constant value (or "now"), made ready to be asked."""
    holds = _holds(condition)
    name, or_none = condition.fact, condition.or_none

    def ask(asked: Asked) -> Answer:
        fact = asked.facts.get(name)
        if fact is None:
            return None
        if fact.value is None:
            return or_none
        try:
            return holds(fact.value, asked)
        except (TypeError, ValueError):
            return False

    def ask_derived(asked: Asked) -> Answer:
        value = asked.value(name)
        if value is MISSING:
            return None
        if value is None:
            return or_none
        try:
            return holds(value, asked)
        except (TypeError, ValueError):
            return False

    return ask_derived if name in DERIVED else ask


def _holds(condition: Condition) -> Callable[[Value, Asked], bool]:
    wanted, kind = condition.value, KINDS[condition.fact]
    match condition.operator:
        case "equals" if isinstance(wanted, str):  # the usual one
            return lambda value, _: value == wanted
        case "equals":
            return lambda value, _: isinstance(value, bool) == isinstance(wanted, bool) and value == wanted
        case "not_equals":
            return lambda value, _: type(value) is type(wanted) and value != wanted
        case "in" if isinstance(wanted, tuple):
            return lambda value, _: value in wanted
        case "not_in" if isinstance(wanted, tuple):
            return lambda value, _: isinstance(value, str) and value not in wanted
        case "contains":
            return lambda value, _: isinstance(value, tuple) and wanted in value
        case "lacks":
            return lambda value, _: isinstance(value, tuple) and wanted not in value
    compare = COMPARISONS[condition.operator]
    if wanted == "now":
        return lambda value, asked: bool(compare(ordered(value, kind=kind), asked.at.timestamp()))
    limit = ordered(wanted, kind=kind)
    return lambda value, _: bool(compare(ordered(value, kind=kind), limit))
