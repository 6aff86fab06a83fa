"""A whole recommendation, without HTTP: one file that reads from top to bottom.

profile → verdicts → candidates → context → variant → policy in force → drawn slate → decision.
Everything called here returns a value of the vocabulary and never calls back. The decision is not
yet durable: the caller appends it and answers after its commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from bandits.baselines import StaticPolicy, UniformPolicy
from bandits.drawing import Drawn, MaskOf, draw_slate
from bandits.policy import Policy
from recsys import features
from recsys.assignment import dice, unit_of
from recsys.catalogue import Surface
from recsys.clocks import Clock
from recsys.eligibility import RoutePath
from recsys.layers import Layers, Placement
from recsys.vocabulary import (
    NOTHING,
    Assigned,
    Candidate,
    Context,
    Decision,
    Product,
    ProductId,
    Profile,
    Slot,
    Token,
    Versions,
)
from serving.live_policy import InForce, LivePolicies
from serving.offer import Offer
from serving.slates import Ask, mask_of, narrowed, shortfall_of, slots_of, surface_of

UNIFORM_SALT = "uniform-slice"
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
        new_id: Callable[[], str],
    ) -> None:
        self._live = live
        self._offer = offer
        self._layers = layers
        self._clock = clock
        self._traffic = traffic
        self._new_id = new_id

    def decide(self, ask: Ask, *, profile: Profile) -> Decision:
        """One decision. Raises `Misfit` for an unknown surface, too many slots or unknown products."""
        started = time.perf_counter_ns()
        at = self._clock.now()
        offer = self._offer()
        surface = surface_of(ask, offer=offer)
        household = profile.value("household_id")
        linked = household if isinstance(household, str) else None
        placement = self._layers().placed(profile.token, surface=ask.surface, at=at, household=linked)
        path = "broadcast" if placement.held_out else path_of(profile)
        products = offer.catalogue.products
        rules = offer.rules.of(profile)
        verdicts = rules.verdicts(profile, products=products, surface=ask.surface, at=at, path=path, given=ask.given)
        verdicts = narrowed(verdicts, ask=ask)
        eligible = verdicts.eligible()
        candidates = self._candidates(profile, eligible=eligible, offer=offer, path=path, surface=surface)
        context = features.context_of(profile, at=at, surface=ask.surface, given=ask.given)
        chosen = self._chosen(profile, placement=placement, path=path, offer=offer)
        decision_id = self._new_id()
        chosen, drawn = self._drawn(
            chosen,
            context,
            candidates,
            length=ask.slots,
            decision_id=decision_id,
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )
        slots = slots_of(drawn, candidates=candidates, context=context, path=path)
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
            ),
            facts=features.facts_used(profile),
            context=context,
            verdicts=verdicts,
            candidates=candidates,
            scores=drawn.scores,
            pmfs=drawn.pmfs,
            slots=slots,
            request_id=ask.request_id,
            unit=self._unit(profile, placement=placement, household=linked),
            shortfall=shortfall_of(ask, slots, offer=offer, eligible=eligible),
            retrieval=retriever.mode(retriever.vector_of(profile), n_eligible=len(eligible)) if retriever else "all",
            latency_us=(time.perf_counter_ns() - started) // 1000,
        )

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
        candidates = [_candidate(offer.catalogue.product(each), None, path="broadcast") for each in eligible]
        if not candidates:
            return ()
        drawn = draw_slate(
            _static(offer), Context(), candidates, length=ask.slots, decision_id="unlogged",
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )  # fmt: skip
        return slots_of(drawn, candidates=candidates, context=Context(), path="broadcast")

    # -- steps -------------------------------------------------------------------------------

    def _candidates(
        self, profile: Profile, *, eligible: Sequence[ProductId], offer: Offer, path: str, surface: Surface
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
        found = [_candidate(offer.catalogue.product(product), affinity, path=path) for product, affinity in proposed]
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
        mask_of: MaskOf,
    ) -> tuple[_Chosen, Drawn]:
        """Draw; where the policy fails, the fallback draws and is logged as itself."""
        if not candidates:
            return chosen, Drawn(np.zeros(0), np.zeros((0, 0)), (), ())
        try:
            drawn = draw_slate(
                chosen.policy, context, candidates, length=length, decision_id=decision_id, mask_of=mask_of
            )
        except Exception as error:  # whatever it was: the ladder answers, and the log says who drew
            logger.error("policy %s failed (%s): the fallback answers", chosen.policy.name, type(error).__name__)
            chosen = _Chosen(UniformPolicy(), "fallback:uniform", experiments=chosen.experiments)
            drawn = draw_slate(
                chosen.policy, context, candidates, length=length, decision_id=decision_id, mask_of=mask_of
            )
        return chosen, drawn

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


def _candidate(product: Product, affinity: float | None, *, path: str) -> Candidate:
    return features.candidate_of(product, affinity=affinity, path=path)


def _static(offer: Offer) -> StaticPolicy:
    return StaticPolicy(order=offer.catalogue.ids)


def _from(live: InForce, placement: Placement) -> _Chosen:
    return _Chosen(live.policy, "live", live.recipe, live.snapshot, placement.assigned)
