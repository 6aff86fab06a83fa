"""Facts → context, product → features: the one definition for the API, the learner and the judge.

Every feature stands in `CUSTOMER` or `MOMENT` with how it is made and which facts it reads; what is
between a customer and a product stands in `SEEN_LATELY`. `VERSION` is the digest of all of these:
change a definition in words and every decision says so.
No feature reads age, any other protected trait, a treatment flag or a credit score (VUL-1, FAIR-2,
CRD-3). A missing fact makes its features 0 and raises `missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from hashlib import sha256
from math import cos, exp, log1p, pi, sin
from operator import mul
from types import MappingProxyType

import numpy as np

from recsys.catalogue import broadcast_creative
from recsys.derivations import LONDON, low_balance
from recsys.facts import RECORDED_FACTS, checked_fact
from recsys.shelves import Memo, Shelf
from recsys.touches import DAILY, second_of, seen_lately
from recsys.vocabulary import (
    NOTHING,
    Bools,
    Candidate,
    Contact,
    Context,
    Fact,
    FactValue,
    Floats,
    Product,
    Profile,
)

__all__ = [
    "ADVICE_SENSITIVE",
    "CUSTOMER_NAMES",
    "GIVEN",
    "KNOWN_VERSIONS",
    "MOMENT_NAMES",
    "USED_FACTS",
    "VERSION",
    "advice_sensitive",
    "advice_sensitive_on",
    "candidate_of",
    "checked_fact",
    "context_of",
    "customer_features",
    "facts_used",
    "impersonal_candidate",
    "impersonal_context",
    "product_features",
    "seen_on",
    "shelf_of",
]

GIVEN: Mapping[str, type] = MappingProxyType({"payday_in_days": int, "low_balance": bool})
"""Facts known only now that a request's `context` may carry; they override what the profile says."""

_NO_FACTS: tuple[str, ...] = ()
_EXPECTED = ("balance_pence", "savings_pence", "monthly_income_pence", "monthly_spend_pence", "signals", "held")


class _Sight:
    """A profile at a moment, read once: numbers in pounds, missing ones 0, days from London's calendar."""

    __slots__ = (
        "arrears_days", "balance", "emergency_months", "held", "hour", "income", "low", "month", "no_savings",
        "savings", "signals", "since_pay", "spend", "surface", "tenure_years", "to_isa_end", "to_pay", "unknown",
        "weekday",
    )  # fmt: skip
    since_pay: int | None
    to_pay: int | None
    low: bool
    tenure_years: float

    def __init__(self, profile: Profile, at: datetime, surface: str, given: Mapping[str, FactValue]) -> None:
        facts = profile.facts
        local = at.astimezone(LONDON)
        today = local.date()
        self.surface = surface
        self.hour = local.hour + local.minute / 60
        self.weekday = local.weekday()
        self.month = local.month
        self.to_isa_end = _days_to_isa_end(today)
        self.balance = _number(facts, "balance_pence") / 100
        self.savings = _number(facts, "savings_pence") / 100
        self.no_savings = "savings_pence" in facts and self.savings == 0
        self.income = _number(facts, "monthly_income_pence") / 100
        self.spend = _number(facts, "monthly_spend_pence") / 100
        self.arrears_days = _number(facts, "arrears_days")
        self.emergency_months = _number(facts, "emergency_months")
        self.signals = _texts(facts, "signals")
        self.held = _texts(facts, "held")
        self.unknown = sum(name not in facts for name in _EXPECTED) / len(_EXPECTED)
        since_pay, to_pay, tenure = (_days(facts, name, today) for name in _DAY_FACTS)
        self.since_pay = None if since_pay is None else -since_pay
        self.tenure_years = 0.0 if tenure is None else max(-tenure, 0) / 365.25
        said = given.get("payday_in_days")
        self.to_pay = said if isinstance(said, int) and not isinstance(said, bool) else to_pay
        low = given.get("low_balance")
        self.low = low if isinstance(low, bool) else self._low(facts)

    def _low(self, facts: Mapping[str, Fact]) -> bool:
        known = all(name in facts for name in _LOW_FACTS)
        return known and low_balance(balance=self.balance, income=self.income, spend=self.spend)


