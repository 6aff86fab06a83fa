"""Rules made ready for one list of products, so that a customer costs one pass.

Which rule concerns which product does not depend on the customer and is worked out once. What
remains is to ask each different condition once, and those that name the product as arrays.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, compress
from operator import and_, or_
from typing import TypeAlias

import numpy as np

from recsys.asking import KINDS, MISSING, Asked, Value
from recsys.conditions import Condition, Question, ordered, question_of
from recsys.ruling import PRODUCT_IDS, PRODUCT_NUMBERS, PRODUCT_TEXTS, Rule
from recsys.vocabulary import Bools, Product

Mask: TypeAlias = int  # bit i speaks of product i
Row: TypeAlias = Callable[[Asked], Mask | None]  # which products hold, None: unknown
_Asked: TypeAlias = tuple[int, bool, Row]  # rule, unknown passes, its row


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A pack made ready for one list of products on one surface and path."""

    products: tuple[Product, ...]
    ids: tuple[str, ...]
    exempt: tuple[Mask, ...]  # for each rule, where it does not apply
    questions: tuple[Question, ...]
    asked_of_all: tuple[tuple[int, bool, tuple[int, ...]], ...]  # rule, unknown passes, its questions
    asked_of_each: tuple[_Asked, ...]
    asked_last: tuple[_Asked, ...]  # what rests on the verdicts of the others
    weighed: tuple[str, ...]  # products whose being available any of those reads
    weighing: tuple[tuple[int, ...], tuple[int, ...]]  # the rules that say so wherever it is shown, the products' bits
    dated: tuple[int, ...]

    def allowed(self, asked: Asked, *, rules: tuple[Rule, ...]) -> tuple[Bools, tuple[int, ...]]:
        """((products, rules) what each rule says of each product, rules that refuse only for want of a fact)."""
        unknown: set[int] = set()
        known: set[int] = set()  # rules that something known refuses
        answers = [question(asked) for question in self.questions]
        allowed = [_everything(self.products)] * len(rules)
        for rule, unknown_passes, numbers in self.asked_of_all:
            for number in numbers:
                answer = answers[number]
                if not (unknown_passes if answer is None else answer):
                    allowed[rule] = self.exempt[rule]
                    (unknown if answer is None else known).add(rule)
        self._ask(self.asked_of_each, asked, allowed, unknown)
        for rule in self.dated:
            if not rules[rule].in_force(asked.day):
                allowed[rule] = _everything(self.products)
                unknown.discard(rule)
        if self.asked_last:
            asked.available = self._available(asked, allowed)
            self._ask(self.asked_last, asked, allowed, unknown)
        return _unpacked(allowed, n=len(self.products)), tuple(sorted(unknown - known))

    def _ask(self, rows: tuple[_Asked, ...], asked: Asked, allowed: list[Mask], unknown: set[int]) -> None:
        for rule, unknown_passes, row in rows:
            holds = row(asked)
            if holds is not None:
                allowed[rule] &= self.exempt[rule] | holds
            elif not unknown_passes:
                allowed[rule] &= self.exempt[rule]
                unknown.add(rule)

    def _available(self, asked: Asked, allowed: list[Mask]) -> Value:
        """What the customer holds or could have, as far as a rule reads it.

        Where nobody told us what they hold it is `MISSING`, but for a list that is the same for everyone:
        that one may be judged by what stands beside it (SAV-5).
        """
        held = asked.value("held")
        if not isinstance(held, tuple):
            if asked.path != "broadcast":
                return MISSING
            held = ()
        decisive, bits = self.weighing
        could = reduce(and_, [allowed[rule] for rule in decisive], _everything(self.products))
        return (*held, *compress(self.weighed, [could >> bit & 1 for bit in bits]))


def _everything(products: tuple[Product, ...]) -> Mask:
    return (1 << len(products)) - 1


def _mask(holds: Iterable[bool]) -> Mask:
    return sum(1 << bit for bit, each in enumerate(holds) if each)


def _unpacked(masks: list[Mask], *, n: int) -> Bools:
    """(n, masks) each mask as a column."""
    size = (n + 7) // 8
    packed = np.frombuffer(b"".join([mask.to_bytes(size, "little") for mask in masks]), dtype=np.uint8)
    bits = np.unpackbits(packed.reshape(len(masks), size), axis=1, count=n, bitorder="little")
    return bits.view(np.bool_).T


