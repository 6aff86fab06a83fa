"""What every learned policy shares: a probability for each stage → expected worth → exploration.

The factorised reward of domain 3.9: stages are learned apart (P(tapped | seen), P(opened | tapped), …)
and meet only here, so that a rare late stage is never drowned by a common early one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from bandits.chain import Chain
from bandits.exploration import Exploration
from bandits.policy import Basis
from recsys.vocabulary import Bools, Candidate, Context, Floats


class ChainedPolicy(ABC):
    """A policy that tells a probability for each stage; immutable."""

    basis: Basis = "person"

    def __init__(self, name: str, *, chain: Chain, exploration: Exploration, lessons: int) -> None:
        self._name = name
        self._chain = chain
        self._exploration = exploration
        self._lessons = lessons

    @property
    def name(self) -> str:
        """`recipe@version`."""
        return self._name

    @property
    def floor(self) -> float:
        """The exploration's."""
        return self._exploration.floor

    @abstractmethod
    def probabilities(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) probability of each stage given the one before; 0 for the null choice."""

    @abstractmethod
    def pair_probabilities(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""

    @abstractmethod
    def spreads(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) standard deviation of each stage's logit; 0 for the null choice."""

    @abstractmethod
    def pair_spreads(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""

    def deviations(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) standard deviation of each candidate's expected worth, through the chain by the delta method.

        The expected worth is linear in each stage's probability, so its slope is the worth where the
        stage is certain less the worth where it is ruled out.
        """
        if not candidates:
            return np.empty(0)
        products = [candidate.product_id for candidate in candidates]
        chances = self.probabilities(context, candidates)
        unsure = chances * (1.0 - chances) * self.spreads(context, candidates)  # of probabilities
        variances = np.zeros(len(candidates))
        for row, deviation in enumerate(unsure):
            surely, never = chances.copy(), chances.copy()
            surely[row], never[row] = 1.0, 0.0
            slopes = self._chain.expected(surely, products) - self._chain.expected(never, products)
            variances += (slopes * deviation) ** 2
        return np.sqrt(variances)

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) expected worth of each candidate; the null choice is worth 0.

        Where the recipe explores by a `bonus`, the worth if every stage were that many standard deviations
        of its logit better than expected: optimism in the face of uncertainty.
        """
        if not candidates:
            return np.empty(0)
        probabilities = self.probabilities(context, candidates)
        if self._exploration.bonus:
            probabilities = self._hopeful(probabilities, spreads=self.spreads(context, candidates))
        return self._chain.expected(probabilities, [candidate.product_id for candidate in candidates])

    def pair_scores(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(m,) expected worth of candidate i in the context of row i; `values` is (m, len(names))."""
        if not candidates:
            return np.empty(0)
        probabilities = self.pair_probabilities(names, values, candidates)
        if self._exploration.bonus:
            probabilities = self._hopeful(probabilities, spreads=self.pair_spreads(names, values, candidates))
        return self._chain.expected(probabilities, [candidate.product_id for candidate in candidates])

    def _hopeful(self, probabilities: Floats, *, spreads: Floats) -> Floats:
        """(stages, n) probabilities with `bonus` deviations added to every logit, taken away where a stage costs."""
        signs = np.array([-1.0 if worth is not None and worth < 0.0 else 1.0 for worth in self._chain.worths])
        factors = np.exp(np.clip(signs[:, None] * self._exploration.bonus * spreads, -50.0, 50.0))
        odds = probabilities / np.maximum(1.0 - probabilities, 1e-12) * factors
        return np.asarray(odds / (1.0 + odds))

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) by the recipe's exploration."""
        return self._exploration.pmf(scores, open_=open_, lessons=self._lessons)

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) the same for m masks at once."""
        return self._exploration.pmfs(scores, open_=open_, lessons=self._lessons)
