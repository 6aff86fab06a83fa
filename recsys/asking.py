"""A customer at one moment, to be asked for facts by name; what follows from other facts is derived here.

Three readings stay apart: a value, None for "known to be none", and `MISSING` for "nobody told us".
A fact older than the pack allows is as a missing one (OPS-6). A derived fact is missing when a fact
it needs is missing or of the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from recsys.derivations import age_on, london_day, low_balance, months_of_spend, tax_year
from recsys.facts import FACTS, RULE_FACTS, Kind
from recsys.vocabulary import Fact, FactValue, ProductId, Profile


class Missing:
    """Nobody told us; `MISSING` is its one value."""

    __slots__ = ()


MISSING: Final = Missing()
Value: TypeAlias = FactValue | Missing


@dataclass(frozen=True, slots=True)
class Allowance:
    """The ISA allowance of the tax years that begin on or after `starts_on` (SAV-2)."""

    starts_on: date
    total_pence: int
    cash_under_65_pence: int


class Admits(Protocol):
    """A declared audience, as far as asking goes (recsys/audiences.py)."""

    @property
    def name(self) -> str:
        """`id@version`, as decisions carry it."""

    @property
    def products(self) -> tuple[ProductId, ...]:
        """The products it may be shown."""

    def admits(self, asked: Asked) -> bool:
        """Whether the customer belongs to it."""


@dataclass(frozen=True, slots=True)
class Tables:
    """What a pack says beside its rules, which derived facts read."""

    allowances: tuple[Allowance, ...] = ()
    max_age: Mapping[str, timedelta] = field(default_factory=lambda: MappingProxyType({}))
    audiences: tuple[Admits, ...] = ()


NOTHING_GIVEN: Mapping[str, FactValue] = MappingProxyType({})
"""What a caller knows of a moment that it says nothing of."""


class Asked:
    """One customer at one moment, to be asked for facts by name; each is worked out once at most.

    `available` are the products that the customer holds or could have, once the other rules have
    spoken. `stale` are the facts that are known but too old. `through` are the (product, audience)
    pairs of declared audiences that the customer belongs to, once a rule has asked (ADV-2).
    """

    __slots__ = (
        "_known", "at", "available", "day", "facts", "given", "path", "profile", "stale", "surface", "tables",
        "through",
    )  # fmt: skip

    def __init__(
        self,
        profile: Profile,
        *,
        at: datetime,
        surface: str,
        path: str,
        tables: Tables,
        given: Mapping[str, FactValue] = NOTHING_GIVEN,
    ) -> None:
        self.profile = profile
        self.at = at
        self.day = london_day(at)
        self.surface = surface
        self.path = path
        self.tables = tables
        self.given = given
        self.available: Value = MISSING
        self.through: tuple[tuple[ProductId, str], ...] = ()
        self.stale = _stale(profile.facts, at=at, max_age=tables.max_age)
        self.facts = profile.facts
        if self.stale:
            self.facts = {name: fact for name, fact in profile.facts.items() if name not in self.stale}
        self._known: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        """A fact or a derived fact; None when known to be none, `MISSING` when nobody told us."""
        if name not in DERIVED:
            fact = self.facts.get(name)
            return MISSING if fact is None else fact.value
        if name not in self._known:
            try:
                self._known[name] = DERIVED[name].make(self)
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


def _stale(facts: Mapping[str, Fact], *, at: datetime, max_age: Mapping[str, timedelta]) -> frozenset[str]:
    found = []
    for name, age in max_age.items():
        fact = facts.get(name)
        if fact is not None and at - fact.as_of > age:
            found.append(name)
    return frozenset(found)


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
    """What the caller knows of this moment may make the balance low, never the other way."""
    if asked.given.get("low_balance") is True:
        return True
    balance, income, spend = (asked.number(name) for name in _MONTHLY)
    return low_balance(balance=balance, income=income, spend=spend)


def _days_since(name: str) -> Callable[[Asked], Value]:
    """Days since the date that a fact names; None where it is known never to have been."""
    return lambda asked: None if asked.value(name) is None else (asked.day - asked.day_of(name)).days


def _allowance(asked: Asked) -> Allowance:
    """The allowance in force; TypeError before the first dated one."""
    in_force = [each for each in asked.tables.allowances if each.starts_on <= asked.day]
    if in_force:
        return max(in_force, key=lambda each: each.starts_on)
    raise TypeError


def _isa_subscribed(asked: Asked) -> int:
    """Pence paid in this tax year: what was reported in an earlier one belongs to that one (SAV-1)."""
    subscribed = int(asked.number("isa_subscribed_pence"))
    reported = london_day(asked.facts["isa_subscribed_pence"].as_of)
    return subscribed if tax_year(reported) >= tax_year(asked.day) else 0


def _isa_remaining(asked: Asked) -> Value:
    return _allowance(asked).total_pence - _isa_subscribed(asked)


def _cash_isa_remaining(asked: Asked) -> Value:
    """Strict on two counts: an unknown age is under 65, and all that was paid in counts as cash."""
    allowance = _allowance(asked)
    age = asked.value("age")
    old = isinstance(age, int) and age >= 65
    return (allowance.total_pence if old else allowance.cash_under_65_pence) - _isa_subscribed(asked)


def _audience_for(asked: Asked) -> Value:
    audiences = [audience for audience in asked.tables.audiences if audience.admits(asked)]
    asked.through = tuple((product, audience.name) for audience in audiences for product in audience.products)
    return tuple(product for product, _ in asked.through)


@dataclass(frozen=True, slots=True)
class Derived:
    """A fact that follows from others or from the moment: its kind, its making, and the facts it reads."""

    kind: Kind
    make: Callable[[Asked], Value]
    reads: tuple[str, ...] = ()


_D = Derived
_MONTHLY = ("balance_pence", "monthly_income_pence", "monthly_spend_pence")
DERIVED: Mapping[str, Derived] = MappingProxyType(
    {
        "age": _D(Kind.WHOLE, _age, ("date_of_birth",)),
        "months_of_spend": _D(Kind.NUMBER, _months_of_spend, ("balance_pence", "savings_pence", "monthly_spend_pence")),
        "low_balance": _D(Kind.TRUTH, _low_balance, _MONTHLY),
        "days_since_credit_declined": _D(Kind.WHOLE, _days_since("credit_declined_on"), ("credit_declined_on",)),
        "days_since_direct_debit_failed": _D(
            Kind.WHOLE, _days_since("direct_debit_failed_on"), ("direct_debit_failed_on",)
        ),
        "isa_remaining_pence": _D(Kind.WHOLE, _isa_remaining, ("isa_subscribed_pence",)),
        "cash_isa_remaining_pence": _D(Kind.WHOLE, _cash_isa_remaining, ("isa_subscribed_pence", "date_of_birth")),
        "audience_for": _D(Kind.TEXTS, _audience_for),
        "available": _D(Kind.TEXTS, lambda asked: asked.available, ("held",)),
        "objected": _D(Kind.TRUTH, lambda asked: asked.profile.permissions.objected_at is not None),
        "permission_in_app": _D(Kind.TRUTH, lambda asked: asked.profile.permissions.in_app),
        "permission_push": _D(Kind.TRUTH, lambda asked: asked.profile.permissions.push),
        "permission_targeted_support": _D(Kind.TRUTH, lambda asked: asked.profile.permissions.targeted_support),
        "surface": _D(Kind.TEXT, lambda asked: asked.surface),
        "path": _D(Kind.TEXT, lambda asked: asked.path),
        "now": _D(Kind.MOMENT, lambda asked: asked.at.isoformat()),
    }
)
"""Facts that follow from others or from the moment."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {name: FACTS[name].kind for name in sorted(RULE_FACTS)} | {name: each.kind for name, each in DERIVED.items()}
)
"""Every name a rule may use, and its kind."""


def facts_behind(name: str) -> tuple[str, ...]:
    """The facts of the bank that a name in a rule rests on.

    >>> facts_behind("low_balance"), facts_behind("status")
    (('balance_pence', 'monthly_income_pence', 'monthly_spend_pence'), ('status',))
    """
    return DERIVED[name].reads if name in DERIVED else (name,)
