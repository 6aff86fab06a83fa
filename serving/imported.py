"""What a bank's own tables teach before we have decided anything: openings that customers came to without us.

Everything is as the bank knew it when it happened: facts whose `as_of` is not later, and activity before it, whenever
we were told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from embeddings.interactions import HISTORY_LENGTH, Interaction
from recsys import features
from recsys.activities import Known
from recsys.customers import Customers
from recsys.records import micros
from recsys.vocabulary import CustomerId, Outcome, Profile

SOURCE = "import"
"""Who reported an outcome that came with a bank's own tables."""


def interaction(outcome: Outcome, *, profile: Profile | None, history: Sequence[Known]) -> Interaction:
    """What a network may learn of an imported opening; `history` is all that is known of the customer, in order."""
    at = outcome.happened_at
    known = profile or Profile(CustomerId(""), outcome.token)
    known = replace(known, facts={name: fact for name, fact in known.facts.items() if fact.as_of <= at})
    before = [each.subject for each in history if each.happened_at < micros(at)]
    facts = features.customer_features(known, at=at).tolist()
    return Interaction(str(outcome.token), facts, tuple(before[-HISTORY_LENGTH:]), outcome.product_id, at)


def profiles(customers: Customers, tokens: Collection[str]) -> dict[str, Profile]:
    """Those of these tokens that are known."""
    ids = customers.ids_of(sorted(tokens))
    return {str(profile.token): profile for profile in customers.profiles(list(ids.values())).values()}