_LOW_FACTS = ("balance_pence", "monthly_income_pence", "monthly_spend_pence")
_DAY_FACTS = ("last_paid_on", "next_payday_on", "joined_on")


def _number(facts: Mapping[str, Fact], name: str) -> float:
    fact = facts.get(name)
    value = None if fact is None else fact.value
    return float(value) if isinstance(value, int | float) else 0.0


def _texts(facts: Mapping[str, Fact], name: str) -> tuple[str, ...]:
    fact = facts.get(name)
    return fact.value if fact is not None and isinstance(fact.value, tuple) else ()


def _days(facts: Mapping[str, Fact], name: str, today: date) -> int | None:
    """Days from today to the date a fact names; negative in the past."""
    fact = facts.get(name)
    value = None if fact is None else fact.value
    return (date.fromisoformat(value) - today).days if isinstance(value, str) else None


def _days_to_isa_end(today: date) -> int:
    """Days to the nearest 5 April, the last day of an ISA year; negative after it."""
    return min(((date(year, 4, 5) - today).days for year in (today.year, today.year + 1)), key=abs)


def _decay(days: int | None, length: float) -> float:
    """1 on the day, falling to 1/e after `length` days; 0 where the day is unknown or on the other side."""
    return exp(-days / length) if days is not None and days >= 0 else 0.0


def _surplus(sight: _Sight) -> float:
    """The share of a month's spending that is left at payday at the usual pace."""
    if sight.spend <= 0:
        return 0.0
    to_pay = 15 if sight.to_pay is None else min(max(sight.to_pay, 0), 31)
    return min(max(sight.balance / sight.spend - to_pay / 30, -1.0), 2.0)


@dataclass(frozen=True, slots=True)
class Feature:
    """One number of a context: its name, how it is made in words, the facts it reads, and the making."""

    name: str
    how: str
    reads: tuple[str, ...]
    make: Callable[[_Sight], float]


def _has(signal: str) -> Feature:
    return Feature(signal, f"1 if signals contains {signal}", ("signals",), lambda s: float(signal in s.signals))


def _on(surface: str) -> Feature:
    return Feature(f"on_{surface}", f"1 if the surface is {surface}", _NO_FACTS, lambda s: float(s.surface == surface))


CUSTOMER: tuple[Feature, ...] = (
    Feature("log_savings", "ln(1 + savings in £) / 10", ("savings_pence",), lambda s: log1p(s.savings) / 10),
    Feature("no_savings", "1 if savings are known and 0", ("savings_pence",), lambda s: float(s.no_savings)),
    Feature("log_balance", "ln(1 + balance in £, at least 0) / 10", ("balance_pence",),
            lambda s: log1p(max(s.balance, 0.0)) / 10),
    Feature("overdrawn", "1 if the balance is negative", ("balance_pence",), lambda s: float(s.balance < 0)),
    Feature("log_income", "ln(1 + monthly income in £) / 10", ("monthly_income_pence",),
            lambda s: log1p(s.income) / 10),
    Feature("log_spend", "ln(1 + monthly spending in £) / 10", ("monthly_spend_pence",),
            lambda s: log1p(s.spend) / 10),
    Feature("saved_share", "1 − spending / income, within −1 and 1", ("monthly_income_pence", "monthly_spend_pence"),
            lambda s: min(max(1 - s.spend / s.income, -1.0), 1.0) if s.income > 0 and s.spend > 0 else 0.0),
    Feature("emergency", "emergency months / 6, at most 2", ("emergency_months",),
            lambda s: min(s.emergency_months / 6, 2.0)),
    Feature("arrears", "1 if a debt is overdue", ("arrears_days",), lambda s: float(s.arrears_days > 0)),
    _has("family"),
    _has("sole_trader"),
    _has("parent_of_teen"),
    _has("saver"),
    _has("commuter"),
    Feature("held_count", "products held / 8, at most 2", ("held",), lambda s: min(len(s.held) / 8, 2.0)),
    Feature("log_tenure", "ln(1 + years as a customer) / 3", ("joined_on",), lambda s: log1p(s.tenure_years) / 3),
    Feature("missing", f"share of {', '.join(_EXPECTED)} that are missing", _EXPECTED, lambda s: s.unknown),
)  # fmt: skip

