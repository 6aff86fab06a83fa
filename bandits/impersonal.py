"""What is learned may not pick the person for an advice-sensitive product (ADV-2).

Whom such a product may be suggested to is said by a declared audience (recsys/audiences.py). Its
score is then taken, and taught, as if nothing were known of the customer: the same for everyone at
the same moment on the same surface under the same snapshot. Every score of the house is taken here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandits.policy import Policy
from recsys.features import advice_sensitive_on, impersonal_candidate, impersonal_context
from recsys.shelves import Candidates
from recsys.vocabulary import Candidate, Context, Floats


def scores_of(policy: Policy, context: Context, candidates: Sequence[Candidate]) -> Floats:
    """(n,) the policy's scores, those of advice-sensitive products as for anybody."""
    candidates = Candidates.of(candidates)
    scores = policy.scores(context, candidates)
    rows = np.flatnonzero(advice_sensitive_on(candidates.shelf)[candidates.rows])
    if rows.size and scores.shape == (len(candidates),):
        scores = scores.copy()  # with its marks
        plain = [impersonal_candidate(candidates[row]) for row in rows.tolist()]
        scores[rows] = policy.scores(impersonal_context(context), plain)
    return scores
