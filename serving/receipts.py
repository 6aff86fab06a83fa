"""The receipt of a decision: the whole record in JSON, and a verification in two tiers.

Tier 1 needs the record alone: the logged pmf and dice give the draw and the propensity, bit for bit.
Tier 2 needs the snapshot: snapshot and logged features give the pmf, to 1e-6; without the snapshot
the answer is "not comparable", never "verified".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandits.adjusting import adjusted
from bandits.drawing import Mismatch, dice, verify
from bandits.policy import Policy
from recsys.errors import RecsysError
from recsys.vocabulary import Decision, Event, Floats
from serving.live_policy import LivePolicies

TOLERANCE = 1e-6
GONE, NONE, ERASED = "the snapshot is gone", "made without a snapshot", "its facts are erased"
_SNAPSHOTS_KEPT = 8

PolicyOf = Callable[[Decision], Policy | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What recomputing one decision gave. The second tier is open where `not_comparable` says why."""

    draws: tuple[Mismatch, ...]  # tier 1
    probabilities: tuple[Mismatch, ...] = ()  # tier 2
    largest_difference: float | None = None
    not_comparable: str = ""

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """What differs in either tier."""
        return self.draws + self.probabilities

    def to_json(self) -> dict[str, Any]:
        """As a receipt tells it; `equal` is null where there was nothing to compare with."""
        second: dict[str, Any] = {"equal": None, "said": f"not comparable: {self.not_comparable}"}
        if not self.not_comparable:
            second = {"equal": not self.probabilities, "largest_difference": self.largest_difference}
        return {"draws": {"equal": not self.draws, "differs": _told(self.draws)}, "probabilities": second}


class Snapshots:
    """The policies of past decisions, the last few of them kept: for whoever verifies many."""

    def __init__(self, live: LivePolicies, *, kept: int = _SNAPSHOTS_KEPT) -> None:
        self._live = live
        self._kept = kept
        self._policies: OrderedDict[tuple[str, str, str], Policy | None] = OrderedDict()

    def policy_of(self, decision: Decision) -> Policy | None:
        """The policy that made a decision; None where its snapshot is gone."""
        key = (decision.policy, decision.versions.recipe, decision.versions.snapshot)
        if key not in self._policies:
            self._policies[key] = self._live.policy_of(decision)
        self._policies.move_to_end(key)
        if len(self._policies) > self._kept:
            self._policies.popitem(last=False)
        return self._policies[key]


def receipt_of(event: Event, *, live: LivePolicies | None = None) -> dict[str, Any]:
    """Everything held on one decision; with `live`, also whether it can be recomputed."""
    decision = event.body
    if not isinstance(decision, Decision):
        raise TypeError("a receipt is told of a decision")
    told = _record(event, decision)
    if live is not None:
        told["verification"] = verification(decision, policy_of=live.policy_of).to_json()
    return told


def verification(decision: Decision, *, policy_of: PolicyOf) -> Verification:
    """Recompute a decision, in both tiers where its snapshot lives."""
    draws = verify(decision).found
    if decision.versions.snapshot and not decision.context.names:
        return Verification(draws, not_comparable=ERASED)
    policy = policy_of(decision)
    if policy is None:
        return Verification(draws, not_comparable=GONE if decision.versions.snapshot else NONE)
    try:
        differences = pmf_differences(decision, policy=adjusted(policy, overrides=decision.overrides))
    except (RecsysError, ArithmeticError, LookupError, ValueError) as error:
        what = f"{policy.name} has no probabilities for the logged features ({type(error).__name__})"
        return Verification(draws, probabilities=(Mismatch(0, what),))
    differing = tuple(
        Mismatch(slot, f"{policy.name} gives probabilities up to {difference:.2g} away from the record's")
        for slot, difference in enumerate(differences.tolist(), start=1)
        if not difference <= TOLERANCE
    )
    return Verification(draws, probabilities=differing, largest_difference=float(differences.max(initial=0.0)))


def pmf_differences(decision: Decision, *, policy: Policy) -> Floats:
    """(k,) for each slot, how far the logged pmf lies from the policy's on the logged features."""
    differences = np.zeros(len(decision.pmfs))
    if not decision.candidates:
        return differences
    scores = policy.scores(decision.context, decision.candidates)
    for i, row in enumerate(decision.pmfs):
        open_ = row > 0  # every open candidate has mass under a floor; a deterministic policy opens its choice
        differences[i] = np.abs(policy.pmf(scores, open_=open_) - row).max()
    return differences


def _told(mismatches: tuple[Mismatch, ...]) -> list[str]:
    return [f"slot {each.slot}: {each.what}" for each in mismatches]


def _record(event: Event, d: Decision) -> dict[str, Any]:
    return {
        "decision_id": d.decision_id,
        "position": event.position,
        "customer_token": d.token,
        "request_id": d.request_id,
        "surface": d.surface,
        "slots": d.n_slots,
        "made_at": d.made_at.isoformat(),
        "recorded_at": event.recorded_at.isoformat(),
        "expires_at": d.expires_at.isoformat(),
        "latency_us": d.latency_us,
        "purpose": d.purpose,
        "mode": d.mode,
        "policy": d.policy,
        "permissions": {
            "in_app": d.permissions.in_app,
            "push": d.permissions.push,
            "email": d.permissions.email,
            "targeted_support": d.permissions.targeted_support,
            "objected_at": None if d.permissions.objected_at is None else d.permissions.objected_at.isoformat(),
        },
        "experiments": [{"id": a.experiment_id, "variant": a.variant} for a in d.experiments],
        "unit": d.unit,
        "versions": {name: getattr(d.versions, name) for name in type(d.versions).__slots__},
        "facts_used": [
            {"name": name, "value": fact.value, "set_at": fact.as_of.isoformat(), "source": fact.source}
            for name, fact in d.facts.items()
        ],
        "context": dict(zip(d.context.names, d.context.values, strict=True)),
        "eligible": list(d.verdicts.eligible()),
        "rules": [
            {"product_id": v.product_id, "rule": v.rule_id, "allowed": v.allowed}
            | ({} if v.allowed else {"reason": v.reason})
            for v in d.verdicts.expanded()
        ],
        "retrieval": d.retrieval,
        "candidates": [
            {"product_id": c.product_id, "creative_id": c.creative_id, "affinity": c.affinity, "score": float(score)}
            for c, score in zip(d.candidates, d.scores, strict=True)
        ],
        "slate": [
            {
                "slot": s.number,
                "product_id": s.product_id,
                "creative_id": s.creative_id,
                "propensity": s.propensity,
                "dice": dice(d.decision_id, slot=s.number, redraws=d.redraws),
                "pmf": {c.product_id: float(p) for c, p in zip(d.candidates, pmf, strict=True)},
                "reasons": [{"code": r.code, "text": r.text} for r in s.reasons],
            }
            for s, pmf in zip(d.slots, d.pmfs, strict=True)
        ],
        "joint_propensity": d.joint_propensity,
        "redraws": d.redraws,
        "shortfall": d.shortfall,
        "overrides": list(d.overrides),
        "retention": d.retention,
    }
