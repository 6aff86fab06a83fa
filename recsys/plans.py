"""Rules made ready for one list of products, so that a customer costs one pass.

Which rule concerns which product does not depend on the customer and is worked out once. What
remains is to ask each different condition once, and those that name the product as arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from typing import Any, TypeAlias

import numpy as np

from recsys.asking import KINDS, MISSING, Asked, Value
from recsys.conditions import COMPARISONS, Condition, Question, ordered, question_of
from recsys.ruling import PRODUCT_IDS, PRODUCT_NUMBERS, PRODUCT_TEXTS, Rule
from recsys.vocabulary import Bools, Product

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]
Row: TypeAlias = Callable[[Asked], Bools | None]  # (products,) which products hold, None: unknown
_Asked: TypeAlias = tuple[int, bool, Row]  # rule, unknown passes, its row


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A pack made ready for one list of products on one surface and path."""

    products: tuple[Product, ...]
    ids: tuple[str, ...]
    exempt: Bools  # (rules, products) where the rule does not apply
    questions: tuple[Question, ...]
    asked_of_all: tuple[tuple[int, bool, tuple[int, ...]], ...]  # rule, unknown passes, its questions
    asked_of_each: tuple[_Asked, ...]
    asked_last: tuple[_Asked, ...]  # what rests on the verdicts of the others
    weighed: tuple[str, ...]  # products whose being available any of those reads
    weighing: tuple[Rows, Rows]  # the rules that say whether a customer could have them, wherever it is shown
    dated: tuple[int, ...]

    def allowed(self, asked: Asked, *, rules: tuple[Rule, ...]) -> tuple[Bools, tuple[int, ...]]:
        """((rules, products) what each rule says of each product, rules that refuse only for want of a fact)."""
        unknown: set[int] = set()
        known: set[int] = set()  # rules that something known refuses
        answers = [question(asked) for question in self.questions]
        passed = np.ones((len(rules), 1), dtype=np.bool_)
        for rule, unknown_passes, numbers in self.asked_of_all:
            for number in numbers:
                answer = answers[number]
                if not (unknown_passes if answer is None else answer):
                    passed[rule] = False
                    (unknown if answer is None else known).add(rule)
        allowed: Bools = self.exempt | passed
        self._ask(self.asked_of_each, asked, allowed, unknown)
        for rule in self.dated:
            if not rules[rule].in_force(asked.day):
                allowed[rule] = True
                unknown.discard(rule)
        if self.asked_last:
            asked.available = self._available(asked, allowed)
            self._ask(self.asked_last, asked, allowed, unknown)
        return allowed, tuple(sorted(unknown - known))

    def _ask(self, rows: tuple[_Asked, ...], asked: Asked, allowed: Bools, unknown: set[int]) -> None:
        for rule, unknown_passes, row in rows:
            holds = row(asked)
            if holds is not None:
                allowed[rule] &= self.exempt[rule] | holds
            elif not unknown_passes:
                allowed[rule] &= self.exempt[rule]
                unknown.add(rule)

    def _available(self, asked: Asked, allowed: Bools) -> Value:
        """What the customer holds or could have, as far as a rule reads it.

        Where nobody told us what they hold it is `MISSING`, but for a list that is the same for everyone:
        that one may be judged by what stands beside it (SAV-5).
        """
        held = asked.value("held")
        if not isinstance(held, tuple):
            if asked.path != "broadcast":
                return MISSING
            held = ()
        could = np.logical_and.reduce(allowed[self.weighing], axis=0)
        return (*held, *compress(self.weighed, could.tolist()))


def planned(rules: tuple[Rule, ...], products: tuple[Product, ...], *, surface: str, path: str) -> Plan:
    """Make rules ready for these products on this surface and path."""
    exempt = np.array([[not r.applies(p, surface=surface, path=path) for p in products] for r in rules], dtype=np.bool_)
    exempt = exempt.reshape(len(rules), len(products))
    numbers: dict[Condition, int] = {}
    of_all: list[tuple[int, bool, tuple[int, ...]]] = []
    of_each: list[_Asked] = []
    last: list[_Asked] = []
    for j, rule in enumerate(rules):
        if exempt[j].all():
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
        exempt=exempt,
        questions=tuple(map(question_of, numbers)),
        asked_of_all=tuple(each for each in of_all if each[2]),
        asked_of_each=tuple(of_each),
        asked_last=tuple(last),
        weighed=tuple(products[i].product_id for i in weighed),
        weighing=(np.array(decisive, dtype=np.intp)[:, None], np.array(weighed, dtype=np.intp)),
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
    found: dict[str, list[int]] = {}
    for i, product in enumerate(products):
        for product_id in attribute(product):
            found.setdefault(product_id, []).append(i)
    places = {each: rows[0] if len(rows) == 1 else np.array(rows) for each, rows in found.items()}  # one is set faster
    lacks = condition.operator == "lacks"

    def row(asked: Asked) -> Bools | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        if not isinstance(value, tuple):
            return np.full(len(products), condition.or_none and value is None)
        holds = np.full(len(products), lacks)
        for product_id in value:
            if product_id in places:
                holds[places[product_id]] = not lacks
        return holds

    return row


def _choice_row(condition: Condition, products: tuple[Product, ...]) -> Row:
    attribute = PRODUCT_TEXTS[condition.of_product or ""]
    choices = [attribute(product) for product in products]
    wanted = condition.operator == "in"
    rows: dict[str, Bools] = {
        text: np.array([(text in each) == wanted for each in choices]) for text in set().union(*choices)
    }
    other: Bools = np.full(len(products), not wanted)
    nothing: Bools = np.zeros(len(products), dtype=np.bool_)

    def row(asked: Asked) -> Bools | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        if not isinstance(value, str):
            return ~nothing if condition.or_none and value is None else nothing
        return rows.get(value, other)

    return row


def _comparison_row(condition: Condition, products: tuple[Product, ...]) -> Row:
    attribute = PRODUCT_NUMBERS[condition.of_product or ""]
    limits = np.array([attribute(product) for product in products], dtype=np.float64)  # nan where absent: refuses
    compare = COMPARISONS[condition.operator]
    kind = KINDS[condition.fact]

    def row(asked: Asked) -> Bools | None:
        value = asked.value(condition.fact)
        if value is MISSING:
            return None
        try:
            return np.asarray(compare(ordered(value, kind=kind), limits), dtype=np.bool_)
        except (TypeError, ValueError):
            return np.full(len(products), condition.or_none and value is None)

    return row
