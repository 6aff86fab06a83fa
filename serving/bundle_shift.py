"""What a new bundle changes: how far the distributions of the latest decisions move when it is put in force.

Publishing a bundle is a policy change, since policies read its affinities (architecture.md, "Vectors"). Each decision
is drawn again on paper by the very snapshot that made it, its candidates with the affinities of the new bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandits.adjusting import adjusted
from bandits.impersonal import scores_of
from embeddings.bundle import Bundle
from embeddings.encoding import encoder_of
from recsys.vocabulary import Candidate, Decision, Vector
from serving.bootstrap import Installation
from serving.curriculum import teaches
from serving.nightly import as_known
from serving.receipts import PolicyOf, Snapshots

LATEST = 200
_READ = 20_000  # positions of the log's end that are looked through for them


@dataclass(frozen=True, slots=True)
class Shift:
    """Total variation between the first slot's distributions before and after, in [0, 1], over some decisions.

    >>> print(Shift(180, mean=0.031, largest=0.4))
    over the latest 180 decisions it moves the first slot's probabilities by 3.1% on average, 40.0% at most
    """

    n_decisions: int
    mean: float = 0.0
    largest: float = 0.0

    def __str__(self) -> str:
        if not self.n_decisions:
            return "there is no decision that could be drawn again, so nobody knows how far it moves them"
        return (
            f"over the latest {self.n_decisions} decisions it moves the first slot's probabilities by "
            f"{self.mean:.1%} on average, {self.largest:.1%} at most"
        )


def shift_of(home: Installation, bundle: Bundle, *, policy_of: PolicyOf | None = None) -> Shift:
    """Draw the latest decisions again with the affinities of `bundle`; those whose snapshot is gone are left out.

    `policy_of` names the policy of a decision, by default the very snapshot that made it.
    """
    after = max(0, home.log.last_position() - _READ)
    found = [event.body for event in home.log.read(after=after, kinds=("decision",))]
    latest = [each for each in found if isinstance(each, Decision) and _comparable(each)][-LATEST:]
    if not latest:
        return Shift(0)
    facts, histories = as_known(home, latest)
    vectors = encoder_of(bundle).encode(np.array(facts), histories)
    policies = policy_of or Snapshots(home.live).policy_of
    moved = [
        change
        for decision, vector in zip(latest, vectors, strict=True)
        if (change := _moved(decision, vector=vector, bundle=bundle, policy_of=policies)) is not None
    ]
    return Shift(len(moved), float(np.mean(moved)), float(np.max(moved))) if moved else Shift(0)


def _comparable(decision: Decision) -> bool:
    return teaches(decision) and bool(decision.slots and decision.context.names and decision.versions.snapshot)


def _moved(decision: Decision, *, vector: Vector, bundle: Bundle, policy_of: PolicyOf) -> float | None:
    policy = policy_of(decision)
    if policy is None:
        return None
    policy = adjusted(policy, overrides=decision.overrides)
    open_ = decision.pmfs[0] > 0.0
    candidates = _with_affinities(decision.candidates, vector=vector, bundle=bundle)
    before, after = (
        policy.pmf(scores_of(policy, decision.context, each), open_=open_) for each in (decision.candidates, candidates)
    )
    return float(0.5 * np.abs(before - after).sum())


def _with_affinities(candidates: Sequence[Candidate], *, vector: Vector, bundle: Bundle) -> tuple[Candidate, ...]:
    """The same candidates; those that never had an affinity by rule keep none (ADV-2)."""
    rows = [bundle.products.row(each.product_id) for each in candidates]
    known = [row for row in rows if row is not None]
    told = iter(bundle.reference.affinities(bundle.index.vectors[known] @ vector).tolist())
    affinities = [None if row is None else next(told) for row in rows]
    return tuple(
        replace(each, affinity=None if "tag_advice_sensitive" in each.names else affinity)
        for each, affinity in zip(candidates, affinities, strict=True)
    )
