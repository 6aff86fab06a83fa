"""What is learned may not pick the person for an advice-sensitive product (ADV-2).

Whom such a product may be suggested to is said by a declared audience (recsys/audiences.py). Its
score is then taken, and taught, as if nothing were known of the customer: the same for everyone at
the same moment on the same surface under the same snapshot. Every score of the house is taken here.
"""

from __future__ import annotations

from collections.abc import Sequence

from bandits.policy import Policy
from recsys.features import ADVICE_SENSITIVE, impersonal_candidate, impersonal_context
from recsys.vocabulary import Candidate, Context, Floats


def advice_sensitive(candidate: Candidate) -> bool:
    """Whether the candidate may only be scored impersonally."""
    return ADVICE_SENSITIVE in candidate.names


def scores_of(policy: Policy, context: Context, candidates: Sequence[Candidate]) -> Floats:
    """(n,) the policy's scores, those of advice-sensitive products as for anybody."""
    scores = policy.scores(context, candidates)
    rows = [row for row, candidate in enumerate(candidates) if advice_sensitive(candidate)]
    if rows and scores.shape == (len(candidates),):
        scores = scores.copy()  # with its marks
        plain = [impersonal_candidate(candidates[row]) for row in rows]
        scores[rows] = policy.scores(impersonal_context(context), plain)
    return scores
