"""What the page /system tells: counters that reconcile, what each rule refused, and what stands in quarantine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from recsys import daily
from recsys.quarantine import KEPT, Refused
from recsys.readmarks import ReadMark
from serving.bootstrap import Installation
from serving.learner_loop import LEASE
from serving.policies import lag_of

RECENT = timedelta(days=28)
SHOWN = 50  # of the quarantine, newest first
KINDS = {
    "poison": "cannot teach",
    "doubt": "may teach when a person says so",
    "outcome": "names what was never shown",
    "snapshot": "a snapshot that failed its canary rounds",
}


def system_told(home: Installation) -> dict[str, Any]:
    """Everything of the page but health, which the service knows. Raises `StoreUnavailable`."""
    counts = home.quarantine.counts()
    return {
        "lag": lag_of(home),
        "counters": counters_of(home),
        "rules": rules_of(home),
        "quarantine": {
            "kept": sum(counts.values()),
            "items": [_item(each) for each in home.quarantine.all(limit=SHOWN, state=KEPT)],
            "settled": [_item(each) for each in _settled(home)],
        },
    }


def counters_of(home: Installation) -> dict[str, int]:
    """Outcomes received = joined + waiting to be read + quarantined; and what came of them.

    Received is the learner's count up to its mark and the log's own after it, so that a page never counts it all.
    """
    position, counted = ReadMark(home.database, name=LEASE).read()
    after = home.log.counts(after=position).get("outcome", 0)
    joined = sum(counted.get(name, 0) for name in ("joined", "organic", "late"))
    lessons = sum(n for name, n in counted.items() if name.startswith("lessons_"))
    return {
        "received": counted.get("outcomes", 0) + after,
        "joined": joined,
        "waiting": after,
        "quarantined": counted.get("quarantined", 0),
        "lessons learned by all recipes": lessons,
    }


def rules_of(home: Installation) -> list[dict[str, Any]]:
    """Per rule over the last weeks: verdicts, refusals, and refusals of what every other rule allowed."""
    last = daily.last_day(home.database)
    if last is None:
        return []
    offer = home.offers.current
    reasons = {rule.name: rule.reason for pack in offer.rules.packs for rule in pack.rules}
    reasons.update(offer.contact.reasons)
    found: dict[str, dict[str, int]] = {}
    for kind in ("checked", "refused", "alone"):
        for row in daily.by_day(home.database, kind, since=last - RECENT, by=("name",)):
            counts = found.setdefault(row.name, {"checked": 0, "refused": 0, "alone": 0})
            counts[kind] += row.n
    return [
        {"rule": rule, "reason": reasons.get(rule, ""), **counts, "share": counts["refused"] / counts["checked"]}
        for rule, counts in sorted(found.items(), key=lambda each: (-each[1]["refused"], each[0]))
    ]


def _settled(home: Installation) -> list[Refused]:
    found = [each for state in ("released", "dropped") for each in home.quarantine.all(limit=10, state=state)]
    return sorted(found, key=lambda each: -each.position)[:10]


def _item(each: Refused) -> dict[str, Any]:
    return {
        "key": each.key,
        "kind": each.kind,
        "means": KINDS.get(each.kind, each.kind),
        "recipe": each.recipe,
        "reason": each.reason,
        "decision_id": each.decision_id,
        "slot": each.slot,
        "stage": each.stage,
        "state": each.state,
        "by": each.by,
        "why": each.why,
    }
