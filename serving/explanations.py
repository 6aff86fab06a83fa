"""Why am I seeing this? One to three approved sentences, each tied to what really moved the score (TRN-1).

A personal reason is tried before it is given: its features are put to the middle of the bank, the
policy that drew scores the product again, and only where the score falls by more than the approved
share is the sentence said. All trials of a slate are one pass. Where no person was looked at, where
chance picked, or where nothing personal moved the score enough, a general sentence says that.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
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
from recsys.vocabulary import NOTHING, Candidate, Context, Decision, Fact, Floats, Product, ProductId, Reason, Slot

MOST = 3
"""Reasons a product may be given."""

MOSTLY = 0.5
"""Chance picked where more than this share of a product's probability was anybody's."""

logger = logging.getLogger(__name__)
_Names: TypeAlias = tuple[str, ...]
_Situations: TypeAlias = tuple[Given, ...]
_OTHERWISE: _Situations = ("otherwise",)


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    """A personal reason laid over the names of a context: where to look, and what goes to the middle."""

    personal: Personal
    at: int  # column of the feature, −1 for affinity
    low: float
    high: float
    columns: list[int]
    middle: Floats  # of `columns`
    affinity: float | None  # the affinity to try with, None to leave it


@dataclass(frozen=True, slots=True)
class _Trial:
    """A claim that is true of one slot's product, to be put to the test."""

    place: int
    claim: _Claim
    candidate: Candidate


class Explainer:
    """Gives the reasons of a drawn slate, in the words of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._claims: dict[tuple[int, _Names], tuple[Product, tuple[_Claim, ...]]] = {}

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
        products = [
            None if candidates[row].product_id == NOTHING else catalogue.product(candidates[row].product_id)
            for row in drawn.rows
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
        candidates: Sequence[Candidate],
        facts: Mapping[str, Fact],
        pinned: Collection[ProductId],
    ) -> tuple[list[_Situations], dict[int, tuple[Reason, ...]]]:
        """What may be said of every slot in general, and what moved the score of those where it may be personal."""
        given: list[_Situations] = []
        trials: list[_Trial] = []
        for place, (row, product) in enumerate(zip(drawn.rows, products, strict=True)):
            set_by_us = product is not None and product.product_id in pinned
            given.append(("pinned",) if set_by_us else _situation(drawn, place, policy=policy))
            if given[-1] == _OTHERWISE and policy.basis == "person" and product is not None:
                trials += self._true(product, place, candidate=candidates[row], context=context, facts=facts)
        if not trials:
            return given, {}
        after = self._rescored(trials, policy=policy, context=context)
        return given, self._chosen(trials, before=drawn.scores[list(drawn.rows)], after=after)

    def _true(
        self, product: Product, place: int, *, candidate: Candidate, context: Context, facts: Mapping[str, Fact]
    ) -> list[_Trial]:
        """Every reason whose sentence is true here."""
        found = []
        known = facts.keys()
        for claim in self._claims_of(product, context.names):
            value = context.values[claim.at] if claim.at >= 0 else candidate.affinity
            if value is not None and claim.low <= value <= claim.high and claim.personal.needs <= known:
                found.append(_Trial(place, claim, candidate))
        return found

    def _chosen(self, trials: Sequence[_Trial], *, before: Floats, after: Floats) -> dict[int, tuple[Reason, ...]]:
        """Slot → its personal reasons, those that moved the score most first; one for each kind of data."""
        scores: list[float] = before.tolist()
        falls = [
            (_fall(scores[trial.place], score), trial) for trial, score in zip(trials, after.tolist(), strict=True)
        ]
        chosen: dict[int, dict[str, Reason]] = {}
        for _, trial in sorted((each for each in falls if each[0] > self.vocabulary.share), key=lambda each: -each[0]):
            reasons = chosen.setdefault(trial.place, {})
            if len(reasons) < MOST:
                reasons.setdefault(trial.claim.personal.category, trial.claim.personal.reason)
        return {place: tuple(reasons.values()) for place, reasons in chosen.items()}

    def _rescored(self, trials: Sequence[_Trial], *, policy: Policy, context: Context) -> Floats:
        """(m,) the score of each trial's product without what it speaks of."""
        values = np.array([context.values]).repeat(len(trials), axis=0)
        candidates = []
        for row, trial in enumerate(trials):
            claim, one = trial.claim, trial.candidate
            values[row, claim.columns] = claim.middle
            if claim.affinity is not None:
                one = replace(one, affinity=claim.affinity)
            candidates.append(one)
        return pair_scores(policy, context.names, values, candidates)

    def _claims_of(self, product: Product, names: _Names) -> tuple[_Claim, ...]:
        known = self._claims.get((id(product), names))
        if known is None or known[0] is not product:
            if len(self._claims) >= 20_000:
                self._claims.clear()
            claims = (self._claim(each, names) for each in self.vocabulary.personal(product))
            known = self._claims[id(product), names] = (product, tuple(each for each in claims if each is not None))
        return known[1]

    def _claim(self, one: Personal, names: _Names) -> _Claim | None:
        """None where the context does not tell the feature at all."""
        at = {name: column for column, name in enumerate(names)}
        if one.feature != AFFINITY and one.feature not in at:
            return None
        middle = self.vocabulary.middle
        told = [name for name in one.features if name in at]
        return _Claim(
            personal=one,
            at=at.get(one.feature, -1),
            low=-inf if one.at_least is None else one.at_least,
            high=inf if one.at_most is None else one.at_most,
            columns=[at[name] for name in told],
            middle=np.array([middle[name] for name in told]),
            affinity=middle[AFFINITY] if AFFINITY in one.features else None,
        )


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
