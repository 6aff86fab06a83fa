"""Settling what stands in quarantine: let it teach, or drop it; for the command line and the page alike."""

from __future__ import annotations

from collections.abc import Sequence

from bandits.chain import Chain
from bandits.teaching import checked
from recsys.entries import Entry
from recsys.errors import Misuse
from recsys.quarantine import DROPPED, KEPT, RELEASED, Refused
from recsys.vocabulary import Decision, Release
from serving.bootstrap import Installation
from serving.curriculum import lesson_of


def released(home: Installation, items: Sequence[Refused], *, by: str, why: str) -> None:
    """Let them teach, or a held-back snapshot be published; it stands in the log from then on.

    All or none. Raises `Misuse` where a release would change nothing.
    """
    for each in items:
        _check(home, each)
    for each in items:
        home.log.append([Entry(_release(each, reason=why, by=by))])  # once: again, it changes nothing
        home.quarantine.settle(each.key, state=RELEASED, by=by, why=why)
        home.trail.note(by=by, action="release_quarantined", subject=each.key)


def dropped(home: Installation, items: Sequence[Refused], *, by: str, why: str) -> None:
    """Settle them: they never teach. Raises `Misuse` for what was released."""
    for each in items:
        if each.state == RELEASED:
            raise Misuse(f"{each.key} was released by {each.by}: what the log holds cannot be dropped")
    for each in items:
        home.quarantine.settle(each.key, state=DROPPED, by=by, why=why)
        home.trail.note(by=by, action="drop_quarantined", subject=each.key)


def _release(item: Refused, *, reason: str, by: str) -> Release:
    told = (item.decision_id, item.slot, item.stage, item.happened, item.share)
    return Release(item.key, item.recipe, reason, by, *told)


def _check(home: Installation, item: Refused) -> None:
    """Raise `Misuse` where a release would change nothing."""
    if item.state not in (KEPT, DROPPED):
        raise Misuse(f"{item.key} is {item.state} already ({item.by}: {item.why})")
    if item.kind == "outcome":
        raise Misuse(f"{item.key}: {item.reason}, so there is nothing that it could teach: drop it")
    if item.kind == "snapshot":
        return
    found = home.log.decisions([item.decision_id]).get(item.decision_id) if item.decision_id else None
    if found is None or not isinstance(found.body, Decision):
        raise Misuse(f"{item.key}: {item.reason}; it cannot be released: drop it")
    lesson = lesson_of(found.body, _release(item, reason="", by=""), position=found.position, at=found.recorded_at)
    if lesson is None:
        raise Misuse(f"{item.key}: its decision shows no such slot: drop it")
    try:
        checked(lesson, chain=Chain.of(home.rewards))
    except Misuse as error:
        raise Misuse(f"{item.key} still cannot teach ({error}): drop it") from None