MOMENT: tuple[Feature, ...] = (
    Feature("constant", "1", _NO_FACTS, lambda _: 1.0),
    Feature("surplus", "balance / monthly spending − days to payday (15 if unknown) / 30, within −1 and 2",
            ("balance_pence", "monthly_spend_pence", "next_payday_on"), _surplus),
    Feature("low_balance", "1 if overdrawn or the balance is below a tenth of monthly income or spending", _LOW_FACTS,
            lambda s: float(s.low)),
    Feature("just_paid", "exp(−days since payday / 3)", ("last_paid_on",), lambda s: _decay(s.since_pay, 3)),
    Feature("payday_near", "exp(−days to payday / 3)", ("next_payday_on",), lambda s: _decay(s.to_pay, 3)),
    Feature("isa_season", "exp(−(days to the nearest 5 April / 14)²)", _NO_FACTS,
            lambda s: exp(-((s.to_isa_end / 14) ** 2))),
    Feature("january", "1 in January", _NO_FACTS, lambda s: float(s.month == 1)),
    Feature("december", "1 in December", _NO_FACTS, lambda s: float(s.month == 12)),
    Feature("weekend", "1 on Saturday and Sunday", _NO_FACTS, lambda s: float(s.weekday >= 5)),
    Feature("friday", "1 on Friday", _NO_FACTS, lambda s: float(s.weekday == 4)),
    Feature("hour_sin", "sin(2π hour / 24)", _NO_FACTS, lambda s: sin(pi * s.hour / 12)),
    Feature("hour_cos", "cos(2π hour / 24)", _NO_FACTS, lambda s: cos(pi * s.hour / 12)),
    _on("home"),
    _on("savings"),
    _on("search"),
    _on("push"),
    _on("inline"),
)  # fmt: skip

CUSTOMER_NAMES: tuple[str, ...] = tuple(feature.name for feature in CUSTOMER)
MOMENT_NAMES: tuple[str, ...] = tuple(feature.name for feature in MOMENT)
NAMES = CUSTOMER_NAMES + MOMENT_NAMES
MOST_SEEN = 20.0
SEEN_LATELY = (
    f"seen_lately|displays of the product to the customer, each × {DAILY} a day, at most {MOST_SEEN:g}|displays"
)
VERSION: str = sha256(
    "\n".join([*(f"{f.name}|{f.how}|{','.join(f.reads)}" for f in CUSTOMER + MOMENT), SEEN_LATELY]).encode()
).hexdigest()
"""Digest of the definition in words; logged with every decision (TRN-2)."""

KNOWN_VERSIONS = frozenset({VERSION})
"""Definitions whose contexts may teach: this one, and earlier ones that name nothing otherwise than it does."""

_IMPERSONAL = frozenset(feature.name for feature in CUSTOMER + MOMENT if not feature.reads)
ADVICE_SENSITIVE = "tag_advice_sensitive"
"""The feature by which a candidate shows that it may not be chosen for a person by what was learned (ADV-2)."""

USED_FACTS = frozenset(name for feature in CUSTOMER + MOMENT for name in feature.reads) | RECORDED_FACTS
"""Every fact that a feature or a rule may read, save the sensitive ones; only these enter a decision (RET-2)."""

_CUSTOMER_MAKERS = tuple(feature.make for feature in CUSTOMER)
_MAKERS = _CUSTOMER_MAKERS + tuple(feature.make for feature in MOMENT)
_NOTHING_GIVEN: Mapping[str, FactValue] = MappingProxyType({})


def customer_features(profile: Profile, *, at: datetime) -> Floats:
    """(len(CUSTOMER_NAMES),) float64, roughly within −1 and 2: what an encoder may see of a customer."""
    sight = _Sight(profile, at, "", _NOTHING_GIVEN)
    return np.array([make(sight) for make in _CUSTOMER_MAKERS], dtype=np.float64)


