"""All that is held on one person (TRN-3), as data and in words."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from recsys.errors import NotFound
from recsys.records import moment
from recsys.vocabulary import Contact, CustomerId, Decision, Event, Outcome, PermissionChange, Profile
from serving.bootstrap import Installation
from serving.telling import fact_told, outcome_told, permissions_told, story_of, told_in_full

ABOUT_VECTOR = (
    "A list of numbers made from facts and activities, which says which products are near to them. "
    "It has no meaning by itself and is used only to choose among products that may be shown."
)


def held_on(home: Installation, customer_id: CustomerId) -> dict[str, Any]:
    """Everything that any store holds on a customer; raises `NotFound` where nobody is known by that id."""
    profile = home.profiles.profiles([customer_id]).get(customer_id)
    if profile is None:
        raise NotFound("nothing is held on a customer of this id")
    vocabulary = home.explainer.vocabulary
    events = home.log.of_person(profile.token)
    return {
        "customer_id": customer_id,
        "exported_at": home.clock.now().isoformat(),
        "token": profile.token,
        "facts": [fact_told(name, fact, vocabulary=vocabulary) for name, fact in profile.facts.items()],
        "permissions": permissions_told(profile.permissions),
        "permission_changes": [_change(event) for event in events if isinstance(event.body, PermissionChange)],
        "contact": _contact(profile.contact),
        "vector": _vector(profile),
        "activities": [_activity(row) for row in home.customers.activities_of(profile.token)],
        "decisions": _decisions(home, events),
        "outcomes_without_a_decision": [
            outcome_told(event.body)
            for event in events
            if isinstance(event.body, Outcome) and event.body.decision_id is None
        ],
    }


def _decisions(home: Installation, events: list[Event]) -> list[dict[str, Any]]:
    """Every decision with its reasons, what was displayed and what came of it."""

    def decision_id(event: Event) -> str:
        return getattr(event.body, "decision_id", None) or ""

    ordered = sorted(events, key=lambda event: (decision_id(event), event.position))
    sequels = {name: list(group) for name, group in groupby(ordered, key=decision_id)}
    vocabulary = home.explainer.vocabulary
    return [
        told_in_full(story_of(event, sequels[event.body.decision_id]), vocabulary=vocabulary)
        for event in events
        if isinstance(event.body, Decision)
    ]


def _change(event: Event) -> dict[str, Any]:
    assert isinstance(event.body, PermissionChange)
    return permissions_told(event.body.permissions) | {"set_at": event.body.as_of.isoformat()}


def _contact(contact: Contact) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "product_id": product, "at": moment(second * 1_000_000).isoformat()}
        for kind, touches in contact.touches.items()
        for second, product, _ in touches
    ]


def _vector(profile: Profile) -> dict[str, Any] | None:
    if profile.vector is None:
        return None
    return {"about": ABOUT_VECTOR, "bundle": profile.bundle, "numbers": [float(each) for each in profile.vector]}


def _activity(row: dict[str, object]) -> dict[str, Any]:
    at = row["happened_at"]
    assert isinstance(at, int)
    return {**row, "happened_at": moment(at).isoformat()}
