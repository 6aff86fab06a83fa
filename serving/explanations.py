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
from recsys.shelves import Candidates, Rows
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

logger = logging.getLogger(__name__)
_Names: TypeAlias = tuple[str, ...]
_Situations: TypeAlias = tuple[Given, ...]
_OTHERWISE: _Situations = ("otherwise",)


@dataclass(frozen=True, slots=True, eq=False)
class _Claims:
    """The personal reasons of one product, in columns over the names of a context: where to look, what to try."""

    personal: tuple[Personal, ...]  # (m,)
    at: Rows  # (m,) the feature's column, the one behind all names for affinity
    low: Floats  # (m,)
    high: Floats  # (m,)
    moved: Bools  # (m, names) what goes to the middle
    middle: Floats  # (names,)
    affinity: Floats  # (m,) to try with, nan to leave it


@dataclass(frozen=True, slots=True, eq=False)
class _Trials:
    """The claims that are true of one slot's product, to be put to the test."""

    place: int
    claims: _Claims
    rows: list[int]


class Explainer:
    """Gives the reasons of a drawn slate, in the words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._claims: dict[tuple[int, _Names], tuple[Product, _Claims]] = {}

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
        trials: list[_Trials] = []
        told, known = np.array((*context.values, np.nan)), facts.keys()
        for place, (row, product) in enumerate(zip(drawn.rows, products, strict=True)):
            set_by_us = product is not None and product.product_id in pinned
            given.append(("pinned",) if set_by_us else _situation(drawn, place, policy=policy))
            if given[-1] == _OTHERWISE and policy.basis == "person" and product is not None:
                claims, told[-1] = self._claims_of(product, context.names), candidates.affinities[row]
                if rows := _true(claims, told=told, known=known):
                    trials.append(_Trials(place, claims, rows))
        if not trials:
            return given, {}
        after = _rescored(
            trials, told=told[:-1], drawn=drawn, policy=policy, names=context.names, candidates=candidates
        )
        return given, self._chosen(trials, drawn=drawn, after=after)

    def _chosen(self, trials: Sequence[_Trials], *, drawn: Drawn, after: Floats) -> dict[int, tuple[Reason, ...]]:
        """Slot → its personal reasons, those that moved the score most first; one for each kind of data."""
        tried = [(each.place, each.claims.personal[row]) for each in trials for row in each.rows]
        before = drawn.scores[[drawn.rows[place] for place, _ in tried]]
        falls = [_fall(*scores) for scores in zip(before.tolist(), after.tolist(), strict=True)]
        moved = [(fall, *each) for fall, each in zip(falls, tried, strict=True) if fall > self.vocabulary.share]
        chosen: dict[int, dict[str, Reason]] = {}
        for _, place, personal in sorted(moved, key=lambda each: -each[0]):
            reasons = chosen.setdefault(place, {})
            if len(reasons) < MOST:
                reasons.setdefault(personal.category, personal.reason)
        return {place: tuple(reasons.values()) for place, reasons in chosen.items()}

    def _claims_of(self, product: Product, names: _Names) -> _Claims:
        known = self._claims.get((id(product), names))
        if known is None or known[0] is not product:
            if len(self._claims) >= 20_000:
                self._claims.clear()
            known = self._claims[id(product), names] = (product, self._claimed(product, names))
        return known[1]

    def _claimed(self, product: Product, names: _Names) -> _Claims:
        """The reasons whose feature the context tells."""
        at = {name: column for column, name in enumerate((*names, AFFINITY))}
        found = tuple(each for each in self.vocabulary.personal(product) if each.feature in at)
        middle = self.vocabulary.middle
        moved = np.array([[name in each.features for name in names] for each in found], dtype=np.bool_)
        return _Claims(
            personal=found,
            at=np.array([at[each.feature] for each in found], dtype=np.intp),
            low=np.array([-inf if each.at_least is None else each.at_least for each in found]),
            high=np.array([inf if each.at_most is None else each.at_most for each in found]),
            moved=moved.reshape(len(found), len(names)),
            middle=np.array([middle.get(name, 0.0) for name in names]),
            affinity=np.array([middle[AFFINITY] if AFFINITY in each.features else np.nan for each in found]),
        )


def _true(claims: _Claims, *, told: Floats, known: Set[str]) -> list[int]:
    """Every reason whose sentence is true here; `told` is the context, and behind it the product's affinity."""
    values = told[claims.at]
    rows = np.flatnonzero((claims.low <= values) & (values <= claims.high)).tolist()
    return [row for row in rows if claims.personal[row].needs <= known]


def _rescored(
    trials: Sequence[_Trials], *, told: Floats, drawn: Drawn, policy: Policy, names: _Names, candidates: Candidates
) -> Floats:
    """(m,) the score of each trial's product without what it speaks of."""
    at = np.repeat([drawn.rows[each.place] for each in trials], [len(each.rows) for each in trials])
    values = np.concatenate([np.where(each.claims.moved[each.rows], each.claims.middle, told) for each in trials])
    affinities = np.concatenate([each.claims.affinity[each.rows] for each in trials])
    affinities = np.where(np.isnan(affinities), candidates.affinities[at], affinities)
    tried = Candidates(candidates.shelf, candidates.rows[at], affinities=affinities, seen=candidates.seen[at])
    return pair_scores(policy, names, values, tried)


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
