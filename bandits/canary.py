"""Canary rounds: what a snapshot must show on recent decisions before anybody is served by it (MRM-4).

A learner may move inside bounds that were approved with its recipe (`Envelope`). A candidate that
leaves them, or gives no distribution at all, is not published. Faults of the first kind are a
matter of judgement, which a person may lift; a distribution that is none nobody can lift.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from bandits.envelope import Envelope
from bandits.impersonal import scores_of
from bandits.policy import Policy, checked_pmf
from recsys.errors import RecsysError
from recsys.vocabulary import Decision, Floats, ProductId

_SLACK = 1e-12


@runtime_checkable
class Weighted(Protocol):
    """A policy that can say how large its weights are."""

    def norm(self) -> float:
        """The largest Euclidean norm among its weight vectors."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a snapshot may not be published."""

    why: str
    liftable: bool  # whether a person may publish it all the same


@dataclass(frozen=True, slots=True)
class _Seen:
    """One policy on the kept decisions."""

    scores: tuple[Floats, ...]
    shares: Mapping[ProductId, float]  # mean probability of each product in the first slot, where it stood open


def faults(
    policy: Policy,
    *,
    last: Policy | None,
    decisions: Sequence[Decision],
    envelope: Envelope,
    low: float,
    high: float,
) -> tuple[Fault, ...]:
    """What speaks against publishing `policy` after `last`, on kept decisions; () where nothing does.

    `low` and `high` bound a slot's reward, and so its expected worth.
    """
    norm = policy.norm() if isinstance(policy, Weighted) else 0.0
    if not math.isfinite(norm):
        return (Fault("a weight is not finite", liftable=False),)
    found: list[Fault] = []
    if norm > envelope.weight_norm:
        found.append(Fault(f"weights of norm {norm:.3g}, the bound is {envelope.weight_norm:g}", liftable=True))
    try:
        seen = _seen(policy, decisions)
    except (RecsysError, ArithmeticError, ValueError, LookupError) as error:
        return (*found, Fault(f"no distribution on a recent decision ({error})", liftable=False))
    scores = np.concatenate([np.zeros(0), *seen.scores])
    if scores.size and not (low <= scores.min() and scores.max() <= high):
        outside = scores.min() if scores.min() < low else scores.max()
        found.append(Fault(f"a score of {outside:.4g}, a reward lies in [{low:g}, {high:g}]", liftable=True))
    if last is not None and decisions:
        found += _moved(seen, _seen(last, decisions), envelope=envelope)
    return tuple(found)


def _moved(now: _Seen, before: _Seen, *, envelope: Envelope) -> list[Fault]:
    """How far a policy moved from the one in force."""
    found = []
    products = sorted(now.shares.keys() | before.shares.keys())
    moves = {product: now.shares.get(product, 0.0) - before.shares.get(product, 0.0) for product in products}
    worst = max(products, key=lambda product: abs(moves[product]), default=None)
    if worst is not None and abs(moves[worst]) > envelope.share_change:
        was, is_ = before.shares.get(worst, 0.0), now.shares.get(worst, 0.0)
        why = f"{worst}'s share goes from {was:.0%} to {is_:.0%}, a step may move it by {envelope.share_change:.0%}"
        found.append(Fault(why, liftable=True))
    pairs = zip(now.scores, before.scores, strict=True)
    drift = math.fsum(float(np.abs(new - old).mean()) for new, old in pairs if new.size) / max(len(now.scores), 1)
    if drift > envelope.score_drift:
        why = f"scores moved by {drift:.3g} points on average, a step may move them by {envelope.score_drift:g}"
        found.append(Fault(why, liftable=True))
    return found


def _seen(policy: Policy, decisions: Sequence[Decision]) -> _Seen:
    """A policy on the decisions' first slots; raises where it gives no distribution, or less than its floor."""
    all_scores, shares = [], defaultdict[ProductId, float](float)
    for decision in decisions:
        if not decision.candidates:
            continue
        open_ = decision.pmfs[0] > 0 if len(decision.pmfs) else np.ones(len(decision.candidates), dtype=np.bool_)
        scores = scores_of(policy, decision.context, decision.candidates)
        if not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        pmf = checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where=policy.name)
        if pmf[open_].min() < policy.floor / int(open_.sum()) - _SLACK:
            raise ValueError("a probability lies under the declared floor")
        all_scores.append(scores)
        for candidate, probability in zip(decision.candidates, pmf.tolist(), strict=True):
            shares[candidate.product_id] += probability / len(decisions)
    return _Seen(tuple(all_scores), shares)
