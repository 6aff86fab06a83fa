"""Where facts about a customer come from.

The default reads our own database (recsys/customers.py); a feature store is another source of the
same shape.
"""

from __future__ import annotations

from typing import Protocol

from recsys.vocabulary import CustomerId, Profile


class ProfileSource(Protocol):
    """Answers in well under a millisecond; raises `StoreUnavailable`."""

    def profile(self, customer_id: CustomerId) -> Profile | None:
        """What is known now, None for a customer nobody told us about."""

    def introduce(self, customer_id: CustomerId) -> Profile:
        """A first profile for an unknown customer: the strictest case."""
