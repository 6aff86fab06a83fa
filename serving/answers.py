"""What a recommendation looks like on the wire: from a decision, or from the approved static list."""

from __future__ import annotations

from typing import Any

from bandits.relevance import RelevancePolicy
from recsys.vocabulary import Decision, Slot
from serving.bootstrap import Service
from serving.formats import rfc3339
from serving.slates import Ask


def answer_of(decision: Decision) -> dict[str, Any]:
    """A durable decision as the app backend reads it."""
    given = len(decision.shown)
    short = decision.shortfall
    return {
        "decision_id": decision.decision_id,
        "made_at": rfc3339(decision.made_at),
        "expires_at": rfc3339(decision.expires_at),
        "slate": [_slot(slot) for slot in decision.shown],
        "policy": decision.policy,
        "mode": decision.mode,
        "experiments": [{"id": each.experiment_id, "variant": each.variant} for each in decision.experiments],
        "shortfall": None if short is None else {"asked": decision.n_slots, "given": given, "reason": short},
    }


def unlogged_answer(service: Service, ask: Ask) -> dict[str, Any]:
    """The approved static list, when nothing can be written down."""
    service.telemetry.unlogged.inc()
    now = service.clock.now()
    slots, why = service.recommender.unlogged(ask)
    reason = why or "decisions cannot be logged right now"
    shortfall = {"asked": ask.slots, "given": len(slots), "reason": reason}
    return {
        "decision_id": None,
        "made_at": rfc3339(now),
        "expires_at": rfc3339(now),
        "slate": [_slot(slot) for slot in slots],
        "policy": "static@0" if ask.query is None else RelevancePolicy.name,
        "mode": "fallback:unlogged",
        "experiments": [],
        "shortfall": None if len(slots) == ask.slots else shortfall,
    }


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "slot": slot.number,
        "product_id": slot.product_id,
        "creative_id": slot.creative_id,
        "propensity": slot.propensity,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in slot.reasons],
    }
