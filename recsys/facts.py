"""The facts a bank may send of a customer: their names, kinds and bounds, and who may read them.

A fact that is not in this table is refused at the border, so nothing can reach a rule, a feature or
a log that nobody has thought about (VUL-1, RET-2). Three readings of a fact are kept apart: absent
(nobody told us), known to be none (`Fact.value is None`), and a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from math import isfinite
from types import MappingProxyType

from recsys.errors import InvalidFact
from recsys.vocabulary import FactValue

MOST_TEXTS = 200
LONGEST_TEXT = 100
LARGEST_NUMBER = 10**15


class Kind(StrEnum):
    """What a fact's value is; the words are those of the error messages."""

    TRUTH = "true or false"
    WHOLE = "a whole number"
    NUMBER = "a number"
    TEXT = "a text"
    DATE = "a date such as 2026-03-02"
    MOMENT = "a time with its zone such as 2026-03-02T09:00:00Z"
    TEXTS = "a list of texts"


@dataclass(frozen=True, slots=True)
class FactDefinition:
    """One fact: its kind, what it means, and its bounds."""

    name: str
    kind: Kind
    about: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    may_be_none: bool = False
    for_rules: bool = True  # on the allow-list of what a rule may read
    sensitive: bool = False  # rules may act upon it, no record keeps it: the verdict is enough (VUL-1)


def _table(*definitions: FactDefinition) -> Mapping[str, FactDefinition]:
    return MappingProxyType({definition.name: definition for definition in definitions})


STATUSES = ("active", "dormant", "bereaved", "closed", "fincrime_hold")
SIGNALS = ("family", "sole_trader", "parent_of_teen", "saver", "commuter")
TREATMENT_FLAGS = ("no_credit", "no_push", "no_promotion", "plain_language")

_F, _K = FactDefinition, Kind
FACTS: Mapping[str, FactDefinition] = _table(
    _F("date_of_birth", _K.DATE, "day of birth"),
    _F("age_verified", _K.TRUTH, "whether the bank has verified the age"),
    _F("residence", _K.TEXT, "country of residence, two letters"),
    _F("status", _K.TEXT, "what state the customer relationship is in", choices=STATUSES),
    _F("joined_on", _K.DATE, "day the first account was opened", for_rules=False),
    _F("employment", _K.TEXT, "kind of employment", may_be_none=True, for_rules=False),
    _F("arrears_days", _K.WHOLE, "days the oldest debt is overdue", least=0),
    _F("forbearance", _K.TRUTH, "a payment plan or other forbearance is running"),
    _F("breathing_space", _K.TRUTH, "a breathing space moratorium is running"),
    _F("insolvent", _K.TRUTH, "bankruptcy, IVA or debt relief order"),
    _F("persistent_debt", _K.TRUTH, "in persistent debt by the regulator's measure"),
    _F("at_risk_of_difficulty", _K.TRUTH, "flagged as at risk of financial difficulty"),
    _F("credit_declined_on", _K.DATE, "day credit was last declined", may_be_none=True),
    _F("direct_debit_failed_on", _K.DATE, "day a direct debit last failed for want of money", may_be_none=True),
    _F("repeat_overdraft_use", _K.TRUTH, "uses an overdraft again and again by the regulator's measure (CONC 5D)"),
    _F("gambling_block", _K.TRUTH, "the customer's own block on gambling payments is on", sensitive=True),
    _F("gambling_spike", _K.TRUTH, "gambles far more than is usual for the customer", sensitive=True),
    _F("limit_increase_opt_out", _K.TRUTH, "asked not to be offered higher limits"),
    _F("pre_eligible", _K.TEXTS, "credit products the decisioning service has said yes to"),
    _F("pre_eligible_until", _K.MOMENT, "when that yes expires", may_be_none=True),
    _F("treatment_flags", _K.TEXTS, "how to treat the customer, never why", choices=TREATMENT_FLAGS),
    _F("balance_pence", _K.WHOLE, "current account balance"),
    _F("savings_pence", _K.WHOLE, "all savings with the bank", least=0),
    _F("monthly_income_pence", _K.WHOLE, "usual income of a month", least=0),
    _F("monthly_spend_pence", _K.WHOLE, "usual spending of a month", least=0),
    _F("last_paid_on", _K.DATE, "last payday", may_be_none=True),
    _F("next_payday_on", _K.DATE, "next expected payday", may_be_none=True),
    _F("isa_subscribed_pence", _K.WHOLE, "paid into ISAs here in the tax year of its as_of", least=0),
    _F("held", _K.TEXTS, "products the customer holds"),
    _F("signals", _K.TEXTS, "coarse signs of life and use", choices=SIGNALS),
    _F("emergency_months", _K.NUMBER, "months of spending that savings would cover", least=0),
    _F("has_defined_benefit_pension", _K.TRUTH, "has a defined benefit or safeguarded pension"),
    _F("app_platform", _K.TEXT, "phone system", choices=("ios", "android"), for_rules=False),
    _F("household_id", _K.TEXT, "pseudonym of the household", may_be_none=True, for_rules=False),
)

