"""What every learned policy shares: a probability for each stage → expected worth → exploration.

The factorised reward of domain 3.9: stages are learned apart (P(tapped | seen), P(opened | tapped), …)
and meet only here, so that a rare late stage is never drowned by a common early one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from bandits.chain import Chain, null_among
from bandits.earned import typical
from bandits.exploration import Exploration
from bandits.marked import Marked
from bandits.newcomers import newness
from bandits.policy import Basis
from recsys.errors import InvalidPmf
from recsys.shelves import Candidates, Memo, Shelf
from recsys.vocabulary import Bools, Candidate, Context, Floats, ProductId


class ChainedPolicy(ABC):
    """A policy that tells a probability for each stage; immutable."""

    basis: Basis = "person"

    def __init__(
        self,
        name: str,
        *,
        chain: Chain,
        exploration: Exploration,
        lessons: int,
        rates: Sequence[float] = (),
        met: Mapping[ProductId, float] | None = None,
    ) -> None:
        self._name = name
        self._chain = chain
        self._exploration = exploration
        self._lessons = lessons
        self._unit = typical(chain, rates) if rates else 1.0  # what a slot earns on average
        directions = chain.directions
        self._better = None if directions is None else np.array(directions)[:, None]
        self._met = met or {}  # displays learned from, by product
        self._priced = Memo(self._pricing)

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

    def judged(self, context: Context, candidates: Sequence[Candidate]) -> tuple[Floats, Floats]:
        """Both `probabilities` and `spreads`; a policy that looks once for both says so here."""
        return self.probabilities(context, candidates), self.spreads(context, candidates)

    def deviations(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) standard deviation of each candidate's expected worth, through the chain by the delta method.

        Stages are believed in apart, so their variances add.
        """
        if not candidates:
            return np.empty(0)
        candidates = Candidates.of(candidates)
        chances, spreads = self.probabilities(context, candidates), self.spreads(context, candidates)
        return np.asarray(np.linalg.norm(self._slopes(chances, candidates) * spreads, axis=0))

    def _slopes(self, chances: Floats, candidates: Candidates) -> Floats:
        """(stages, n) how fast the expected worth rises with each stage's logit."""
        points, null = self._priced(candidates.shelf)
        slopes = self._chain.slopes(chances, points=points[candidates.rows], null=null[candidates.rows])
        return slopes * chances * (1.0 - chances)

    def _worth(self, chances: Floats, candidates: Candidates) -> Floats:
        """(n,) the expected worth of each candidate."""
        points, null = self._priced(candidates.shelf)
        return self._chain.worth(chances, points=points[candidates.rows], null=null[candidates.rows])

    def _pricing(self, shelf: Shelf) -> tuple[Floats, Bools]:
        """What the chain needs of each product of a shelf: its points, and whether it is the null choice."""
        return self._chain.points(shelf.ids), null_among(shelf.ids)

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) expected worth of each candidate; the null choice is worth 0.

        Where the recipe explores by a `bonus`, the worth if every stage were that many standard deviations
        of its logit better than expected: optimism in the face of uncertainty.
        """
        if not candidates:
            return np.empty(0)
        candidates = Candidates.of(candidates)
        if self._exploration.bonus:
            probabilities, spreads = self.judged(context, candidates)
            probabilities = self._hopeful(probabilities, candidates, spreads=spreads)
        else:
            probabilities = self.probabilities(context, candidates)
        scores = self._worth(probabilities, candidates)
        if not self.marks:
            return scores
        marked = scores.view(Marked)
        marked.new = self.newness(candidates.ids)
        return marked

    @property
    def marks(self) -> bool:
        """Whether its scores say more than their numbers, so that numbers from a record are not enough for a pmf."""
        return self._exploration.quota > 0.0

    def newness(self, products: Sequence[ProductId]) -> Bools:
        """(2, n) which of the products still have a quota, and which are known."""
        return newness(products, met=self._met, until=self._exploration.new_until)

    def pair_scores(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(m,) expected worth of candidate i in the context of row i; `values` is (m, len(names))."""
        if not candidates:
            return np.empty(0)
        candidates = Candidates.of(candidates)
        probabilities = self.pair_probabilities(names, values, candidates)
        if self._exploration.bonus:
            spreads = self.pair_spreads(names, values, candidates)
            probabilities = self._hopeful(probabilities, candidates, spreads=spreads)
        return self._worth(probabilities, candidates)

    def _hopeful(self, probabilities: Floats, candidates: Candidates, *, spreads: Floats) -> Floats:
        """(stages, n) probabilities with `bonus` deviations added to every logit, taken away where a stage costs."""
        better = self._better
        if better is None:
            better = np.where(self._slopes(probabilities, candidates) < 0.0, -1.0, 1.0)
        factors = np.exp(np.clip(better * self._exploration.bonus * spreads, -50.0, 50.0))
        odds = probabilities / np.maximum(1.0 - probabilities, 1e-12) * factors
        return np.asarray(odds / (1.0 + odds))

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) by the recipe's exploration; raises `InvalidPmf` for scores without the marks of a quota."""
        return self._exploration.pmf(
            scores.view(np.ndarray), open_=open_, lessons=self._lessons, unit=self._unit, new=self._new(scores)
        )

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) the same for m masks at once."""
        return self._exploration.pmfs(
            scores.view(np.ndarray), open_=open_, lessons=self._lessons, unit=self._unit, new=self._new(scores)
        )

    def _new(self, scores: Floats) -> Bools | None:
        if not self.marks:
            return None
        if not isinstance(scores, Marked) or scores.new is None:
            raise InvalidPmf("scores that do not say which products are new: ask the policy for them", where=self.name)
        return scores.new
