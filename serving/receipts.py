"""The receipt of a decision: the whole record in JSON, and a verification in two tiers.

Tier 1 needs the record alone: the logged pmf and dice give the draw and the propensity, bit for bit.
Tier 2 needs the snapshot: snapshot and logged features give the pmf, to 1e-6; without the snapshot
the answer is "not comparable", never "verified".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bandits.drawing import dice, verify
from bandits.policy import Policy
from recsys.vocabulary import Decision, Event
from serving.live_policy import LivePolicies

TOLERANCE = 1e-6


def receipt_of(event: Event, *, live: LivePolicies | None = None) -> dict[str, Any]:
    """Everything held on one decision; with `live`, also whether it can be recomputed."""
    decision = event.body
    if not isinstance(decision, Decision):
        raise TypeError("a receipt is told of a decision")
    told = _record(event, decision)
    if live is not None:
        told["verification"] = verification(decision, live=live)
    return told


def verification(decision: Decision, *, live: LivePolicies) -> dict[str, Any]:
    """What recomputing the decision gave."""
    mismatches = verify(decision)
    first = {"equal": not mismatches, "differs": [f"slot {m.slot}: {m.what}" for m in mismatches.found]}
    policy = live.policy_of(decision)
    if policy is None:
        return {"draws": first, "probabilities": {"equal": None, "said": "not comparable: the snapshot is gone"}}
    differs = pmf_difference(decision, policy=policy)
    return {"draws": first, "probabilities": {"equal": differs <= TOLERANCE, "largest_difference": differs}}


def pmf_difference(decision: Decision, *, policy: Policy) -> float:
    """The largest difference between the logged pmfs and those of the policy on the logged features."""
    if not decision.candidates:
        return 0.0
    scores = policy.scores(decision.context, decision.candidates)
    largest = 0.0
    for row in decision.pmfs:
        open_ = row > 0  # every open candidate has mass under a floor; a deterministic policy opens its choice
        largest = max(largest, float(np.abs(policy.pmf(scores, open_=open_) - row).max()))
    return largest


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
