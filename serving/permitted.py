"""What may be shown to this customer here and now, and which of it a policy may choose among.

Four voices are asked and every word of theirs is kept: the rule pack of the customer's country, the
contact policy (how often), switches and bans (for now), and the caller itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import numpy as np

from embeddings.retrieval import Retriever
from recsys import features
from recsys.catalogue import Surface
from recsys.eligibility import RoutePath
from recsys.shelves import Candidates
from recsys.steering import Steering
from recsys.vocabulary import NOTHING, Decision, FactValue, ProductId, Profile, Verdicts
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
) -> Candidates:
    """The candidates among what is eligible, at most about `k` by retrieval; the null choice where it is one.

    No vector picks the person for advice-sensitive products (ADV-2): all that are eligible are candidates.
    So is whatever is pinned.
    """
    shelf = offer.shelves[path]
    rows = np.array([shelf.row_of[product] for product in eligible], dtype=np.intp)
    behind: list[int] = []  # whatever no vector chooses
    affinities = None
    if retriever is not None and path == "personalised":
        coarse = features.advice_sensitive_on(shelf)[rows]
        behind += [*rows[coarse].tolist(), *(shelf.row_of[product] for product in pinned)]
        fine = rows[~coarse] if behind else rows
        places, affinities = retriever.ranked(retriever.vector_of(profile), rows=retriever.rows_on(shelf)[fine], k=k)
        rows = fine[places]
        if behind:
            there = set(rows.tolist())
            behind = [row for row in dict.fromkeys(behind) if row not in there]
    if surface.null_allowed and (rows.size or behind) and path == "personalised":
        behind.append(shelf.row_of[NOTHING])
    if behind:
        rows = np.append(rows, behind)
    seen = features.seen_on(shelf, profile.contact, at=at)[rows] if path == "personalised" else None
    return Candidates(shelf, rows, affinities=affinities, seen=seen)
