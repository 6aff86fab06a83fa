"""What every learned policy shares: a probability for each stage → expected worth → exploration.

The factorised reward of domain 3.9: stages are learned apart (P(tapped | seen), P(opened | tapped), …)
and meet only here, so that a rare late stage is never drowned by a common early one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from bandits.chain import Chain
from bandits.earned import typical
from bandits.exploration import Exploration
from bandits.policy import Basis
from recsys.vocabulary import Bools, Candidate, Context, Floats

_STEP = 1e-4  # of a probability, by which slopes are taken


class ChainedPolicy(ABC):
    """A policy that tells a probability for each stage; immutable."""

    basis: Basis = "person"

    def __init__(
        self, name: str, *, chain: Chain, exploration: Exploration, lessons: int, rates: Sequence[float] = ()
    ) -> None:
        self._name = name
        self._chain = chain
        self._exploration = exploration
        self._lessons = lessons
        self._unit = typical(chain, rates) if rates else 1.0  # what a slot earns on average

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

        Stages are believed in apart, so their variances add.
        """
        if not candidates:
            return np.empty(0)
        chances, spreads = self.probabilities(context, candidates), self.spreads(context, candidates)
        return np.asarray(np.linalg.norm(self._slopes(chances, candidates) * spreads, axis=0))

    def _slopes(self, chances: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) how fast the expected worth rises with each stage's logit."""
        products = [candidate.product_id for candidate in candidates]
        slopes = np.empty_like(chances)
        for row, chance in enumerate(chances):
            more, less = chances.copy(), chances.copy()
            more[row], less[row] = chance * (1.0 + _STEP), chance * (1.0 - _STEP)
            slopes[row] = self._chain.expected(more, products) - self._chain.expected(less, products)
        return slopes / (2.0 * _STEP) * (1.0 - chances)

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) expected worth of each candidate; the null choice is worth 0.

        Where the recipe explores by a `bonus`, the worth if every stage were that many standard deviations
        of its logit better than expected: optimism in the face of uncertainty.
        """
        if not candidates:
            return np.empty(0)
        probabilities = self.probabilities(context, candidates)
        if self._exploration.bonus:
            probabilities = self._hopeful(probabilities, candidates, spreads=self.spreads(context, candidates))
        return self._chain.expected(probabilities, [candidate.product_id for candidate in candidates])

    def pair_scores(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(m,) expected worth of candidate i in the context of row i; `values` is (m, len(names))."""
        if not candidates:
            return np.empty(0)
        probabilities = self.pair_probabilities(names, values, candidates)
        if self._exploration.bonus:
            spreads = self.pair_spreads(names, values, candidates)
            probabilities = self._hopeful(probabilities, candidates, spreads=spreads)
        return self._chain.expected(probabilities, [candidate.product_id for candidate in candidates])

    def _hopeful(self, probabilities: Floats, candidates: Sequence[Candidate], *, spreads: Floats) -> Floats:
        """(stages, n) probabilities with `bonus` deviations added to every logit, taken away where a stage costs."""
        better = np.where(self._slopes(probabilities, candidates) < 0.0, -1.0, 1.0)
        factors = np.exp(np.clip(better * self._exploration.bonus * spreads, -50.0, 50.0))
        odds = probabilities / np.maximum(1.0 - probabilities, 1e-12) * factors
        return np.asarray(odds / (1.0 + odds))

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) by the recipe's exploration."""
        return self._exploration.pmf(scores, open_=open_, lessons=self._lessons, unit=self._unit)

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) the same for m masks at once."""
        return self._exploration.pmfs(scores, open_=open_, lessons=self._lessons, unit=self._unit)
