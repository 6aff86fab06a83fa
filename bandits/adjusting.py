"""A policy with pins and boosts on top (MRM-6): the probabilities change before the draw, so they stay true.

A pin takes the first slot that is left, with probability 1, where its product is still open; several
stand in their order. A boost multiplies its product's mass, and what comes out is a distribution
again over the same support. The same function makes the policy from the names that a decision logs,
so serving and replay cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bandits.marked import Marked
from bandits.policy import Basis, Policy
from recsys.errors import InvalidPmf
from recsys.steering import STRONGEST, WEAKEST, Moved
from recsys.vocabulary import Bools, Candidate, Context, Floats, ProductId


def adjusted(policy: Policy, *, overrides: Sequence[str]) -> Policy:
    """The policy under the overrides that a decision names; the policy itself where none moves it."""
    boosts: dict[ProductId, float] = {}
    for each in map(Moved.read, overrides):
        if each.action == "boost":
            together = boosts.get(each.product_id, 1.0) * each.strength
            boosts[each.product_id] = min(max(together, WEAKEST), STRONGEST)  # several may not do what one may not
    pins = pinned_by(overrides)
    return Adjusted(policy, pins=pins, boosts=boosts) if pins or boosts else policy


def pinned_by(overrides: Sequence[str]) -> tuple[ProductId, ...]:
    """The products that the named overrides pin, in their order."""
    return tuple(each.product_id for each in map(Moved.read, overrides) if each.action == "pin")


def among(overrides: Sequence[str], *, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Those of the named overrides whose product is a candidate."""
    if not overrides:
        return ()
    products = {candidate.product_id for candidate in candidates}
    return tuple(name for name in overrides if Moved.read(name).product_id in products)


class Adjusted:
    """`policy` under pins and boosts. It keeps the policy's name: a decision names its overrides beside it.

    >>> from bandits.baselines import UniformPolicy
    >>> policy = Adjusted(UniformPolicy(), boosts={"pot": 2.0})
    >>> scores = policy.scores(Context(), [Candidate("pot"), Candidate("loan"), Candidate("isa")])
    >>> policy.pmf(scores, open_=np.ones(3, dtype=np.bool_))
    array([0.5 , 0.25, 0.25])
    """

    def __init__(
        self, policy: Policy, *, pins: Sequence[ProductId] = (), boosts: Mapping[ProductId, float] | None = None
    ) -> None:
        self._policy = policy
        self._pins = tuple(pins)
        self._boosts = dict(boosts or {})

    @property
    def name(self) -> str:
        """The name of the policy underneath."""
        return self._policy.name

    @property
    def basis(self) -> Basis:
        """What the policy underneath goes by."""
        return self._policy.basis

    @property
    def floor(self) -> float:
        """What the boosts leave of the policy's floor; a pin leaves nothing."""
        if self._pins:
            return 0.0
        strengths = (*self._boosts.values(), 1.0)
        return self._policy.floor * min(strengths) / max(strengths)

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) the policy's, knowing which rows are pinned and how much each is boosted."""
        rows = {candidate.product_id: row for row, candidate in enumerate(candidates)}
        scores = self._policy.scores(context, candidates).view(Marked)
        scores.pins = tuple(rows[each] for each in self._pins if each in rows)
        scores.weights = np.ones(len(candidates))
        for product, strength in self._boosts.items():
            if product in rows:
                scores.weights[rows[product]] = strength
        return scores

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) 1 on the first open pin; else the policy's, weighed and made to sum to one again."""
        if not isinstance(scores, Marked) or scores.weights is None:
            raise InvalidPmf("scores that an adjusted policy did not make", where=self.name)
        for row in scores.pins:
            if open_[row]:
                pinned = np.zeros(open_.size)
                pinned[row] = 1.0
                return pinned
        pmf = self._policy.pmf(scores, open_=open_)
        if not self._boosts:
            return pmf
        weighed = pmf * scores.weights
        total = math.fsum(weighed)
        return weighed / total if total > 0.0 else weighed  # a pmf that is none stays none: whoever draws checks it
