"""The rules of a slate, around the drawing: what was asked, what may stand beside what, why it is short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from bandits.drawing import Drawn, MaskOf
from recsys.catalogue import Surface
from recsys.shelves import Candidates
from recsys.vocabulary import (
    NOTHING,
    Bools,
    Candidate,
    CustomerId,
    FactValue,
    Product,
    ProductId,
    Reason,
    Slot,
    Verdicts,
)
from serving.absences import ASKED
from serving.misfits import Misfit
from serving.offer import Offer

NO_SURFACE = 'this catalogue has no surface "search": add one to it, so that customers can search'
NOTHING_FITS = "nothing that may be shown to this customer here fits these words"
FEWER_FIT = "fewer products fit these words than were asked for"
HELD_OUT = (
    "this customer is in the hold-out group and is shown nothing: of what everybody sees alike, nothing may be shown "
    "here and now"
)
OFF = "everything is switched off for now"
STRANGER, WHO_IS_THIS = "OPS-6.stranger", "Nobody can say just now who asks, so nothing is promoted"
UNSETTLED = "what may be shown changed again and again while this was decided: ask again"
WITHDRAWN = "something that this answer showed may not be shown any more: ask anew, under a new request id"


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
    query: str | None = field(default=None, repr=False)  # what was searched for; never written anywhere


def surface_of(ask: Ask, *, offer: Offer) -> Surface:
    """The surface asked for; raises `Misfit` for an unknown one, too many slots or unknown products."""
    surfaces = offer.catalogue.surfaces
    if not surfaces:  # an empty home answers with an empty slate that says why
        return Surface(ask.surface, max_slots=ask.slots, null_allowed=False, per_family=ask.slots)
    surface = surfaces.get(ask.surface)
    if surface is None and ask.query is not None:
        raise Misfit(NO_SURFACE, at=("query",))
    if surface is None:
        raise Misfit(f'"{ask.surface}" is no surface: the catalogue knows {", ".join(surfaces)}', at=("surface",))
    if ask.slots > surface.max_slots:
        raise Misfit(f"{ask.surface} has at most {surface.max_slots} slots, not {ask.slots}", at=("slots",))
    for field_, named in (("candidates", ask.candidates or ()), ("exclude", ask.exclude)):
        for number, product in enumerate(named):
            if product not in offer.catalogue:
                raise Misfit(f'"{product}" is not in the catalogue', at=(field_, number))
    return surface


def narrowed(verdicts: Verdicts, *, ask: Ask) -> Verdicts:
    """The same verdicts with a column for what the caller itself narrowed, where it did."""
    if ask.candidates is None and not ask.exclude:
        return verdicts
    among = set(verdicts.products if ask.candidates is None else ask.candidates) - set(ask.exclude)
    column = np.array([[product in among] for product in verdicts.products], dtype=np.bool_).reshape(-1, 1)
    return verdicts.joined(
        Verdicts(verdicts.products, (ASKED,), ("The app asked without this product",), column, kinds=("applicable",))
    )


def refusing_all(products: Sequence[ProductId]) -> Verdicts:
    """A column that refuses everything: the rules never stood still long enough for a slate (OPS-3)."""
    reason = "What may be shown to you was changing just then, so we showed nothing."
    return Verdicts(tuple(products), ("OPS-3.unsettled",), (reason,), np.zeros((len(products), 1), dtype=np.bool_))


def promoting_nothing(products: Sequence[Product]) -> Verdicts:
    """A column that leaves service and education only: for whoever nobody can tell just now."""
    allowed = np.array([[not each.communication_class.startswith("promo")] for each in products], dtype=np.bool_)
    return Verdicts(tuple(each.product_id for each in products), (STRANGER,), (WHO_IS_THIS,), allowed.reshape(-1, 1))


def mask_of(candidates: Sequence[Candidate], *, offer: Offer, surface: Surface) -> MaskOf:
    """No product twice, and at most so many of one family, given the slots above."""
    families = offer.families_of(candidates)
    everything = np.ones(families.size, dtype=np.bool_)

    def still_open(rows: Sequence[int]) -> Bools:
        above = [int(families[row]) for row in rows]
        full = {family for family in above if family >= 0 and above.count(family) >= surface.per_family}
        open_ = everything.copy() if full or rows else everything
        for family in full:
            open_[families == family] = False
        for row in rows:
            open_[row] = False
        return open_

    return still_open


def slots_of(
    drawn: Drawn, *, candidates: Sequence[Candidate], reasons: Sequence[tuple[Reason, ...]]
) -> tuple[Slot, ...]:
    """What was drawn, as slots with their reasons."""
    found = Candidates.of(candidates)
    own = [found.shelf.candidates[row] for row in found.rows[list(drawn.rows)].tolist()]
    slots = enumerate(zip(own, drawn.propensities, reasons, strict=True), start=1)
    return tuple(
        Slot(number, each.product_id, each.creative_id, propensity, why) for number, (each, propensity, why) in slots
    )


def shortfall_of(
    ask: Ask, slots: Sequence[Slot], *, offer: Offer, eligible: Sequence[ProductId], held_out: bool
) -> str | None:
    """Why there are fewer products than asked for, None when there are not."""
    if len(slots) >= ask.slots and slots[-1].product_id != NOTHING:
        return None
    if not offer.catalogue.products:
        return "there is no catalogue yet: apply one with `recsys catalogue apply FILE`"
    if not eligible and held_out:
        return HELD_OUT
    if not eligible:
        return "no product may be shown to this customer here and now"
    if ask.query is not None:
        return FEWER_FIT if slots else NOTHING_FITS
    if slots and slots[-1].product_id == NOTHING:
        return "the slate ends here: nothing more was drawn"
    return "fewer products may be shown than were asked for"
