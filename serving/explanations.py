"""Why am I seeing this? One to three approved sentences, each tied to what really moved the score (TRN-1).

A personal reason is tried before it is given: its features are put to the middle of the bank, the
policy that drew scores the product again, and only where the score falls by more than the approved
share is the sentence said. All trials of a slate are one pass. Where no person was looked at, where
chance picked, or where nothing personal moved the score enough, a general sentence says that.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

import numpy as np

from bandits.drawing import Drawn
from bandits.exploration import chance_share
from bandits.policy import Policy
from bandits.rescoring import pair_scores
from recsys.catalogue import Catalogue
from recsys.reasons import AFFINITY, Given, Personal, Vocabulary
from recsys.shelves import Candidates
from recsys.vocabulary import (
    NOTHING,
    Bools,
    Candidate,
    Context,
    Decision,
    Fact,
    Floats,
    Product,
    ProductId,
    Reason,
    Slot,
)

MOST = 3
"""Reasons a product may be given."""

MOSTLY = 0.5
"""Chance picked where more than this share of a product's probability was anybody's."""

_MOST_NAMES = 1_000  # tuples of names, and products of each, whose claims are kept before starting afresh
_MOST_PRODUCTS = 20_000
logger = logging.getLogger(__name__)
_Names: TypeAlias = tuple[str, ...]
_Situations: TypeAlias = tuple[Given, ...]
_OTHERWISE: _Situations = ("otherwise",)


@dataclass(frozen=True, slots=True, eq=False)
class _Claims:
    """Every personal reason whose feature a context tells, in columns over its names: where to look, what to try."""

    personal: tuple[Personal, ...]  # (m,)
    tests: tuple[tuple[int, float, float], ...]  # (m,) column (behind all names: affinity), least, most
    moved: Bools  # (m, names) what goes to the middle
    middle: Floats  # (names,)
    affinity: Floats  # (m,) to try with, nan to leave it
    of_product: dict[int, tuple[Product, list[int]]]  # by identity: the reasons that may be said of it


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """The claims that are true of the products of a slate, to be put to the test; side by side."""

    places: list[int]
    candidates: list[int]  # rows of the slots' products
    claims: list[int]


class Explainer:
    """Gives the reasons of a drawn slate, in the words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._claims: dict[_Names, _Claims] = {}

    def reasons(
        self,
        drawn: Drawn,
        *,
        policy: Policy,
        context: Context,
        candidates: Sequence[Candidate],
        catalogue: Catalogue,
        facts: Mapping[str, Fact],
        path: str,
        pinned: Collection[ProductId] = (),
    ) -> tuple[tuple[Reason, ...], ...]:
        """The reasons of every slot in order; none for the null choice. Never fails a decision."""
        candidates = Candidates.of(candidates)
        products = [
            None if candidates.ids[row] == NOTHING else catalogue.product(candidates.ids[row]) for row in drawn.rows
        ]
        if path == "broadcast":
            return tuple(() if product is None else self.everyone(product) for product in products)
        try:
            given, personal = self._tried(
                drawn, products, policy=policy, context=context, candidates=candidates, facts=facts, pinned=pinned
            )
        except Exception as error:  # whatever it was: an explanation must not cost the answer
            logger.error("policy %s cannot be explained (%s)", policy.name, type(error).__name__)
            given, personal = [_OTHERWISE] * len(products), {}
        return tuple(
            ()
            if product is None
            else personal.get(place) or tuple(self.vocabulary.general(each, product) for each in given[place])
            for place, product in enumerate(products)
        )

    def everyone(self, product: Product) -> tuple[Reason, ...]:
        """The reasons of a product on a list that is the same for everyone."""
        return (self.vocabulary.general("broadcast", product),)

    def moves(self, decision: Decision, slot: Slot, reason: Reason, *, policy: Policy) -> float | None:
        """By what share the score of a slot's product falls without what a reason speaks of.

        Worked out anew from the record, candidate by candidate. None for a reason that is not personal.
        """
        entry = self.vocabulary.entry(reason.code)
        if not isinstance(entry, Personal):
            return None
        row = next(i for i, each in enumerate(decision.candidates) if each.product_id == slot.product_id)
        middle = self.vocabulary.middle
        values = [
            middle[name] if name in entry.features else value
            for name, value in zip(decision.context.names, decision.context.values, strict=True)
        ]
        candidates = list(decision.candidates)
        if AFFINITY in entry.features:
            candidates[row] = replace(candidates[row], affinity=middle[AFFINITY])
        before = policy.scores(decision.context, decision.candidates)[row]
        after = policy.scores(Context(decision.context.names, tuple(values)), candidates)[row]
        return _fall(float(before), float(after))

    # -- steps -------------------------------------------------------------------------------

    def _tried(
        self,
        drawn: Drawn,
        products: Sequence[Product | None],
        *,
        policy: Policy,
        context: Context,
        candidates: Candidates,
        facts: Mapping[str, Fact],
        pinned: Collection[ProductId],
    ) -> tuple[list[_Situations], dict[int, tuple[Reason, ...]]]:
        """What may be said of every slot in general, and what moved the score of those where it may be personal."""
        given: list[_Situations] = []
        trials = _Trials([], [], [])
        claims, known = self._claims_over(context.names), facts.keys()
        for place, (row, product) in enumerate(zip(drawn.rows, products, strict=True)):
            set_by_us = product is not None and product.product_id in pinned
            given.append(("pinned",) if set_by_us else _situation(drawn, place, policy=policy))
            if given[-1] == _OTHERWISE and policy.basis == "person" and product is not None:
                told = (*context.values, float(candidates.affinities[row]))
                rows = _true(claims, among=self._claims_of(product, claims), told=told, known=known)
                trials.places.extend([place] * len(rows))
                trials.candidates.extend([row] * len(rows))
                trials.claims.extend(rows)
        if not trials.claims:
            return given, {}
        after = _rescored(trials, claims, policy=policy, context=context, candidates=candidates)
        return given, self._chosen(trials, claims, drawn=drawn, after=after)

    def _chosen(
        self, trials: _Trials, claims: _Claims, *, drawn: Drawn, after: Floats
    ) -> dict[int, tuple[Reason, ...]]:
        """Slot → its personal reasons, those that moved the score most first; one for each kind of data."""
        moved: list[tuple[float, int, Personal]] = []
        before = {row: float(drawn.scores[row]) for row in drawn.rows}
        for place, row, claim, score in zip(
            trials.places, trials.candidates, trials.claims, after.tolist(), strict=True
        ):
            fall = _fall(before[row], score)
            if fall > self.vocabulary.share:
                moved.append((fall, place, claims.personal[claim]))
        chosen: dict[int, dict[str, Reason]] = {}
        for _, place, personal in sorted(moved, key=lambda each: -each[0]):
            reasons = chosen.setdefault(place, {})
            if len(reasons) < MOST:
                reasons.setdefault(personal.category, personal.reason)
        return {place: tuple(reasons.values()) for place, reasons in chosen.items()}

    def _claims_of(self, product: Product, claims: _Claims) -> list[int]:
        """The rows of the claims that may be said of a product."""
        known = claims.of_product.get(id(product))
        if known is None or known[0] is not product:
            if len(claims.of_product) >= _MOST_PRODUCTS:
                claims.of_product.clear()
            sayable = {id(each) for each in self.vocabulary.personal(product)}
            rows = [row for row, each in enumerate(claims.personal) if id(each) in sayable]
            known = claims.of_product[id(product)] = (product, rows)
        return known[1]

    def _claims_over(self, names: _Names) -> _Claims:
        claims = self._claims.get(names)
        if claims is None:
            if len(self._claims) >= _MOST_NAMES:
                self._claims.clear()
            claims = self._claims[names] = self._claimed(names)
        return claims

    def _claimed(self, names: _Names) -> _Claims:
        """The reasons whose feature the context tells."""
        at = {name: column for column, name in enumerate((*names, AFFINITY))}
        personal = (each for each in self.vocabulary.entries if isinstance(each, Personal))
        found = tuple(each for each in personal if each.feature in at)
        middle = self.vocabulary.middle
        moved = np.array([[name in each.features for name in names] for each in found], dtype=np.bool_)
        return _Claims(
            personal=found,
            tests=tuple(
                (
                    at[each.feature],
                    -inf if each.at_least is None else each.at_least,
                    inf if each.at_most is None else each.at_most,
                )
                for each in found
            ),
            moved=moved.reshape(len(found), len(names)),
            middle=np.array([middle.get(name, 0.0) for name in names]),
            affinity=np.array([middle[AFFINITY] if AFFINITY in each.features else np.nan for each in found]),
            of_product={},
        )


