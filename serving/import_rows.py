"""Rows of a bank's own tables as the house's own values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from recsys.customers import Told
from recsys.facts import FACTS, checked_fact
from recsys.vocabulary import Activity, CustomerId, Permissions


def told_of(row: Mapping[str, Any]) -> Told:
    """A row of customers: a null is not known, a name in `known_none` is known to be none."""
    none = set(row["known_none"])
    plain = {name: row[name] for name in FACTS if row[name] is not None}
    told = {name: each.isoformat() if isinstance(each, date) else each for name, each in plain.items()}
    facts = {name: checked_fact(name, each) for name, each in {**told, **dict.fromkeys(sorted(none))}.items()}
    permissions = Permissions(
        in_app=row["in_app"], push=row["push"], email=row["email"], targeted_support=row["targeted_support"],
        objected_at=row["objected_at"],
    )  # fmt: skip
    return Told(CustomerId(row["customer_id"]), row["as_of"], facts, permissions)


def activity_of(row: Mapping[str, Any]) -> Activity:
    """A row of activity."""
    return Activity(
        row["activity_id"], CustomerId(row["customer_id"]), row["kind"], row["subject"], row["happened_at"],
        row["amount_pence"],
    )  # fmt: skip
