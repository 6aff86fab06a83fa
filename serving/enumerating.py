"""Who drew a logged decision and what could have stood above each place, where both are still known."""

from __future__ import annotations

from collections import Counter, OrderedDict

from bandits.marginals import MOST_PLACES, Prefixes, prefixes_of
from bandits.policy import Policy
from recsys.vocabulary import NOTHING, Decision
from serving.bootstrap import Installation
from serving.receipts import Snapshots
from serving.slates import mask_of

_KEPT = 256  # lists of candidates, each with its masks


class Enumerating:
    """Call it with a decision; let it meet all of them first, and it says whether it will know every one."""

    def __init__(self, home: Installation, *, places: int | None) -> None:
        self._snapshots = Snapshots(home.live)
        self._offer = home.offers.current
        self._places = places
        self._kept: OrderedDict[tuple[object, ...], Prefixes] = OrderedDict()
        self._unknown: Counter[str] = Counter()

    def meets(self, decision: Decision) -> None:
        """Note whether a decision can be enumerated."""
        if self._places != 1 and (why := self._why_not(decision)):
            self._unknown[why] += 1

    @property
    def why_not(self) -> str:
        """Why some decision cannot be enumerated, "" where all can."""
        return "; ".join(f"{n:,} decisions {why}" for why, n in self._unknown.most_common())

    def __call__(self, decision: Decision) -> tuple[Policy, Prefixes] | None:
        """The policy that drew, and its prefixes."""
        policy = self._snapshots.policy_of(decision)
        if policy is None or self._why_not(decision):
            return None
        products = tuple(candidate.product_id for candidate in decision.candidates)
        key = (decision.surface, products, decision.n_slots)
        if key not in self._kept:
            surface = self._offer.catalogue.surfaces[decision.surface]
            mask = mask_of(decision.candidates, offer=self._offer, surface=surface)
            self._kept[key] = prefixes_of(decision.candidates, mask_of=mask, length=min(decision.n_slots, MOST_PLACES))
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return policy, self._kept[key]

    def _why_not(self, decision: Decision) -> str:
        catalogue = self._offer.catalogue
        if decision.n_slots > MOST_PLACES:
            return f"have more than {MOST_PLACES} slots"
        if decision.versions.catalogue != catalogue.digest or decision.surface not in catalogue.surfaces:
            return "were made with another catalogue"
        if any(c.product_id != NOTHING and c.product_id not in catalogue for c in decision.candidates):
            return "were made with another catalogue"
        return "" if self._snapshots.policy_of(decision) is not None else "were drawn by a snapshot that is gone"
