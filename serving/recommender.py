"""A whole recommendation, without HTTP: one file that reads from top to bottom.

profile → verdicts → candidates → context → variant → policy in force → drawn slate → decision.
Everything called here returns a value of the vocabulary and never calls back. The decision is not
yet durable: the caller appends it and answers after its commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

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
    Bools,
    Candidate,
    Context,
    CustomerId,
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
from serving.explanations import EVERYBODY, reason_of
from serving.live_policy import InForce, LivePolicies
from serving.misfits import Misfit
from serving.offer import Offer

UNIFORM_SALT = "uniform-slice"
ASKED = "ASKED"  # the verdict column of what the caller itself left out
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants to know."""

    customer_id: CustomerId
    surface: str
    slots: int
    given: Mapping[str, FactValue] = field(default_factory=lambda: MappingProxyType({}))
    request_id: str | None = None
    candidates: tuple[ProductId, ...] | None = None
    exclude: tuple[ProductId, ...] = ()


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
        surface = _surface(ask, offer)
        household = profile.value("household_id")
        linked = household if isinstance(household, str) else None
        placement = self._layers().placed(profile.token, surface=ask.surface, at=at, household=linked)
        path: RoutePath = "personalised" if _personal(profile) and not placement.held_out else "broadcast"
        products = offer.catalogue.products
        verdicts = offer.rules.verdicts(profile, products=products, surface=ask.surface, at=at, path=path)
        verdicts = _asked(verdicts, ask, offer)
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
            mask_of=_mask(candidates, offer, surface),
        )
        slots = _slots(drawn, candidates, context, path=path)
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
                rule_pack=offer.rules.digest,
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
            shortfall=_shortfall(ask, slots, offer=offer, eligible=eligible),
            retrieval=retriever.mode(retriever.vector_of(profile), n_eligible=len(eligible)) if retriever else "all",
            latency_us=(time.perf_counter_ns() - started) // 1000,
        )

    def unlogged(self, ask: Ask) -> tuple[Slot, ...]:
        """The approved static list: what everybody may see when nothing can be logged. Teaches nothing."""
        offer = self._offer()
        surface = _surface(ask, offer)
        at = self._clock.now()
        nobody = Profile(ask.customer_id, Token(""))
        verdicts = offer.rules.verdicts(
            nobody, products=offer.catalogue.products, surface=ask.surface, at=at, path="broadcast"
        )
        eligible = _asked(verdicts, ask, offer).eligible()
        candidates = [_candidate(offer.catalogue.product(each), None, path="broadcast") for each in eligible]
        if not candidates:
            return ()
        drawn = draw_slate(
            _static(offer), Context(), candidates, length=ask.slots, decision_id="unlogged",
            mask_of=_mask(candidates, offer, surface),
        )  # fmt: skip
        return _slots(drawn, candidates, Context(), path="broadcast")

    # -- steps -------------------------------------------------------------------------------

    def _candidates(
        self, profile: Profile, *, eligible: Sequence[ProductId], offer: Offer, path: str, surface: Surface
    ) -> tuple[Candidate, ...]:
        if offer.retriever is None or path == "broadcast":
            proposed: Sequence[tuple[ProductId, float | None]] = [(product_id, None) for product_id in eligible]
        else:
            vector = offer.retriever.vector_of(profile)
            proposed = offer.retriever.propose(vector, eligible=eligible, k=self._traffic.candidates)
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


def _personal(profile: Profile) -> bool:
    """Whether profiling for promotion is allowed at all (MKT-1, MKT-2).

    A customer under a financial-crime hold gets the ordinary broadcast slate, which tells nothing (OPS-7).
    """
    permissions = profile.permissions
    allowed = permissions.in_app and permissions.objected_at is None
    return allowed and profile.value("status") != "fincrime_hold"


def _surface(ask: Ask, offer: Offer) -> Surface:
    surfaces = offer.catalogue.surfaces
    if not surfaces:  # an empty home answers with an empty slate that says why
        return Surface(ask.surface, max_slots=ask.slots, null_allowed=False, per_family=ask.slots)
    surface = surfaces.get(ask.surface)
    if surface is None:
        raise Misfit(f'"{ask.surface}" is no surface: the catalogue knows {", ".join(surfaces)}', at=("surface",))
    if ask.slots > surface.max_slots:
        raise Misfit(f"{ask.surface} has at most {surface.max_slots} slots, not {ask.slots}", at=("slots",))
    for field_, named in (("candidates", ask.candidates or ()), ("exclude", ask.exclude)):
        for number, product in enumerate(named):
            if product not in offer.catalogue:
                raise Misfit(f'"{product}" is not in the catalogue', at=(field_, number))
    return surface


def _asked(verdicts: Verdicts, ask: Ask, offer: Offer) -> Verdicts:
    """The same verdicts with a column for what the caller itself narrowed, where it did."""
    if ask.candidates is None and not ask.exclude:
        return verdicts
    among = set(verdicts.products if ask.candidates is None else ask.candidates) - set(ask.exclude)
    column = np.array([[product in among] for product in verdicts.products], dtype=np.bool_).reshape(-1, 1)
    return Verdicts(
        verdicts.products,
        (*verdicts.rules, ASKED),
        (*verdicts.reasons, "The app asked without this product"),
        np.hstack([verdicts.allowed, column]),
    )


def _candidate(product: Product, affinity: float | None, *, path: str) -> Candidate:
    return features.candidate_of(product, affinity=affinity, path=path)


def _static(offer: Offer) -> StaticPolicy:
    return StaticPolicy(order=offer.catalogue.ids)


def _from(live: InForce, placement: Placement) -> _Chosen:
    return _Chosen(live.policy, "live", live.recipe, live.snapshot, placement.assigned)


def _mask(candidates: Sequence[Candidate], offer: Offer, surface: Surface) -> MaskOf:
    """No product twice, and at most so many of one family, given the slots above."""
    names = ["" if c.product_id == NOTHING else offer.catalogue.product(c.product_id).family for c in candidates]
    members = {name: [row for row, each in enumerate(names) if each == name] for name in set(names) - {""}}

    def mask_of(rows: Sequence[int]) -> Bools:
        open_ = np.ones(len(names), dtype=np.bool_)
        open_[list(rows)] = False
        above = [names[row] for row in rows]
        for name in set(above):
            if name and above.count(name) >= surface.per_family:
                open_[members[name]] = False
        return open_

    return mask_of


def _slots(drawn: Drawn, candidates: Sequence[Candidate], context: Context, *, path: str) -> tuple[Slot, ...]:
    slots = []
    for number, (row, propensity) in enumerate(zip(drawn.rows, drawn.propensities, strict=True), start=1):
        product = candidates[row].product_id
        reasons = (EVERYBODY if path == "broadcast" else reason_of(product, context),)
        slots.append(
            Slot(number, product, candidates[row].creative_id, propensity, () if product == NOTHING else reasons)
        )
    return tuple(slots)


def _shortfall(ask: Ask, slots: Sequence[Slot], *, offer: Offer, eligible: Sequence[ProductId]) -> str | None:
    """Why there are fewer products than asked for, None when there are not."""
    if len(slots) >= ask.slots and slots[-1].product_id != NOTHING:
        return None
    if not offer.catalogue.products:
        return "there is no catalogue yet: apply one with `recsys catalogue apply FILE`"
    if not eligible:
        return "no product may be shown to this customer here and now"
    if slots and slots[-1].product_id == NOTHING:
        return "showing nothing more was the better choice"
    return "fewer products may be shown than were asked for"
