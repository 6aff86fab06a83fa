"""A customer at one moment, to be asked for facts by name; what follows from other facts is derived here.

Three readings stay apart: a value, None for "known to be none", and `MISSING` for "nobody told us".
A derived fact is missing when a fact it needs is missing or of the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import TypeAlias

from recsys.derivations import age_on, london_day, low_balance, months_of_spend, tax_year
from recsys.facts import FACTS, RULE_FACTS, Kind
from recsys.vocabulary import FactValue, Profile


class Missing:
    """Nobody told us; `MISSING` is its one value."""

    __slots__ = ()


MISSING = Missing()
Value: TypeAlias = FactValue | Missing


@dataclass(frozen=True, slots=True)
class Allowance:
    """The ISA allowance of the tax years that begin on or after `starts_on` (SAV-2)."""

    starts_on: date
    total_pence: int
    cash_under_65_pence: int


class Asked:
    """One customer at one moment, to be asked for facts by name; each is worked out once at most."""

    __slots__ = ("_known", "allowances", "at", "day", "path", "profile", "surface")

    def __init__(
        self, profile: Profile, *, at: datetime, surface: str, path: str, allowances: tuple[Allowance, ...]
    ) -> None:
        self.profile = profile
        self.at = at
        self.day = london_day(at)
        self.surface = surface
        self.path = path
        self.allowances = allowances
        self._known: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        """A fact or a derived fact; None when known to be none, `MISSING` when nobody told us."""
        if name not in DERIVED:
            fact = self.profile.facts.get(name)
            return MISSING if fact is None else fact.value
        if name not in self._known:
            try:
                self._known[name] = DERIVED[name][1](self)
            except (TypeError, ValueError):
                self._known[name] = MISSING
        return self._known[name]

    def number(self, name: str) -> float:
        """A numeric fact; TypeError, hence a missing derived fact, when there is none."""
        value = self.value(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise TypeError

    def day_of(self, name: str) -> date:
        """A date fact; TypeError when there is none."""
        value = self.value(name)
        if isinstance(value, str):
            return date.fromisoformat(value)
        raise TypeError


def _age(asked: Asked) -> Value:
    return age_on(asked.day, born=asked.day_of("date_of_birth"))


def _months_of_spend(asked: Asked) -> Value:
    months = months_of_spend(
        balance_pence=asked.number("balance_pence"),
        savings_pence=asked.number("savings_pence"),
        monthly_spend_pence=asked.number("monthly_spend_pence"),
    )
    return MISSING if months is None else months


def _low_balance(asked: Asked) -> Value:
    names = ("balance_pence", "monthly_income_pence", "monthly_spend_pence")
    balance, income, spend = (asked.number(name) for name in names)
    return low_balance(balance=balance, income=income, spend=spend)


def _days_since_declined(asked: Asked) -> Value:
    if asked.value("credit_declined_on") is None:
        return None
    return (asked.day - asked.day_of("credit_declined_on")).days


def _allowance(asked: Asked) -> Allowance:
    """The allowance in force; TypeError before the first dated one."""
    in_force = [each for each in asked.allowances if each.starts_on <= asked.day]
    if in_force:
        return max(in_force, key=lambda each: each.starts_on)
    raise TypeError


def _isa_subscribed(asked: Asked) -> int:
    """Pence paid in this tax year: what was reported in an earlier one belongs to that one (SAV-1)."""
    subscribed = int(asked.number("isa_subscribed_pence"))
    reported = london_day(asked.profile.facts["isa_subscribed_pence"].as_of)
    return subscribed if tax_year(reported) >= tax_year(asked.day) else 0


def _isa_remaining(asked: Asked) -> Value:
    return _allowance(asked).total_pence - _isa_subscribed(asked)


def _cash_isa_remaining(asked: Asked) -> Value:
    """Strict on two counts: an unknown age is under 65, and all that was paid in counts as cash."""
    allowance = _allowance(asked)
    age = asked.value("age")
    old = isinstance(age, int) and age >= 65
    return (allowance.total_pence if old else allowance.cash_under_65_pence) - _isa_subscribed(asked)


DERIVED: Mapping[str, tuple[Kind, Callable[[Asked], Value]]] = MappingProxyType(
    {
        "age": (Kind.WHOLE, _age),
        "months_of_spend": (Kind.NUMBER, _months_of_spend),
        "low_balance": (Kind.TRUTH, _low_balance),
        "days_since_credit_declined": (Kind.WHOLE, _days_since_declined),
        "isa_remaining_pence": (Kind.WHOLE, _isa_remaining),
        "cash_isa_remaining_pence": (Kind.WHOLE, _cash_isa_remaining),
        "objected": (Kind.TRUTH, lambda asked: asked.profile.permissions.objected_at is not None),
        "permission_in_app": (Kind.TRUTH, lambda asked: asked.profile.permissions.in_app),
        "permission_push": (Kind.TRUTH, lambda asked: asked.profile.permissions.push),
        "permission_targeted_support": (Kind.TRUTH, lambda asked: asked.profile.permissions.targeted_support),
        "surface": (Kind.TEXT, lambda asked: asked.surface),
        "path": (Kind.TEXT, lambda asked: asked.path),
        "now": (Kind.MOMENT, lambda asked: asked.at.isoformat()),
    }
)
"""Facts that follow from others or from the moment: kind and derivation."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {name: FACTS[name].kind for name in sorted(RULE_FACTS)} | {name: kind for name, (kind, _) in DERIVED.items()}
)
"""Every name a rule may use, and its kind."""
