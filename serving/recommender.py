"""A whole recommendation, without HTTP: one file that reads from top to bottom.

profile → verdicts → candidates → context → variant → policy in force → drawn slate → decision.
Everything called here returns a value of the vocabulary and never calls back. The decision is not
yet durable: the caller appends it and answers after its commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import Drawn, MaskOf, draw_slate
from bandits.policy import Policy
from recsys import features, touches
from recsys.assignment import dice, unit_of
from recsys.catalogue import Surface
from recsys.clocks import Clock
from recsys.contact import Reservation
from recsys.eligibility import RoutePath
from recsys.layers import Layers, Placement
from recsys.vocabulary import (
    NO_CONTACT,
    NOTHING,
    Assigned,
    Candidate,
    Context,
    Decision,
    FactValue,
    Product,
    ProductId,
    Profile,
    Slot,
    Token,
    Verdicts,
    Versions,
)
from serving.explanations import Explainer
from serving.live_policy import InForce, LivePolicies
from serving.offer import Offer
from serving.slates import (
    UNSETTLED,
    WITHDRAWN,
    Ask,
    mask_of,
    narrowed,
    refusing_all,
    shortfall_of,
    slots_of,
    surface_of,
)

UNIFORM_SALT = "uniform-slice"
_NOTHING_GIVEN: Mapping[str, FactValue] = MappingProxyType({})
MOST_REDRAWS = 4
"""How often a slate is drawn anew where what may be shown changed meanwhile; then nothing is shown."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Traffic:
    """How customers are divided, and how long an answer holds."""

    champion: str
    uniform_share: float
    candidates: int
    decision_life: timedelta
    privacy_notice: str
    code: str


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The policy that answers, under which mode, and the digests to log."""

    policy: Policy
    mode: str
    recipe: str = ""
    snapshot: str = ""
    experiments: tuple[Assigned, ...] = ()


class Recommender:
    """Decides. Reads only immutable values, so it may be called from the event loop."""

    def __init__(
        self,
        *,
        live: LivePolicies,
        offer: Callable[[], Offer],
        layers: Callable[[], Layers],
        clock: Clock,
        traffic: Traffic,
        explainer: Explainer,
        new_id: Callable[[], str],
    ) -> None:
        self._live = live
        self._offer = offer
        self._layers = layers
        self._clock = clock
        self._traffic = traffic
        self._explainer = explainer
        self._new_id = new_id

    def decide(self, ask: Ask, *, profile: Profile, decision_id: str = "", redraws: int = 0) -> Decision:
        """One decision. Raises `Misfit` for an unknown surface, too many slots or unknown products.

        A slate that is drawn anew keeps its `decision_id` and throws other dice. After `MOST_REDRAWS` it
        is empty and says so.
        """
        started = time.perf_counter_ns()
        at = self._clock.now()
        offer = self._offer()
        surface = surface_of(ask, offer=offer)
        household = profile.value("household_id")
        linked = household if isinstance(household, str) else None
        placement = self._layers().placed(profile.token, surface=ask.surface, at=at, household=linked)
        path = "broadcast" if placement.held_out else path_of(profile)
        rules = offer.rules.of(profile)
        verdicts = _verdicts(profile, offer=offer, surface=ask.surface, at=at, path=path, given=ask.given)
        verdicts = narrowed(verdicts, ask=ask)
        if redraws > MOST_REDRAWS:
            verdicts = verdicts.joined(refusing_all(verdicts.products))
        eligible = verdicts.eligible()
        candidates = self._candidates(profile, eligible=eligible, offer=offer, path=path, surface=surface, at=at)
        context = features.context_of(profile, at=at, surface=ask.surface, given=ask.given)
        chosen = self._chosen(profile, placement=placement, path=path, offer=offer)
        decision_id = decision_id or self._new_id()
        chosen, drawn = self._drawn(
            chosen,
            context,
            candidates,
            length=ask.slots,
            decision_id=decision_id,
            redraws=redraws,
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )
        facts = features.facts_used(profile)
        reasons = self._explainer.reasons(
            drawn, policy=chosen.policy, context=context, candidates=candidates, catalogue=offer.catalogue,
            facts=facts, path=path,
        )  # fmt: skip
        slots = slots_of(drawn, candidates=candidates, reasons=reasons)
        retriever = offer.retriever
        bundle = retriever.digest if retriever and any(c.affinity is not None for c in candidates) else ""
        return Decision(
            decision_id=decision_id,
            token=profile.token,
            surface=ask.surface,
            made_at=at,
            expires_at=at + self._traffic.decision_life,
            n_slots=ask.slots,
            mode=chosen.mode,
            policy=chosen.policy.name,
            purpose="promotion" if path == "personalised" else "service",
            permissions=profile.permissions,
            experiments=chosen.experiments,
            versions=Versions(
                catalogue=offer.catalogue.digest,
                rule_pack=rules.digest,
                features=features.VERSION,
                rewards=offer.rewards.digest,
                recipe=chosen.recipe,
                snapshot=chosen.snapshot,
                bundle=bundle,
                privacy_notice=self._traffic.privacy_notice,
                code=self._traffic.code,
                contact=offer.contact.digest,
                reasons=self._explainer.vocabulary.digest,
            ),
            facts=facts,
            context=context,
            verdicts=verdicts,
            candidates=candidates,
            scores=drawn.scores,
            pmfs=drawn.pmfs,
            slots=slots,
            redraws=redraws,
            request_id=ask.request_id,
            unit=self._unit(profile, placement=placement, household=linked),
            shortfall=UNSETTLED if redraws > MOST_REDRAWS else shortfall_of(ask, slots, offer=offer, eligible=eligible),
            retrieval=retriever.mode(retriever.vector_of(profile), n_eligible=len(eligible)) if retriever else "all",
            latency_us=(time.perf_counter_ns() - started) // 1000,
        )

    def reservation(self, decision: Decision, *, profile: Profile) -> Reservation | None:
        """What must still hold when the decision is written; None for the empty slate of the last redraw."""
        if decision.redraws > MOST_REDRAWS:
            return None
        offer = self._offer()
        return Reservation(
            profile.told, profile.contact.version, offer.contact, offer.catalogue.products, _path_of(decision)
        )

    def repeated(self, decision: Decision, *, profile: Profile) -> Decision:
        """An answer that is given again: as it was, or empty where a rule now refuses what it showed (OPS-3).

        What the decision itself did to the customer's contact does not count against it.
        """
        path = _path_of(decision)
        if path == "broadcast" or path_of(profile) == path:
            before = touches.without(profile.contact, decision_id=decision.decision_id)
            verdicts = _verdicts(
                replace(profile, contact=before),
                offer=self._offer(),
                surface=decision.surface,
                at=self._clock.now(),
                path=path,
            )
            if {slot.product_id for slot in decision.shown} <= set(verdicts.eligible()):
                return decision
        return replace(decision, slots=(), shortfall=WITHDRAWN)

    def unlogged(self, ask: Ask) -> tuple[Slot, ...]:
        """The approved static list: what everybody may see when nothing can be logged. Teaches nothing."""
        offer = self._offer()
        surface = surface_of(ask, offer=offer)
        at = self._clock.now()
        nobody = Profile(ask.customer_id, Token(""))
        verdicts = offer.rules.of(nobody).verdicts(
            nobody, products=offer.catalogue.products, surface=ask.surface, at=at, path="broadcast"
        )
        eligible = narrowed(verdicts, ask=ask).eligible()
        candidates = [features.candidate_of(offer.catalogue.product(each), path="broadcast") for each in eligible]
        if not candidates:
            return ()
        drawn = draw_slate(
            _static(offer), Context(), candidates, length=ask.slots, decision_id="unlogged",
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )  # fmt: skip
        products = [offer.catalogue.product(candidates[row].product_id) for row in drawn.rows]
        return slots_of(drawn, candidates=candidates, reasons=[self._explainer.everyone(each) for each in products])

    # -- steps -------------------------------------------------------------------------------

    def _candidates(
        self,
        profile: Profile,
        *,
        eligible: Sequence[ProductId],
        offer: Offer,
        path: str,
        surface: Surface,
        at: datetime,
    ) -> tuple[Candidate, ...]:
        if offer.retriever is None or path == "broadcast":
            proposed: Sequence[tuple[ProductId, float | None]] = [(product_id, None) for product_id in eligible]
        else:
            vector = offer.retriever.vector_of(profile)
            coarse = [each for each in eligible if _advice_sensitive(offer.catalogue.product(each))]
            fine = [each for each in eligible if each not in coarse] if coarse else eligible
            proposed = [
                *offer.retriever.propose(vector, eligible=fine, k=self._traffic.candidates),
                *((product_id, None) for product_id in coarse),  # no vector picks the person (ADV-2)
            ]
        contact = NO_CONTACT if path == "broadcast" else profile.contact
        found = [
            features.candidate_of(
                offer.catalogue.product(product), affinity=affinity, contact=contact, at=at, path=path
            )
            for product, affinity in proposed
        ]
        if surface.null_allowed and found and path == "personalised":
            found.append(Candidate(NOTHING))
        return tuple(found)

    def _chosen(self, profile: Profile, *, placement: Placement, path: str, offer: Offer) -> _Chosen:
        """Which policy answers: hold-out, broadcast, uniform slice, experiment or champion, in this order."""
        if placement.held_out:
            return _Chosen(_static(offer), "holdout")
        if path == "broadcast":
            return _Chosen(_static(offer), "broadcast", experiments=placement.assigned)
        uniform = dice(profile.token, salt=UNIFORM_SALT) < self._traffic.uniform_share
        if uniform and not placement.assigned:
            return _Chosen(UniformPolicy(), "live")
        live = self._live.policy(placement.recipe or self._traffic.champion)
        if live is None:
            return _Chosen(UniformPolicy(), "fallback:uniform", experiments=placement.assigned)
        return _from(live, placement)

    def _drawn(
        self,
        chosen: _Chosen,
        context: Context,
        candidates: Sequence[Candidate],
        *,
        length: int,
        decision_id: str,
        redraws: int,
        mask_of: MaskOf,
    ) -> tuple[_Chosen, Drawn]:
        """Draw; where the policy fails, the fallback draws and is logged as itself."""
        if not candidates:
            return chosen, Drawn(np.zeros(0), np.zeros((0, 0)), (), ())

        def drawn_by(policy: Policy) -> Drawn:
            return draw_slate(
                policy, context, candidates, length=length, decision_id=decision_id, redraws=redraws, mask_of=mask_of
            )

        try:
            return chosen, drawn_by(chosen.policy)
        except Exception as error:  # whatever it was: the ladder answers, and the log says who drew
            logger.error("policy %s failed (%s): the fallback answers", chosen.policy.name, type(error).__name__)
            chosen = _Chosen(UniformPolicy(), "fallback:uniform", experiments=chosen.experiments)
            return chosen, drawn_by(chosen.policy)

    def _unit(self, profile: Profile, *, placement: Placement, household: str | None) -> str:
        layers = self._layers()
        units = {experiment.experiment_id: experiment.unit for experiment in layers.experiments}
        unit = units[placement.assigned[0].experiment_id] if placement.assigned else "household"
        return unit_of(profile.token, unit=unit, household=household, salt=layers.holdout_salt)


def path_of(profile: Profile) -> RoutePath:
    """Whether a slate may be made for this person at all: profiling for promotion is allowed (MKT-1, MKT-2).

    A customer under a financial-crime hold gets the ordinary broadcast slate, which tells nothing (OPS-7).
    """
    permissions = profile.permissions
    allowed = permissions.in_app and permissions.objected_at is None
    return "personalised" if allowed and profile.value("status") != "fincrime_hold" else "broadcast"


def _advice_sensitive(product: Product) -> bool:
    return "advice_sensitive" in product.tags


def _verdicts(
    profile: Profile,
    *,
    offer: Offer,
    surface: str,
    at: datetime,
    path: RoutePath,
    given: Mapping[str, FactValue] = _NOTHING_GIVEN,
) -> Verdicts:
    """What the rule pack of the customer's country and then the contact policy say of every product."""
    products, pack = offer.catalogue.products, offer.rules.of(profile)
    rules = pack.verdicts(profile, products=products, surface=surface, at=at, path=path, given=given)
    return rules.joined(offer.contact.verdicts(profile.contact, products=products, surface=surface, at=at, path=path))


def _path_of(decision: Decision) -> RoutePath:
    return "personalised" if decision.purpose == "promotion" else "broadcast"


def _static(offer: Offer) -> StaticPolicy:
    return StaticPolicy(order=offer.catalogue.ids)


def _from(live: InForce, placement: Placement) -> _Chosen:
    return _Chosen(live.policy, "live", live.recipe, live.snapshot, placement.assigned)
