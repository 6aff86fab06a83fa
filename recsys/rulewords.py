"""Rules in words, for whoever answers for them: conditions, whom a rule concerns, since when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from recsys.conditions import Condition
from recsys.facts import FACTS
from recsys.ruling import Rule, Selector
from recsys.vocabulary import Fact

_SAID: Mapping[str, str] = MappingProxyType(
    {
        "equals": "is",
        "not_equals": "is not",
        "at_least": "is at least",
        "at_most": "is at most",
        "before": "is before",
        "after": "is after",
        "in": "is among",
        "not_in": "is not among",
        "contains": "contains",
        "lacks": "does not contain",
    }
)


def condition_in_words(condition: Condition) -> str:
    """A condition as a clause.

    >>> condition_in_words(Condition("arrears_days", "at_most", 0))
    'arrears_days is at most 0'
    >>> condition_in_words(Condition("held", "lacks", "product.id"))
    "held does not contain the product's id"
    """
    value = condition.value
    if condition.of_product is not None:
        told = f"the product's {condition.of_product}"
    elif isinstance(value, tuple):
        told = ", ".join(value)
    else:
        told = _plain(value)
    return f"{condition.fact} {_SAID[condition.operator]} {told}{' or known to be none' if condition.or_none else ''}"


def concern_in_words(selector: Selector | None) -> str:
    """Whom a selector fits.

    >>> concern_in_words(Selector({"regulated_class": ("credit",), "surface": ("home", "push")}))
    'regulated_class credit; surface home or push'
    """
    if selector is None or not selector.wanted:
        return "everything"
    return "; ".join(f"{key} {' or '.join(values)}" for key, values in selector.wanted.items())


def rule_in_words(rule: Rule) -> dict[str, str]:
    """Everything a rule says, by part."""
    return {
        "version": str(rule.version),
        "kind": rule.kind,
        "reason": rule.reason,
        "applies to": concern_in_words(rule.applies_to),
        "except for": "nothing" if rule.except_for is None else concern_in_words(rule.except_for),
        "requires": " and ".join(map(condition_in_words, rule.require)),
        "where nobody told us": f"passes on {' and '.join(rule.unknown_passes_on)}"
        if rule.unknown_passes_on
        else "refuses",
        "in force from": str(rule.effective_from or "ever"),
        "in force until": str(rule.effective_to or "further notice"),
    }


def fact_in_words(name: str, fact: Fact | None, *, at: datetime) -> str:
    """A fact with its age, as somebody with a right to see it reads it; a sensitive one keeps its value.

    >>> from datetime import UTC
    >>> day = datetime(2026, 5, 12, tzinfo=UTC)
    >>> fact_in_words("arrears_days", Fact(3, day), at=day + timedelta(hours=30))
    'arrears_days = 3, told 1 day 6 hours ago'
    """
    if fact is None:
        return f"{name}: nobody told us"
    value = "(not shown here)" if FACTS[name].sensitive else _plain(fact.value)
    return f"{name} = {value}, told {age_in_words(at - fact.as_of)}"


def age_in_words(age: timedelta) -> str:
    """How long ago something was.

    >>> age_in_words(timedelta(days=2, minutes=5)), age_in_words(timedelta(seconds=9))
    ('2 days ago', 'just now')
    """
    hours = age.seconds // 3600
    parts = [_counted(age.days, "day"), _counted(hours, "hour")]
    if age < timedelta(hours=1):
        parts = [_counted(age.seconds // 60, "minute")] if age >= timedelta(0) else []
    said = " ".join(part for part in parts if part)
    return f"{said} ago" if said else "just now"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}" if n else ""


def _plain(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:,}"
        case tuple():
            return ", ".join(map(str, value)) or "nothing"
    return str(value)
