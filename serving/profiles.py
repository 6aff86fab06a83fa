"""Where facts about a customer come from: a role, and its default, our own database.

A bank that has a feature store names it in the settings; serving/feature_store_profiles.py then reads
facts there. Tokens, permissions, contact and vectors are always our own: what was consented to is in
force on the next request, and stands in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from recsys.customers import Customers
from recsys.vocabulary import CustomerId, Profile


class ProfileSource(Protocol):
    """Tells what is known of customers now; raises `StoreUnavailable`."""

    @property
    def at_once(self) -> bool:
        """Whether `profile` answers in well under a millisecond or not at all, so that no thread is needed."""

    def profile(self, customer_id: CustomerId) -> Profile | None:
        """What is known now, None for a customer nobody told us about."""

    def profiles(self, customer_ids: Sequence[CustomerId]) -> dict[CustomerId, Profile]:
        """What is known now of those customers somebody told us about; waits for its answer."""

    def completed(self, profiles: Sequence[Profile]) -> list[Profile]:
        """The same customers, in order, with every fact that is known: for whoever read our own database already."""

    def introduce(self, customer_id: CustomerId) -> Profile:
        """A first profile for an unknown customer: nothing is permitted yet."""

    def trouble(self) -> str:
        """What keeps it from answering beside our own database, in a sentence; "" where nothing does. Waits."""


class OwnProfiles:
    """Facts that were told to us, in our own database; fulfils `ProfileSource`."""

    at_once = True

    def __init__(self, customers: Customers) -> None:
        self.profile, self.profiles, self.introduce = customers.profile, customers.profiles, customers.introduce

    def completed(self, profiles: Sequence[Profile]) -> list[Profile]:
        """As they are."""
        return list(profiles)

    def trouble(self) -> str:
        """Whether the database answers is asked elsewhere."""
        return ""