def planned(rules: tuple[Rule, ...], products: tuple[Product, ...], *, surface: str, path: str) -> Plan:
    """Make rules ready for these products on this surface and path."""
    exempt = [_mask(not rule.applies(p, surface=surface, path=path) for p in products) for rule in rules]
    numbers: dict[Condition, int] = {}
    of_all: list[tuple[int, bool, tuple[int, ...]]] = []
    of_each: list[_Asked] = []
    last: list[_Asked] = []
    for j, rule in enumerate(rules):
        if exempt[j] == _everything(products):
            continue
        unknown_passes = path in rule.unknown_passes_on
        common = [condition for condition in rule.require if condition.of_product is None]
        of_all.append((j, unknown_passes, tuple(numbers.setdefault(c, len(numbers)) for c in common)))
        for condition in rule.require:
            if condition.of_product is not None:
                late = condition.fact == "available"
                (last if late else of_each).append((j, unknown_passes, _row_of(condition, products)))
    late_rules = {j for j, _, _ in last}
    read = {
        each
        for rule in rules
        for condition in rule.require
        if condition.fact == "available" and condition.of_product is not None
        for product in products
        for each in PRODUCT_IDS[condition.of_product](product)
    }
    decisive = [j for j, rule in enumerate(rules) if rule.kind != "applicable" and j not in late_rules]
    weighed = [i for i, product in enumerate(products) if product.product_id in read]
    return Plan(
        products=products,
        ids=tuple(product.product_id for product in products),
        exempt=tuple(exempt),
        questions=tuple(map(question_of, numbers)),
        asked_of_all=tuple(each for each in of_all if each[2]),
        asked_of_each=tuple(of_each),
        asked_last=tuple(last),
        weighed=tuple(products[i].product_id for i in weighed),
        weighing=(tuple(decisive), tuple(weighed)),
        dated=tuple(j for j, rule in enumerate(rules) if rule.effective_from or rule.effective_to),
    )


def _row_of(condition: Condition, products: tuple[Product, ...]) -> Row:
    """A condition that names the product's own value, made ready for these products."""
    match condition.operator:
        case "contains" | "lacks":
            return _membership_row(condition, products)
        case "in" | "not_in":
            return _choice_row(condition, products)
    return _comparison_row(condition, products)


def _membership_row(condition: Condition, products: tuple[Product, ...]) -> Row:
    """Which products' own ids are among the fact's: `contains` wants one of them, `lacks` wants none."""
    attribute = PRODUCT_IDS[condition.of_product or ""]
    masks: dict[str, Mask] = {}
    for bit, product in enumerate(products):
        for each in attribute(product):
            masks[each] = masks.get(each, 0) | 1 << bit
    everything, lacks = _everything(products), condition.operator == "lacks"

    def row(asked: Asked) -> Mask | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        if not isinstance(value, tuple):
            return everything if condition.or_none and value is None else 0
        found = reduce(or_, [masks[each] for each in value if each in masks], 0)
        return everything & ~found if lacks else found

    return row


def _choice_row(condition: Condition, products: tuple[Product, ...]) -> Row:
    attribute = PRODUCT_TEXTS[condition.of_product or ""]
    choices = [attribute(product) for product in products]
    wanted = condition.operator == "in"
    masks = {text: _mask((text in each) == wanted for each in choices) for text in set().union(*choices)}
    everything = _everything(products)
    other = 0 if wanted else everything

    def row(asked: Asked) -> Mask | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        if not isinstance(value, str):
            return everything if condition.or_none and value is None else 0
        return masks.get(value, other)

    return row


_BELOW = {"at_least": bisect_right, "after": bisect_left}  # how many limits a value has reached, or passed
_ABOVE = {"at_most": bisect_left, "before": bisect_right}


def _comparison_row(condition: Condition, products: tuple[Product, ...]) -> Row:
    """The products whose own number the fact reaches; one without a number is refused.

    The numbers are put in order, so that a value's place among them says which products hold.
    """
    attribute = PRODUCT_NUMBERS[condition.of_product or ""]
    numbers = [attribute(product) for product in products]  # nan where absent
    limits = sorted({number for number in numbers if not math.isnan(number)})
    below = condition.operator in _BELOW
    place = (_BELOW if below else _ABOVE)[condition.operator]
    each = [_mask(number == limit for number in numbers) for limit in limits]
    masks = list(accumulate(each if below else reversed(each), or_, initial=0))
    if not below:
        masks.reverse()
    everything, kind = _everything(products), KINDS[condition.fact]

    def row(asked: Asked) -> Mask | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        try:
            number = ordered(value, kind=kind)
        except (TypeError, ValueError):
            return everything if condition.or_none and value is None else 0
        return 0 if math.isnan(number) else masks[place(limits, number)]

    return row
