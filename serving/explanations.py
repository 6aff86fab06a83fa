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
_Names = tuple[str, ...]


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
        shown = [candidates[row].product_id for row in drawn.rows]
        given: list[list[Given]] = []
        trials: list[_Trial] = []
        for place, row in enumerate(drawn.rows):
            said = self._situation(drawn, place, policy=policy, path=path, pinned=shown[place] in pinned)
            given.append(said)
            if said == ["otherwise"] and policy.basis == "person" and shown[place] != NOTHING:
                product = catalogue.product(shown[place])
                trials += self._true(product, place, candidate=candidates[row], context=context, facts=facts)
        moved = self._moved(trials, policy=policy, context=context, scores=drawn.scores[list(drawn.rows)])
        return tuple(
            ()
            if product == NOTHING
            else moved.get(place)
            or tuple(self.vocabulary.general(each, catalogue.product(product)) for each in given[place])
            for place, product in enumerate(shown)
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

    def _situation(self, drawn: Drawn, place: int, *, policy: Policy, path: str, pinned: object) -> list[Given]:
        """What may be said without looking at the person; ["otherwise"] leaves room for what is personal."""
        if path == "broadcast":
            return ["broadcast"]
        if pinned:
            return ["pinned"]
        row = drawn.rows[place]
        if chance_share(drawn.pmfs[place], row) > MOSTLY:
            return ["chance", "otherwise"]
        if policy.basis == "popularity" and 2 * int((drawn.scores < drawn.scores[row]).sum()) >= drawn.scores.size:
            return ["popular"]
        return ["otherwise"]

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

    def _moved(
        self, trials: Sequence[_Trial], *, policy: Policy, context: Context, scores: Floats
    ) -> dict[int, tuple[Reason, ...]]:
        """Slot → its personal reasons, those that moved the score most first; one for each kind of data."""
        if not trials:
            return {}
        try:
            after = self._rescored(trials, policy=policy, context=context).tolist()
        except Exception as error:  # whatever it was: an explanation must not cost the answer
            logger.error("policy %s cannot be explained (%s)", policy.name, type(error).__name__)
            return {}
        before: list[float] = scores.tolist()
        falls = [(_fall(before[trial.place], score), trial) for trial, score in zip(trials, after, strict=True)]
        chosen: dict[int, dict[str, Reason]] = {}
        for _, trial in sorted((each for each in falls if each[0] > self.vocabulary.share), key=lambda each: -each[0]):
            reasons = chosen.setdefault(trial.place, {})
            if len(reasons) < MOST:
                reasons.setdefault(trial.claim.personal.category, trial.claim.personal.reason)
        return {place: tuple(reasons.values()) for place, reasons in chosen.items()}

    def _rescored(self, trials: Sequence[_Trial], *, policy: Policy, context: Context) -> Floats:
        """(m,) the score of each trial's product without what it speaks of."""
        values = np.tile(np.array(context.values), (len(trials), 1))
        candidates = []
        for row, trial in enumerate(trials):
            claim, one = trial.claim, trial.candidate
            values[row, claim.columns] = claim.middle
            if claim.affinity is not None:
                one = Candidate(one.product_id, one.creative_id, one.names, one.values, claim.affinity)
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


def _fall(before: float, after: float) -> float:
    """By what share of the larger of both a score falls; 0 where neither is anything, or one is no number."""
    size = max(abs(before), abs(after))
    fall = (before - after) / size if size > 0.0 else 0.0
    return fall if fall == fall else 0.0
