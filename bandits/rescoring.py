"""What would the score have been, had the context been another: many (context, candidate) pairs at once.

An explanation asks this of a few products under a few changed contexts. A policy that can answer all
of it in one pass has a method `pair_scores` like the function below; any other is asked pair by pair.
Law (tests/laws): both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from bandits.policy import Policy
from recsys.vocabulary import Candidate, Context, Floats

_AtOnce: TypeAlias = Callable[[tuple[str, ...], Floats, Sequence[Candidate]], Floats]


def pair_scores(policy: Policy, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
    """(m,) score of candidate i in the context of row i of `values` (m, len(names))."""
    at_once: _AtOnce | None = getattr(policy, "pair_scores", None)
    if at_once is not None:
        return at_once(names, values, candidates)
    rows = zip(values.tolist(), candidates, strict=True)
    return np.array([policy.scores(Context(names, tuple(row)), [one])[0] for row, one in rows], dtype=np.float64)