RULE_FACTS = frozenset(name for name, definition in FACTS.items() if definition.for_rules)
"""The facts that a rule, directly or through a derived fact, may read."""

RECORDED_FACTS = frozenset(name for name in RULE_FACTS if not FACTS[name].sensitive)
"""Those of them that a decision may copy (VUL-1, RET-2)."""

STRAIN_FACTS = frozenset(
    {"arrears_days", "forbearance", "breathing_space", "insolvent", "persistent_debt", "at_risk_of_difficulty",
     "credit_declined_on", "direct_debit_failed_on", "repeat_overdraft_use", "gambling_block", "gambling_spike",
     "treatment_flags"}
)  # fmt: skip
"""Signs of vulnerability: they may keep a customer out of an audience, never let one in (EUA-2)."""


def checked_fact(name: str, value: object) -> FactValue:
    """Return `value` in its canonical form, or raise `InvalidFact` (never quoting the value).

    A list becomes a tuple, a whole number becomes a float where the kind is a number.

    >>> checked_fact("signals", ["saver"])
    ('saver',)
    >>> checked_fact("arrears_day", 0)
    Traceback (most recent call last):
    ...
    recsys.errors.InvalidFact: there is no fact arrears_day; did you mean arrears_days?
    """
    definition = FACTS.get(name)
    if definition is None:
        raise InvalidFact(f"there is no fact {name[:60]}{nearest(name, among=FACTS)}")
    if value is None:
        if definition.may_be_none:
            return None
        raise InvalidFact(f"fact {name}: cannot be known to be none; leave it out when it is not known")
    try:
        checked = _READERS[definition.kind](value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidFact(f"fact {name}: expected {definition.kind.value}, got {_sort(value)}") from None
    _check_bounds(definition, checked)
    return checked


def nearest(name: str, *, among: Mapping[str, object]) -> str:
    """`"; did you mean …?"` for the closest known name, else an empty text."""
    close = get_close_matches(name, list(among), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _check_bounds(definition: FactDefinition, value: FactValue) -> None:
    if isinstance(value, int | float) and definition.least is not None and value < definition.least:
        raise InvalidFact(f"fact {definition.name}: must be at least {definition.least:g}")
    if definition.choices:
        said = value if isinstance(value, tuple) else (value,)
        if not set(said) <= set(definition.choices):
            raise InvalidFact(f"fact {definition.name}: expected {_listed(definition.choices)}")


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _sort(value: object) -> str:
    """A word for the type of a wrong value: the value itself may be personal."""
    for kind, word in ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a text")):
        if isinstance(value, kind):
            return f"{word} that does not fit" if kind in (int, float, str) else word
    return "a list that does not fit" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER:
        return value
    raise TypeError


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    raise TypeError


def _text(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable():
        return value
    raise TypeError


def _date(value: object) -> str:
    return date.fromisoformat(_text(value)).isoformat()


def _moment(value: object) -> str:
    text = _text(value)
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError
    return text


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and len(value) <= MOST_TEXTS:
        return tuple(_text(each) for each in value)
    raise TypeError


_READERS: Mapping[Kind, Callable[[object], FactValue]] = {
    Kind.TRUTH: _truth,
    Kind.WHOLE: _whole,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.DATE: _date,
    Kind.MOMENT: _moment,
    Kind.TEXTS: _texts,
}
