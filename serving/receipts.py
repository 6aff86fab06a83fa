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
from bandits.drawing import Mismatch, verify
from bandits.impersonal import scores_of
from bandits.policy import Policy
from recsys.errors import RecsysError
from recsys.reasons import Personal
from recsys.vocabulary import Decision, Floats
from serving.explanations import Explainer
from serving.live_policy import LivePolicies
from serving.telling import RulesTold, Story, told_in_full

TOLERANCE = 1e-6
GONE, NONE, ERASED = "the snapshot is gone", "made without a snapshot", "its facts are erased"
UNTOLD = "the words that were searched for are not kept"
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


def receipt_of(
    story: Story, *, explainer: Explainer, rules: RulesTold = "refused", live: LivePolicies | None = None
) -> dict[str, Any]:
    """Everything held on one decision; with `live`, also whether it can be recomputed."""
    decision = story.decision
    told = told_in_full(story, vocabulary=explainer.vocabulary, rules=rules)
    if live is not None:
        recomputed = verification(decision, policy_of=live.policy_of).to_json()
        told["verification"] = recomputed | {"reasons": _reasons_again(decision, explainer=explainer, live=live)}
    return told


def _reasons_again(decision: Decision, *, explainer: Explainer, live: LivePolicies) -> dict[str, Any]:
    """Whether every personal reason moved the score as it says, worked out anew from the record (TRN-1)."""
    personal = [
        (slot, reason)
        for slot in decision.shown
        for reason in slot.reasons
        if isinstance(explainer.vocabulary.entry(reason.code), Personal)
    ]
    if not personal:
        return {"equal": True, "falls": []}
    policy = live.policy_of(decision) if decision.context.names else None
    if policy is None:
        return {"equal": None, "said": f"not comparable: {GONE if decision.context.names else ERASED}"}
    falls = [explainer.moves(decision, slot, reason, policy=policy) or 0.0 for slot, reason in personal]
    told = [
        {"slot": slot.number, "code": reason.code, "fall": fall}
        for (slot, reason), fall in zip(personal, falls, strict=True)
    ]
    return {"equal": min(falls) > explainer.vocabulary.share, "falls": told}


def verification(decision: Decision, *, policy_of: PolicyOf) -> Verification:
    """Recompute a decision, in both tiers where its snapshot lives."""
    draws = verify(decision).found
    if decision.versions.snapshot and not decision.context.names:
        return Verification(draws, not_comparable=ERASED)
    if decision.mode == "search":
        return Verification(draws, not_comparable=UNTOLD)
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
    scores = scores_of(policy, decision.context, decision.candidates)
    for i, row in enumerate(decision.pmfs):
        open_ = row > 0  # every open candidate has mass under a floor; a deterministic policy opens its choice
        differences[i] = np.abs(policy.pmf(scores, open_=open_) - row).max()
    return differences


def _told(mismatches: tuple[Mismatch, ...]) -> list[str]:
    return [f"slot {each.slot}: {each.what}" for each in mismatches]
