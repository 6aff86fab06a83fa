"""A decision with all that came of it, and how its receipt tells that in JSON.

Refusals are told in full. What rules passed is told as a count beside the list of rules, since a rule
that did not refuse a product let it pass; `?rules=all` writes every verdict out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from bandits.drawing import dice
from bandits.exploration import chance_share
from recsys.eventlog import EventLog
from recsys.reasons import Category, Personal, Vocabulary
from recsys.vocabulary import (
    Decision,
    Display,
    Event,
    Fact,
    Outcome,
    Permissions,
    Reason,
    Shadow,
    Slot,
    Verdict,
    Verdicts,
)
from serving.absences import absences_of, refused_of

RulesTold: TypeAlias = Literal["refused", "all"]


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """A decision as it stands in the log, and what was reported of it so far."""

    event: Event
    decision: Decision
    display: Display | None
    outcomes: tuple[Outcome, ...]  # as they were received


def story_of(event: Event, sequel: Sequence[Event]) -> Story:
    """The story of one decision; `sequel` are events, of which those that speak of it are taken."""
    decision = event.body
    if not isinstance(decision, Decision):
        raise TypeError("a receipt is told of a decision")
    own = [each.body for each in sequel if getattr(each.body, "decision_id", None) == decision.decision_id]
    display = next((body for body in own if isinstance(body, Display)), None)
    return Story(event, decision, display, tuple(body for body in own if isinstance(body, Outcome)))


def read_story(log: EventLog, decision_id: str) -> Story:
    """The story of a decision in a log; raises `UnknownDecision`."""
    event = log.decision(decision_id)
    assert isinstance(event.body, Decision)
    return story_of(event, log.sequel(event.body))


def told_in_full(story: Story, *, vocabulary: Vocabulary, rules: RulesTold = "refused") -> dict[str, Any]:
    """Everything held on one decision."""
    d = story.decision
    return {
        "decision_id": d.decision_id,
        "position": story.event.position,
        "customer_token": d.token,
        "request_id": d.request_id,
        "surface": d.surface,
        "slots": d.n_slots,
        "made_at": d.made_at.isoformat(),
        "recorded_at": story.event.recorded_at.isoformat(),
        "expires_at": d.expires_at.isoformat(),
        "latency_us": d.latency_us,
        "purpose": d.purpose,
        "mode": d.mode,
        "policy": d.policy,
        "permissions": permissions_told(d.permissions),
        "experiments": [{"id": a.experiment_id, "variant": a.variant} for a in d.experiments],
        "unit": d.unit,
        "versions": {name: getattr(d.versions, name) for name in type(d.versions).__slots__},
        "facts_used": [fact_told(name, fact, vocabulary=vocabulary) for name, fact in d.facts.items()],
        "data_used": [_category(each) for each in categories_of(d, vocabulary=vocabulary)],
        "context": dict(zip(d.context.names, d.context.values, strict=True)),
        "eligible": list(d.verdicts.eligible()),
        **_rules(d.verdicts, told=rules),
        "audiences": [{"product_id": product, "audience": audience} for product, audience in d.verdicts.through],
        "retrieval": d.retrieval,
        "candidates": [
            {
                "product_id": c.product_id,
                "creative_id": c.creative_id,
                "affinity": c.affinity,
                "seen_lately": c.seen_lately,
                "score": float(score),
            }
            for c, score in zip(d.candidates, d.scores, strict=True)
        ],
        "slate": [_slot(d, slot, vocabulary=vocabulary) for slot in d.slots],
        "not_shown": [each.to_json(vocabulary) for each in absences_of(d)],
        "joint_propensity": d.joint_propensity,
        "redraws": d.redraws,
        "shortfall": d.shortfall,
        "overrides": list(d.overrides),
        "retention": d.retention,
        **({"shadows": [_shadow(each) for each in d.shadows]} if d.shadows else {}),
        "displayed": _display(story),
        "outcomes": [outcome_told(each) for each in story.outcomes],
    }


def _shadow(each: Shadow) -> dict[str, Any]:
    drawn = [{"product_id": product, "propensity": chance} for product, chance in each.slots]
    told = {"policy": each.policy, "recipe": each.recipe, "snapshot": each.snapshot, "slate": drawn}
    return told | ({"failed": each.failed} if each.failed else {})


def categories_of(decision: Decision, *, vocabulary: Vocabulary) -> tuple[Category, ...]:
    """The kinds of data that took part: whatever facts it used, and what its reasons speak of.

    Where the cards were the same for everyone, data was used only to check what may be shown.
    """
    codes = (reason.code for slot in decision.slots for reason in slot.reasons)
    spoken = {each.category_id for each in map(vocabulary.category, codes) if each is not None}
    used = any(candidate.affinity is not None for candidate in decision.candidates)
    found = (
        each
        for each in vocabulary.categories.values()
        if (set(each.facts) & decision.facts.keys())
        or (each.category_id in spoken and each.category_id != "none")
        or (each.category_id == "use" and used)
    )
    if decision.purpose == "promotion":
        return tuple(found)
    return tuple(replace(each, turn_off=vocabulary.checked_only) for each in found)


def _slot(d: Decision, slot: Slot, *, vocabulary: Vocabulary) -> dict[str, Any]:
    pmf = d.pmfs[slot.number - 1]
    row = next(i for i, each in enumerate(d.candidates) if each.product_id == slot.product_id)
    return {
        "slot": slot.number,
        "product_id": slot.product_id,
        "creative_id": slot.creative_id,
        "propensity": slot.propensity,
        "chance": chance_share(pmf, row),
        "dice": dice(d.decision_id, slot=slot.number, redraws=d.redraws),
        "pmf": {c.product_id: float(p) for c, p in zip(d.candidates, pmf, strict=True)},
        "reasons": [_reason(d, reason, vocabulary=vocabulary) for reason in slot.reasons],
    }


def _reason(d: Decision, reason: Reason, *, vocabulary: Vocabulary) -> dict[str, Any]:
    """A reason with what it speaks of; the sentence is the one that was said, whatever the file says now."""
    entry, category = vocabulary.entry(reason.code), vocabulary.category(reason.code)
    told: dict[str, Any] = {"code": reason.code, "text": reason.text}
    if isinstance(entry, Personal):
        values = dict(zip(d.context.names, d.context.values, strict=True))
        told["factors"] = [
            {"name": name, "value": values.get(name), "middle": vocabulary.middle[name]} for name in entry.features
        ]
    if category is not None:
        told |= {"data": category.name, "turn_off": category.turn_off}
    return told


def _rules(verdicts: Verdicts, *, told: RulesTold) -> dict[str, Any]:
    """The rules that were checked, how many let each product pass, and what the others said."""
    passed = verdicts.allowed.sum(axis=1).tolist()
    every = verdicts.expanded() if told == "all" else refused_of(verdicts)
    return {
        "rules_checked": list(verdicts.rules),
        "rules_passed": dict(zip(verdicts.products, passed, strict=True)),
        "rules": [_verdict(each) for each in every],
    }


def _verdict(v: Verdict) -> dict[str, Any]:
    told: dict[str, Any] = {"product_id": v.product_id, "rule": v.rule_id, "kind": v.kind, "allowed": v.allowed}
    if v.allowed:
        return told
    return told | {"reason": v.reason} | ({"stale": list(v.stale)} if v.stale else {})


def permissions_told(p: Permissions) -> dict[str, Any]:
    """What somebody allows."""
    return {
        "in_app": p.in_app,
        "push": p.push,
        "email": p.email,
        "targeted_support": p.targeted_support,
        "objected_at": None if p.objected_at is None else p.objected_at.isoformat(),
    }


def fact_told(name: str, fact: Fact, *, vocabulary: Vocabulary) -> dict[str, Any]:
    """A fact, since when it holds, and what kind of data it is."""
    category = vocabulary.category_of_fact(name)
    told = {"name": name, "value": fact.value, "set_at": fact.as_of.isoformat(), "source": fact.source}
    return told | {"category": "other" if category is None else category.category_id}


def _category(each: Category) -> dict[str, Any]:
    return {"id": each.category_id, "name": each.name, "turn_off": each.turn_off}


def _display(story: Story) -> dict[str, Any] | None:
    shown = story.display
    if shown is None:
        return None
    return {
        "displayed_at": shown.displayed_at.isoformat(),
        "product_ids": list(shown.product_ids),
        "as_decided": list(shown.product_ids) == [slot.product_id for slot in story.decision.shown],
    }


def outcome_told(each: Outcome) -> dict[str, Any]:
    """One thing that happened."""
    return {
        "outcome_id": each.outcome_id,
        "product_id": each.product_id,
        "kind": each.kind,
        "happened_at": each.happened_at.isoformat(),
        "amount_pence": each.amount_pence,
    }
