"""A whole recommendation, without HTTP: one file that reads from top to bottom.

profile → verdicts → candidates → context → variant → the ladder's policy → drawn slate → reasons → decision.
Everything called here returns a value of the vocabulary and never calls back. The decision is not
yet durable: the caller appends it and answers after its commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np

from bandits.adjusting import adjusted, among, pinned_by
from bandits.drawing import Drawn, draw_slate
from bandits.policy import Policy
from recsys import features, touches
from recsys.assignment import dice, unit_of
from recsys.clocks import Clock
from recsys.contact import Reservation
from recsys.layers import Layers, Placement
from recsys.shelves import Candidates
from recsys.steering import Steering
from recsys.terms import Terms
from recsys.vocabulary import (
    NOTHING,
    Context,
    CustomerId,
    Decision,
    ProductId,
    Profile,
    Shadow,
    Slot,
    Token,
    Versions,
)
from serving.explanations import Explainer
from serving.finding import rung_of, sought
from serving.ladder import EMPTY, UNIFORM, Ladder, Rung, Standing, climbed
from serving.offer import Offer
from serving.permitted import candidates_of, path_of, path_taken, verdicts_of
from serving.slates import (
    OFF,
    UNSETTLED,
    WITHDRAWN,
    Ask,
    mask_of,
    narrowed,
    promoting_nothing,
    refusing_all,
    shortfall_of,
    slots_of,
    surface_of,
)

UNIFORM_SALT = "uniform-slice"
MOST_REDRAWS = 4
"""How often a slate is drawn anew where what may be shown changed meanwhile; then nothing is shown."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How customers are divided, and how long an answer holds."""

    champion: str
    uniform_share: float
    candidates: int
    decision_life: timedelta
    privacy_notice: str
    code: str
    terms: Terms  # how long decisions are kept
    shadows: tuple[str, ...] = ()  # recipes that decide beside the live one and are never shown
    search_model: Path | None = None  # a sentence-transformers directory, in place of the lexical text vectors


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
        explainer: Explainer,
        new_id: Callable[[], str],
    ) -> None:
        self._ladder = ladder
        self._offer = offer
        self._layers = layers
        self._steering = steering
        self._clock = clock
        self._traffic = traffic
        self._explainer = explainer
        self.new_id = new_id

    def decide(self, ask: Ask, *, profile: Profile | None, decision_id: str = "", redraws: int = 0) -> Decision:
        """One decision; without a profile, as nobody could say who asks, the list for everybody.

        A slate that is drawn anew keeps its `decision_id` and throws other dice. After `MOST_REDRAWS` it
        is empty and says so. Raises `Misfit` for an unknown surface, too many slots or unknown products.
        """
        started = time.perf_counter_ns()
        at = self._clock.now()
        offer, steering = self._offer(), self._steering()
        surface = surface_of(ask, offer=offer)
        stranger, profile = profile is None, profile or Profile(ask.customer_id, Token(""))
        placement, unit = Placement(held_out=False), ""
        if not stranger:
            placement, unit = self._placed(profile, surface=ask.surface)
        if ask.query is not None:  # no experiment chooses for whoever says what they look for
            placement = Placement(placement.held_out)
        path = "broadcast" if placement.held_out else path_of(profile)
        standing = self._ladder.standing(placement.recipe or self._traffic.champion)
        retriever = standing.retriever or offer.retriever
        verdicts = verdicts_of(
            profile, offer=offer, steering=steering, surface=ask.surface, at=at, path=path, given=ask.given
        )
        if stranger:
            verdicts = verdicts.joined(promoting_nothing(offer.catalogue.products))
        verdicts = narrowed(verdicts, ask=ask)
        if redraws > MOST_REDRAWS:
            verdicts = verdicts.joined(refusing_all(verdicts.products))
        eligible = verdicts.eligible()
        fitting = None if ask.query is None else self._sought(ask.query, eligible=eligible, offer=offer)
        proposable = eligible if fitting is None else tuple(fitting)
        moves = steering.moves(eligible, surface=ask.surface, at=at) if path == "personalised" else ()
        candidates = candidates_of(
            profile, eligible=proposable, offer=offer, path=path, surface=surface, at=at,
            k=self._traffic.candidates, pinned=pinned_by(moves), retriever=retriever,
        )  # fmt: skip
        moves = among(moves, candidates=candidates)
        context = features.context_of(profile, at=at, surface=ask.surface, given=ask.given)
        decision_id = decision_id or self.new_id()
        mask = mask_of(candidates, offer=offer, surface=surface)

        def draw(rung: Rung) -> Drawn:
            if not candidates:
                return Drawn(np.zeros(0), np.zeros((0, 0)), (), ())
            policy = adjusted(rung.policy, overrides=moves) if rung.adjustable else rung.policy
            length = 0 if rung is EMPTY else ask.slots
            return draw_slate(
                policy, context, candidates, length=length, decision_id=decision_id, redraws=redraws, mask_of=mask
            )

        off = steering.everything_off(at)
        rungs: Iterator[Rung] = iter(())
        if not off:
            rungs = self._rungs(profile, placement=placement, path=path, stranger=stranger, standing=standing)
        if fitting is not None and not off:
            rungs = iter((rung_of(fitting),))

        def permits(rung: Rung) -> bool:
            classes = partial(_classes, candidates, offer=offer)
            in_service = steering.lets_draw(rung.policy.name, at=at)
            return in_service and self._ladder.permits(rung, surface=ask.surface, classes=classes)

        rung, drawn = climbed(rungs, permits=permits, draw=draw)
        took_us = (time.perf_counter_ns() - started) // 1000
        shadows: tuple[Shadow, ...] = ()
        if self._traffic.shadows and rung.mode == "live" and path == "personalised" and candidates and fitting is None:
            beside = partial(self._ladder.beside, retriever=retriever)
            shadows = tuple(self._beside(rung, beside=beside, permits=permits, draw=draw, candidates=candidates))
        started = time.perf_counter_ns()
        facts = features.facts_used(profile)
        moves = moves if rung.adjustable else ()
        reasons = self._explainer.reasons(
            drawn, policy=rung.policy, context=context, candidates=candidates, catalogue=offer.catalogue,
            facts=facts, path=path, pinned=pinned_by(moves),
        )  # fmt: skip
        slots = slots_of(drawn, candidates=candidates, reasons=reasons)
        told = retriever is not None and not np.isnan(candidates.affinities).all()
        short = OFF if off else UNSETTLED if redraws > MOST_REDRAWS else None
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
                rule_pack=offer.rules.of(profile).digest,
                features=features.VERSION,
                rewards=offer.rewards.digest,
                recipe=rung.recipe,
                snapshot=rung.snapshot,
                bundle=retriever.digest if retriever is not None and told else "",
                privacy_notice=self._traffic.privacy_notice,
                code=self._traffic.code,
                contact=offer.contact.digest,
                reasons=self._explainer.vocabulary.digest,
            ),
            facts=facts,
            context=context,
            verdicts=verdicts,
            candidates=candidates,
            scores=np.asarray(drawn.scores),
            pmfs=drawn.pmfs,
            slots=slots,
            redraws=redraws,
            request_id=ask.request_id,
            unit=unit,
            shortfall=short or shortfall_of(ask, slots, offer=offer, eligible=eligible, held_out=placement.held_out),
            retrieval=retriever.mode(retriever.vector_of(profile), n_eligible=len(proposable)) if retriever else "all",
            overrides=(*moves, *steering.bans(verdicts)),
            retention=self._traffic.terms.of(
                offer.catalogue.product(slot.product_id).regulated_class for slot in slots if slot.product_id != NOTHING
            ),
            latency_us=took_us + (time.perf_counter_ns() - started) // 1000,
            shadows=shadows,
        )

    def reservation(self, decision: Decision, *, profile: Profile | None) -> Reservation | None:
        """What must still hold when the decision is written; None where nobody is known, or for the last redraw."""
        if profile is None or decision.redraws > MOST_REDRAWS:
            return None
        offer = self._offer()
        return Reservation(
            profile.told, profile.contact.version, offer.contact, offer.catalogue.products, path_taken(decision)
        )

    def repeated(self, decision: Decision, *, profile: Profile | None) -> Decision:
        """An answer that is given again: as it was, or empty where a rule now refuses what it showed (OPS-3).

        What the decision itself did to the customer's contact does not count against it.
        """
        path, profile = path_taken(decision), profile or Profile(CustomerId(""), Token(""))
        if path == "broadcast" or path_of(profile) == path:
            before = touches.without(profile.contact, decision_id=decision.decision_id)
            verdicts = verdicts_of(
                replace(profile, contact=before),
                offer=self._offer(),
                steering=self._steering(),
                surface=decision.surface,
                at=self._clock.now(),
                path=path,
            )
            if {slot.product_id for slot in decision.shown} <= set(verdicts.eligible()):
                return decision
        return replace(decision, slots=(), shortfall=WITHDRAWN)

    def unlogged(self, ask: Ask) -> tuple[tuple[Slot, ...], str | None]:
        """The approved static list: what everybody may see when nothing can be logged, and why it may be empty.

        Teaches nothing. Switches and bans hold as they were last seen.
        """
        offer, steering, at = self._offer(), self._steering(), self._clock.now()
        surface = surface_of(ask, offer=offer)
        if steering.everything_off(at):
            return (), OFF
        nobody = Profile(ask.customer_id, Token(""))
        verdicts = verdicts_of(nobody, offer=offer, steering=steering, surface=ask.surface, at=at, path="broadcast")
        verdicts = verdicts.joined(promoting_nothing(offer.catalogue.products))
        eligible = narrowed(verdicts, ask=ask).eligible()
        policy: Policy = self._ladder.static(offer.catalogue.ids, mode="fallback:unlogged").policy
        if ask.query is not None:
            fitting = self._sought(ask.query, eligible=eligible, offer=offer)
            eligible, policy = tuple(fitting), rung_of(fitting).policy
        candidates = candidates_of(
            nobody,
            eligible=eligible,
            offer=offer,
            path="broadcast",
            surface=surface,
            at=at,
            k=len(eligible),
            retriever=None,
        )
        if not candidates or not steering.lets_draw(policy.name, at=at):
            return (), None
        drawn = draw_slate(
            policy, Context(), candidates, length=ask.slots, decision_id="unlogged",
            mask_of=mask_of(candidates, offer=offer, surface=surface),
        )  # fmt: skip
        products = [offer.catalogue.product(candidates.ids[row]) for row in drawn.rows]
        reasons = [self._explainer.everyone(product) for product in products]
        return slots_of(drawn, candidates=candidates, reasons=reasons), None

    # -- steps -------------------------------------------------------------------------------

    def _sought(self, query: str, *, eligible: Sequence[ProductId], offer: Offer) -> Mapping[ProductId, float]:
        return sought(query, eligible=eligible, catalogue=offer.catalogue, model=self._traffic.search_model)

    def _placed(self, profile: Profile, *, surface: str) -> tuple[Placement, str]:
        """Where experiments and hold-out put the customer, and the unit that they assign."""
        layers, household = self._layers(), profile.value("household_id")
        linked = household if isinstance(household, str) else None
        placement = layers.placed(profile.token, surface=surface, at=self._clock.now(), household=linked)
        units = {experiment.experiment_id: experiment.unit for experiment in layers.experiments}
        kinds = {units[assigned.experiment_id] for assigned in placement.assigned}
        unit = "customer" if kinds == {"customer"} else "household"
        return placement, unit_of(profile.token, unit=unit, household=linked, salt=layers.holdout_salt)

    def _beside(
        self,
        live: Rung,
        *,
        beside: Callable[[str], Rung | None],
        permits: Callable[[Rung], bool],
        draw: Callable[[Rung], Drawn],
        candidates: Candidates,
    ) -> Iterator[Shadow]:
        """What each recipe in the shadow draws, with the same dice; one that fails says so and harms nobody."""
        for name in self._traffic.shadows:
            rung = beside(name)
            if rung is None or rung.snapshot == live.snapshot or not permits(rung):
                continue
            started, slots, failed = time.perf_counter_ns(), list[tuple[ProductId, float]](), ""
            try:
                drawn = draw(rung)
                slots = [
                    (candidates.ids[row], chance) for row, chance in zip(drawn.rows, drawn.propensities, strict=True)
                ]
            except Exception as error:  # whatever it was: that it happened is what shadow mode is for
                failed = type(error).__name__
            took_us = (time.perf_counter_ns() - started) // 1000
            yield Shadow(rung.policy.name, rung.recipe, rung.snapshot, tuple(slots), took_us, failed)

    def _rungs(
        self, profile: Profile, *, placement: Placement, path: str, stranger: bool, standing: Standing
    ) -> Iterator[Rung]:
        """Who may draw, best first: hold-out, broadcast, uniform slice, then the ladder of variant or champion."""
        order = self._offer().catalogue.ids
        if stranger:
            yield self._ladder.static(order, mode="fallback:static")
            return
        if placement.held_out or path == "broadcast":
            yield self._ladder.static(order, mode="holdout" if placement.held_out else "broadcast")
            return
        if not placement.assigned and dice(profile.token, salt=UNIFORM_SALT) < self._traffic.uniform_share:
            yield UNIFORM
        yield from self._ladder.rungs(placement.recipe or self._traffic.champion, order=order, standing=standing)


def _classes(candidates: Candidates, *, offer: Offer) -> set[str]:
    """The regulated classes of some candidates."""
    return {offer.catalogue.product(product).regulated_class for product in candidates.ids if product != NOTHING}
