"""A whole recommendation, without HTTP: one file that reads from top to bottom.

profile → verdicts → candidates → context → variant → the ladder's policy → drawn slate → decision.
Everything called here returns a value of the vocabulary and never calls back. The decision is not
yet durable: the caller appends it and answers after its commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from bandits.adjusting import adjusted, among, pinned_by
from bandits.drawing import Drawn, draw_slate
from recsys import features
from recsys.assignment import dice, unit_of
from recsys.catalogue import Surface
from recsys.clocks import Clock
from recsys.eligibility import RoutePath
from recsys.layers import Layers, Placement
from recsys.steering import Steering
from recsys.vocabulary import (
    NOTHING,
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
from serving.ladder import EMPTY, UNIFORM, Ladder, Rung, climbed
from serving.offer import Offer
from serving.slates import Ask, mask_of, narrowed, shortfall_of, slots_of, surface_of

UNIFORM_SALT = "uniform-slice"
OFF = "everything is switched off for now"


@dataclass(frozen=True, slots=True)
class Traffic:
    """How customers are divided, and how long an answer holds."""

    champion: str
    uniform_share: float
    candidates: int
    decision_life: timedelta
    privacy_notice: str
    code: str


class Recommender:
    """Decides. Reads only immutable values, so it may be called from the event loop."""

    def __init__(
        self,
        *,
        ladder: Ladder,
        offer: Callable[[], Offer],
        layers: Callable[[], Layers],
        steering: Callable[[], Steering],
        clock: Clock,
        traffic: Traffic,
        new_id: Callable[[], str],
    ) -> None:
        self._ladder = ladder
        self._offer = offer
        self._layers = layers
        self._steering = steering
        self._clock = clock
        self._traffic = traffic
        self._new_id = new_id

    def decide(self, ask: Ask, *, profile: Profile | None) -> Decision:
        """One decision; without a profile, as nobody could say who asks, the list for everybody.

        Raises `Misfit` for an unknown surface, too many slots or unknown products.
        """
        started = time.perf_counter_ns()
        at = self._clock.now()
        offer, steering = self._offer(), self._steering()
        surface = surface_of(ask, offer=offer)
        stranger, profile = profile is None, profile or Profile(ask.customer_id, Token(""))
        household = profile.value("household_id")
        linked = household if isinstance(household, str) else None
        placement = Placement(held_out=False)
        if not stranger:
            placement = self._layers().placed(profile.token, surface=ask.surface, at=at, household=linked)
        path: RoutePath = "personalised" if _personal(profile) and not placement.held_out else "broadcast"
        products = offer.catalogue.products
        verdicts = offer.rules.verdicts(profile, products=products, surface=ask.surface, at=at, path=path)
        verdicts = steering.judged(verdicts, products=products, surface=ask.surface, at=at)
        verdicts = narrowed(verdicts, ask=ask)
        eligible = verdicts.eligible()
        moves = steering.moves(eligible, surface=ask.surface, at=at) if path == "personalised" else ()
        candidates = self._candidates(
            profile, eligible=eligible, offer=offer, path=path, surface=surface, pinned=pinned_by(moves)
        )
        moves = among(moves, candidates=candidates)
        context = features.context_of(profile, at=at, surface=ask.surface, given=ask.given)
        decision_id = self._new_id()
        mask = mask_of(candidates, offer=offer, surface=surface)

        def draw(rung: Rung) -> Drawn:
            if not candidates:
                return Drawn(np.zeros(0), np.zeros((0, 0)), (), ())
            policy = adjusted(rung.policy, overrides=moves) if rung.adjustable else rung.policy
            length = 0 if rung is EMPTY else ask.slots
            return draw_slate(policy, context, candidates, length=length, decision_id=decision_id, mask_of=mask)

        if steering.everything_off(at):
            rungs: Iterator[Rung] = iter(())
        elif stranger:
            rungs = iter([self._ladder.static(offer.catalogue.ids, mode="fallback:static")])
        else:
            rungs = self._rungs(profile, placement=placement, path=path, offer=offer)
        rung, drawn = climbed(rungs, steering=steering, at=at, draw=draw)
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
            mode=rung.mode,
            policy=rung.policy.name,
            purpose="promotion" if path == "personalised" else "service",
            permissions=profile.permissions,
            experiments=placement.assigned,
            versions=Versions(
                catalogue=offer.catalogue.digest,
                rule_pack=offer.rules.digest,
                features=features.VERSION,
                rewards=offer.rewards.digest,
                recipe=rung.recipe,
                snapshot=rung.snapshot,
                bundle=bundle,
                privacy_notice=self._traffic.privacy_notice,
                code=self._traffic.code,
            ),
            facts=features.facts_used(profile),
            context=context,
            verdicts=verdicts,
            candidates=candidates,
            scores=np.asarray(drawn.scores),
            pmfs=drawn.pmfs,
            slots=slots,
            request_id=ask.request_id,
            unit="" if stranger else self._unit(profile, placement=placement, household=linked),
            shortfall=OFF if steering.everything_off(at) else shortfall_of(ask, slots, offer=offer, eligible=eligible),
            retrieval=retriever.mode(retriever.vector_of(profile), n_eligible=len(eligible)) if retriever else "all",
            overrides=(*(moves if rung.adjustable else ()), *steering.bans(verdicts)),
            latency_us=(time.perf_counter_ns() - started) // 1000,
        )

    def unlogged(self, ask: Ask) -> tuple[tuple[Slot, ...], str | None]:
        """The approved static list: what everybody may see when nothing can be logged, and why it may be empty.

        Teaches nothing. Switches and bans hold as they were last seen.
        """
        offer, steering = self._offer(), self._steering()
        surface = surface_of(ask, offer=offer)
        at = self._clock.now()
        if steering.everything_off(at):
            return (), OFF
        nobody, products = Profile(ask.customer_id, Token("")), offer.catalogue.products
        verdicts = offer.rules.verdicts(nobody, products=products, surface=ask.surface, at=at, path="broadcast")
        verdicts = steering.judged(verdicts, products=products, surface=ask.surface, at=at)
        eligible = narrowed(verdicts, ask=ask).eligible()
        candidates = [_candidate(offer.catalogue.product(each), None, path="broadcast") for each in eligible]
        static = self._ladder.static(offer.catalogue.ids, mode="fallback:unlogged").policy
        if not candidates or not steering.lets_draw(static.name, at=at):
            return (), None
        drawn = draw_slate(
            static, Context(), candidates, length=ask.slots, decision_id="unlogged",
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )  # fmt: skip
        return slots_of(drawn, candidates=candidates, context=Context(), path="broadcast"), None

    # -- steps -------------------------------------------------------------------------------

    def _candidates(
        self,
        profile: Profile,
        *,
        eligible: Sequence[ProductId],
        offer: Offer,
        path: str,
        surface: Surface,
        pinned: Sequence[ProductId],
    ) -> tuple[Candidate, ...]:
        if offer.retriever is None or path == "broadcast":
            proposed: Sequence[tuple[ProductId, float | None]] = [(product_id, None) for product_id in eligible]
        else:
            vector = offer.retriever.vector_of(profile)
            proposed = offer.retriever.propose(vector, eligible=eligible, k=self._traffic.candidates)
        missing = set(pinned).difference(product for product, _ in proposed)
        proposed = [*proposed, *((product, None) for product in pinned if product in missing)]
        found = [_candidate(offer.catalogue.product(product), affinity, path=path) for product, affinity in proposed]
        if surface.null_allowed and found and path == "personalised":
            found.append(Candidate(NOTHING))
        return tuple(found)

    def _rungs(self, profile: Profile, *, placement: Placement, path: str, offer: Offer) -> Iterator[Rung]:
        """Who may draw, best first: hold-out, broadcast, uniform slice, then the ladder of variant or champion."""
        if placement.held_out or path == "broadcast":
            yield self._ladder.static(offer.catalogue.ids, mode="holdout" if placement.held_out else "broadcast")
            return
        if not placement.assigned and dice(profile.token, salt=UNIFORM_SALT) < self._traffic.uniform_share:
            yield UNIFORM
        yield from self._ladder.rungs(placement.recipe or self._traffic.champion, order=offer.catalogue.ids)

    def _unit(self, profile: Profile, *, placement: Placement, household: str | None) -> str:
        layers = self._layers()
        units = {experiment.experiment_id: experiment.unit for experiment in layers.experiments}
        unit = units[placement.assigned[0].experiment_id] if placement.assigned else "household"
        return unit_of(profile.token, unit=unit, household=household, salt=layers.holdout_salt)


def _personal(profile: Profile) -> bool:
    """Whether profiling for promotion is allowed at all (MKT-1, MKT-2).

    A customer under a financial-crime hold gets the ordinary broadcast slate, which tells nothing (OPS-7).
    """
    permissions = profile.permissions
    allowed = permissions.in_app and permissions.objected_at is None
    return allowed and profile.value("status") != "fincrime_hold"


def _candidate(product: Product, affinity: float | None, *, path: str) -> Candidate:
    return features.candidate_of(product, affinity=affinity, path=path)