def context_of(profile: Profile, *, at: datetime, surface: str, given: Mapping[str, FactValue]) -> Context:
    """What a policy may see of the moment: customer features, then those of the moment.

    `given` holds facts of the request (`GIVEN`); unknown names and wrong types in it are ignored.
    """
    sight = _Sight(profile, at, surface, given)
    return Context(NAMES, tuple([make(sight) for make in _MAKERS]))


def impersonal_context(context: Context) -> Context:
    """The moment without the person: whatever was made from a fact is 0 (ADV-2)."""
    return Context(context.names, tuple(map(mul, context.values, _kept(context.names))))


@lru_cache(maxsize=64)
def _kept(names: tuple[str, ...]) -> tuple[float, ...]:
    """1 for each name that is of the moment alone, else 0."""
    return tuple(float(name in _IMPERSONAL) for name in names)


def impersonal_candidate(candidate: Candidate) -> Candidate:
    """The product without the person: its own features only, and no affinity (ADV-2)."""
    told = zip(candidate.names, candidate.values, strict=True)
    own = [(name, value) for name, value in told if name.startswith(_OF_PRODUCTS)]
    names, values = tuple(name for name, _ in own), tuple(value for _, value in own)
    return Candidate(candidate.product_id, candidate.creative_id, names, values)


def facts_used(profile: Profile) -> Mapping[str, Fact]:
    """The facts of a profile that a decision copies."""
    return {name: fact for name, fact in profile.facts.items() if name in USED_FACTS}


_OF_PRODUCTS = ("family_", "class_", "regulated_", "tag_")
_ProductPart = tuple[Product, tuple[str, ...], tuple[float, ...]]
_PRODUCT_PARTS: dict[int, _ProductPart] = {}
_MOST_PARTS = 20_000


def product_features(product: Product) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names and values of a product's own features: family, classes and tags, each 1 where it applies."""
    known = _PRODUCT_PARTS.get(id(product))
    if known is None or known[0] is not product:
        if len(_PRODUCT_PARTS) >= _MOST_PARTS:
            _PRODUCT_PARTS.clear()
        names = (
            f"family_{product.family}",
            f"class_{product.communication_class.value}",
            f"regulated_{product.regulated_class}",
            *(f"tag_{tag}" for tag in sorted(set(product.tags))),
        )
        known = _PRODUCT_PARTS[id(product)] = (product, names, (1.0,) * len(names))
    return known[1], known[2]


def candidate_of(product: Product, *, affinity: float | None = None, path: str = "personalised") -> Candidate:
    """A product as a candidate, with its first creative, or the one for everyone on the broadcast path."""
    creative = broadcast_creative(product) if path == "broadcast" else next(iter(product.creatives), None)
    names, values = product_features(product)
    return Candidate(product.product_id, "" if creative is None else creative.creative_id, names, values, affinity)


def shelf_of(products: Sequence[Product], *, path: str) -> Shelf:
    """The products as candidates on a path, in their order, and the null choice behind them."""
    return Shelf([*(candidate_of(product, path=path) for product in products), Candidate(NOTHING)])


def seen_on(shelf: Shelf, contact: Contact, *, at: datetime) -> Floats:
    """(n,) how often a customer was shown each product of a shelf lately."""
    seen, now = np.zeros(len(shelf)), second_of(at)
    for product in contact.tired:
        if (row := shelf.row_of.get(product)) is not None:
            seen[row] = min(seen_lately(contact, product, now=now), MOST_SEEN)
    return seen


def advice_sensitive(candidate: Candidate) -> bool:
    """Whether the candidate may only be scored impersonally (ADV-2)."""
    return ADVICE_SENSITIVE in candidate.names


def _advice_sensitive(shelf: Shelf) -> Bools:
    return np.array([advice_sensitive(each) for each in shelf.candidates], dtype=np.bool_)


advice_sensitive_on = Memo(_advice_sensitive)
"""(n,) the products of a shelf that may not be chosen for a person by what was learned (ADV-2)."""
