"""What may be shown to this customer here and now, and which of it a policy may choose among.

Four voices are asked and every word of theirs is kept: the rule pack of the customer's country, the
contact policy (how often), switches and bans (for now), and the caller itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from embeddings.retrieval import Retriever
from recsys import features
from recsys.catalogue import Surface
from recsys.eligibility import RoutePath
from recsys.steering import Steering
from recsys.vocabulary import (
    NO_CONTACT,
    NOTHING,
    Candidate,
    Decision,
    FactValue,
    Product,
    ProductId,
    Profile,
    Verdicts,
)
from serving.offer import Offer

_NOTHING_GIVEN: Mapping[str, FactValue] = MappingProxyType({})


def path_of(profile: Profile) -> RoutePath:
    """Whether profiling for promotion is allowed at all (MKT-1, MKT-2).

    A customer under a financial-crime hold gets the ordinary broadcast slate, which tells nothing (OPS-7).
    """
    permissions = profile.permissions
    allowed = permissions.in_app and permissions.objected_at is None
    return "personalised" if allowed and profile.value("status") != "fincrime_hold" else "broadcast"


def path_taken(decision: Decision) -> RoutePath:
    """The path that a decision took."""
    return "personalised" if decision.purpose == "promotion" else "broadcast"


def verdicts_of(
    profile: Profile,
    *,
    offer: Offer,
    steering: Steering,
    surface: str,
    at: datetime,
    path: RoutePath,
    given: Mapping[str, FactValue] = _NOTHING_GIVEN,
) -> Verdicts:
    """What rules, contact policy, switches and bans say of every product."""
    products, pack = offer.catalogue.products, offer.rules.of(profile)
    rules = pack.verdicts(profile, products=products, surface=surface, at=at, path=path, given=given)
    contact = offer.contact.verdicts(profile.contact, products=products, surface=surface, at=at, path=path)
    return steering.judged(rules.joined(contact), products=products, surface=surface, at=at)


def candidates_of(
    profile: Profile,
    *,
    eligible: Sequence[ProductId],
    offer: Offer,
    path: RoutePath,
    surface: Surface,
    at: datetime,
    k: int,
    retriever: Retriever | None,
    pinned: Sequence[ProductId] = (),
) -> tuple[Candidate, ...]:
    """The candidates among what is eligible, at most about `k` by retrieval; the null choice where it is one.

    No vector picks the person for advice-sensitive products (ADV-2): all that are eligible are candidates.
    So is whatever is pinned.
    """
    proposed: list[tuple[ProductId, float | None]]
    if retriever is None or path == "broadcast":
        proposed = [(product_id, None) for product_id in eligible]
    else:
        coarse = [each for each in eligible if _advice_sensitive(offer.catalogue.product(each))]
        fine = [each for each in eligible if each not in coarse] if coarse else eligible
        proposed = [*retriever.propose(retriever.vector_of(profile), eligible=fine, k=k)]
        there = {product for product, _ in proposed}
        proposed += [(product, None) for product in dict.fromkeys((*coarse, *pinned)) if product not in there]
    contact = NO_CONTACT if path == "broadcast" else profile.contact
    found = [
        features.candidate_of(offer.catalogue.product(product), affinity=affinity, contact=contact, at=at, path=path)
        for product, affinity in proposed
    ]
    if surface.null_allowed and found and path == "personalised":
        found.append(Candidate(NOTHING))
    return tuple(found)


def _advice_sensitive(product: Product) -> bool:
    return "advice_sensitive" in product.tags
