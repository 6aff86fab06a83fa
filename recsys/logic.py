"""What follows from conditions alone, without asking anybody: one implies another, two exclude each other.

Both answers are careful: True only where it is certain. Conditions that name the product or the
moment are compared as they are written.
"""

from __future__ import annotations

from math import inf
from typing import TypeAlias

from recsys.asking import KINDS
from recsys.conditions import Condition, ordered
from recsys.facts import Kind

_Bound: TypeAlias = tuple[float, int]  # a value, and 1 or -1 where the bound itself lies outside
_ORDERS = ("at_least", "at_most", "before", "after")


def implies(one: Condition, other: Condition) -> bool:
    """Whether whoever satisfies `one` satisfies `other`.

    >>> adult, grown = Condition("age", "at_least", 18), Condition("age", "at_least", 21)
    >>> implies(grown, adult), implies(adult, grown)
    (True, False)
    """
    if one.fact != other.fact or (one.or_none and not other.or_none):
        return False
    if (one.operator, one.value) == (other.operator, other.value):
        return True
    if (a := _span(one)) is not None and (b := _span(other)) is not None:
        return b[0] <= a[0] and a[1] <= b[1]
    if (x := _texts(one)) is not None and (y := _texts(other)) is not None:
        return _within(x, y)
    return False


def excludes(one: Condition, other: Condition) -> bool:
    """Whether nobody satisfies both.

    >>> excludes(Condition("age", "at_most", 17), Condition("age", "at_least", 18))
    True
    """
    if one.fact != other.fact or (one.or_none and other.or_none):
        return False
    if (a := _span(one)) is not None and (b := _span(other)) is not None:
        return max(a[0], b[0]) > min(a[1], b[1])
    if (x := _texts(one)) is not None and (y := _texts(other)) is not None:
        (only, but), (also, nor) = x, y
        if only is not None and also is not None:
            return not (only & also)
        return (only is not None and only <= nor) or (also is not None and also <= but)
    return one.value == other.value and {one.operator, other.operator} == {"contains", "lacks"}


def _span(condition: Condition) -> tuple[_Bound, _Bound] | None:
    """The least and the greatest value that satisfies it; None where it has no order or no constant."""
    kind, value = KINDS[condition.fact], condition.value
    if condition.of_product is not None or value == "now":
        return None
    if condition.operator == "equals" and kind in (Kind.WHOLE, Kind.NUMBER):
        return (ordered(value, kind=kind), 0), (ordered(value, kind=kind), 0)
    if condition.operator not in _ORDERS:
        return None
    limit = ordered(value, kind=kind)
    if kind is Kind.WHOLE and condition.operator in ("before", "after"):  # no whole number lies between
        return None
    match condition.operator:
        case "at_least":
            return (limit, 0), (inf, 0)
        case "after":
            return (limit, 1), (inf, 0)
        case "at_most":
            return (-inf, 0), (limit, 0)
    return (-inf, 0), (limit, -1)


_Choice: TypeAlias = tuple[frozenset[object] | None, frozenset[object]]  # only these (None: any), but none of those


def _texts(condition: Condition) -> _Choice | None:
    """Which texts or truths satisfy it; None where that is not a matter of choice."""
    kind, value = KINDS[condition.fact], condition.value
    if condition.of_product is not None or kind not in (Kind.TEXT, Kind.TRUTH):
        return None
    values = frozenset[object](value if isinstance(value, tuple) else (value,))
    if condition.operator in ("equals", "in"):
        return values, frozenset()
    if kind is Kind.TRUTH:
        return frozenset[object]({True, False}) - values, frozenset()
    return None, values


def _within(one: _Choice, other: _Choice) -> bool:
    (only, but), (also, nor) = one, other
    if only is None:
        return also is None and nor <= but
    return (also is None or only - but <= also) and not (only - but) & nor
