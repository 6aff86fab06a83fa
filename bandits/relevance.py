"""Search: what was typed decides, and the customer's affinity only among what fits equally well.

Deterministic: whoever asks for something is not explored upon, so it logs probability 1 and never teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bandits.policy import Basis
from recsys.vocabulary import Bools, Candidate, Context, Floats, ProductId

BANDS = 10
"""Relevance counts in tenths of the best one's; within a tenth the customer's affinity puts in order."""

_WIDEST = 4.0  # affinities lie within ±4


class RelevancePolicy:
    """Products by how well they fit a query: a band of relevance, then affinity, then relevance to the last digit.

    >>> policy = RelevancePolicy({"pot": 0.95, "loan": 0.9, "isa": 0.4})
    >>> found = [Candidate("isa", affinity=3.0), Candidate("pot"), Candidate("loan", affinity=1.0)]
    >>> policy.scores(Context(), found).round(3).tolist()
    [4.804, 9.51, 9.609]
    """

    basis: Basis = "words"
    floor = 0.0
    name = "search@1"

    def __init__(self, relevance: Mapping[ProductId, float]) -> None:
        """`relevance` in (0, 1] of each product that fits; the others fit not at all."""
        self._relevance = dict(relevance)
        self._best = max(relevance.values(), default=1.0)

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) the band, and within [0, 1) of it the affinity; a missing affinity stands in the middle."""
        return np.array([self._score(candidate) for candidate in candidates], dtype=np.float64)

    def _score(self, candidate: Candidate) -> float:
        share = self._relevance.get(candidate.product_id, 0.0) / self._best
        band = min(int(share * BANDS + 1e-9), BANDS - 1)
        affinity = min(max(candidate.affinity or 0.0, -_WIDEST), _WIDEST)
        return band + 0.5 + 0.1 * affinity + 0.01 * share

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) 1 on the best open candidate; the first of those that tie."""
        pmf = np.zeros(scores.size)
        pmf[int(np.where(open_, scores, -np.inf).argmax())] = 1.0
        return pmf