def _true(claims: _Claims, *, among: Sequence[int], told: Sequence[float], known: Set[str]) -> list[int]:
    """Every reason whose sentence is true here; `told` is the context, and behind it the product's affinity."""
    found = []
    for row in among:
        column, low, high = claims.tests[row]
        if low <= told[column] <= high and claims.personal[row].needs <= known:
            found.append(row)
    return found


def _rescored(trials: _Trials, claims: _Claims, *, policy: Policy, context: Context, candidates: Candidates) -> Floats:
    """(m,) the score of each trial's product without what it speaks of."""
    at = np.array(trials.candidates, dtype=np.intp)
    values = np.where(claims.moved[trials.claims], claims.middle, context.values)
    tried = claims.affinity[trials.claims]
    affinities = np.where(np.isnan(tried), candidates.affinities[at], tried)
    tried_on = Candidates(candidates.shelf, candidates.rows[at], affinities=affinities, seen=candidates.seen[at])
    return pair_scores(policy, context.names, values, tried_on)


def _situation(drawn: Drawn, place: int, *, policy: Policy) -> _Situations:
    """What may be said without looking at the person; `_OTHERWISE` leaves room for what is personal."""
    row = drawn.rows[place]
    if policy.basis == "words":
        return ("searched",)
    if chance_share(drawn.pmfs[place], row) > MOSTLY:
        return ("chance", *_OTHERWISE)
    if policy.basis == "popularity" and 2 * int((drawn.scores < drawn.scores[row]).sum()) >= drawn.scores.size:
        return ("popular",)
    return _OTHERWISE


def _fall(before: float, after: float) -> float:
    """By what share of the larger of both a score falls; 0 where neither is anything, or one is no number."""
    size = max(abs(before), abs(after))
    fall = (before - after) / size if size > 0.0 else 0.0
    return fall if fall == fall else 0.0
