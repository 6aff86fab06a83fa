"""What would the score have been, had the context been another: many (context, candidate) pairs at once.

An explanation asks this of a few products under a few changed contexts. A policy that can answer all
of it in one pass says so by having `pair_scores`; any other is asked pair by pair through `scores`.
Law (tests/laws): both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from bandits.policy import Policy
from recsys.vocabulary import Candidate, Context, Floats


@runtime_checkable
class ScoresPairs(Protocol):
    """A policy that scores pairs in one pass."""

    def pair_scores(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(m,) score of candidate i in the context of row i; `values` is (m, len(names))."""


def pair_scores(policy: Policy, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
    """(m,) score of candidate i in the context of row i of `values` (m, len(names))."""
    if isinstance(policy, ScoresPairs):
        return policy.pair_scores(names, values, candidates)
    rows = zip(values.tolist(), candidates, strict=True)
    return np.array([policy.scores(Context(names, tuple(row)), [one])[0] for row, one in rows], dtype=np.float64)
