"""Interactions with the facts that a feature store's history says were known at each decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from embeddings.interactions import Interaction
from recsys.errors import Misuse
from recsys.features import customer_features
from recsys.vocabulary import Decision, Outcome, Profile
from serving.bootstrap import Installation
from serving.feature_store_profiles import FeatureStoreProfiles

Found = tuple[Decision | None, Outcome, Interaction]


def with_stored_facts(found: Sequence[Found], *, home: Installation) -> list[Found]:
    """The same with what was known then, made into features by our own definition; without who was forgotten.

    Raises `Misuse` where the settings name no feature store, `StoreUnavailable` where it cannot be read.
    """
    source = home.profiles
    if not isinstance(source, FeatureStoreProfiles):
        raise Misuse('there is no feature store to take facts from: name one in settings.toml (feature_store = "…")')
    who = home.customers.ids_of(sorted({each.token for _, _, each in found}))
    kept = [(*each, who[each[1].token]) for each in found if each[1].token in who]
    moments = [outcome.happened_at if decision is None else decision.made_at for decision, outcome, *_ in kept]
    known = source.known_then([(customer, at) for (*_, customer), at in zip(kept, moments, strict=True)])
    told = list[Found]()
    for (decision, outcome, each, customer), at, facts in zip(kept, moments, known, strict=True):
        values = customer_features(Profile(customer, outcome.token, facts), at=at)
        told.append((decision, outcome, replace(each, facts=values.tolist())))
    return told
