"""What was shown to whom, checked and laid flat: one entry for each slot that carries a product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.occasions import SURFACES
from recsys.bank.outcomes import Happenings, slot_keys
from recsys.bank.product import EXAMINATION
from recsys.bank.response import Shown
from recsys.bank.truth import Truths
from recsys.bank.visits import Arrivals, Visit
from recsys.errors import InvalidTable
from recsys.vocabulary import NOTHING, Floats, ProductId

WHERE = "the bank's visits"
_PLACES = np.array([len(EXAMINATION[surface]) for surface in SURFACES])


def arrivals_of(visits: Sequence[Visit], *, midnight: datetime) -> Arrivals:
    """Visits as columns, in their order; InvalidTable for a surface the bank does not have."""
    if unknown := [row for row, visit in enumerate(visits, start=1) if visit.surface not in EXAMINATION]:
        raise InvalidTable(f"no such surface; the bank has {', '.join(EXAMINATION)}", where=WHERE, rows=unknown)
    table = [(v.row, SURFACES.index(v.surface), int((v.at - midnight).total_seconds())) for v in visits]
    rows, surfaces, seconds = np.array(table, dtype=np.int64).reshape(-1, 3).T
    return Arrivals(rows, surfaces, seconds)


def columns_of(slates: Sequence[Sequence[ProductId]], *, visits: Sequence[Visit], truths: Truths) -> Ints:
    """(visits, longest) product columns by place, -1 for none; `nothing` is left out.

    Raises InvalidTable for slates that do not fit the visits and for unknown products.
    """
    if len(visits) != len(slates):
        raise InvalidTable(f"{len(slates)} slates for {len(visits)} visits", where=WHERE)
    known = {product: column for column, product in enumerate(truths.ids)}
    kept = [[product for product in slate if product != NOTHING] for slate in slates]
    shown = np.full((len(kept), max(map(len, kept), default=0)), -1)
    for row, products in enumerate(kept):
        if unknown := [product for product in products if product not in known]:
            raise InvalidTable(f"no product {unknown[0]!r}", where=WHERE, rows=(row + 1,))
        shown[row, : len(products)] = [known[product] for product in products]
    return shown


def slots_of(arrivals: Arrivals, shown: Ints, *, truths: Truths, numbers: Ints) -> Shown:
    """The slots of `shown` (v, k), product columns by place, -1 for none; InvalidTable if they do not fit."""
    if shown.ndim != 2 or len(shown) != len(arrivals):
        raise InvalidTable(f"{len(shown)} slates for {len(arrivals)} arrivals", where=WHERE)
    if ((shown < -1) | (shown >= len(truths.ids))).any():
        wrong = np.flatnonzero(((shown < -1) | (shown >= len(truths.ids))).any(axis=1))
        raise InvalidTable("no such product column", where=WHERE, rows=(wrong + 1).tolist())
    index, places = np.nonzero(shown >= 0)
    rows, surfaces = arrivals.rows[index], arrivals.surfaces[index]
    if len(beyond := np.flatnonzero(places >= _PLACES[surfaces])):
        first = beyond[0]
        count = int((shown[index[first]] >= 0).sum())
        raise InvalidTable(
            f"{count} products on {SURFACES[surfaces[first]]}", where=WHERE, rows=(int(index[first]) + 1,)
        )
    columns = shown[index, places]
    return Shown(
        arrivals=index,
        rows=rows,
        columns=columns,
        surfaces=surfaces,
        places=places,
        seconds=arrivals.seconds[index],
        keys=slot_keys(numbers[rows], surfaces, truths.salts[columns]),
    )


def happened(slots: Shown, index: Ints, *, kind: int, seconds: Floats, number: int) -> Happenings:
    """One kind of thing happening at the slots listed in `index` (h,), at `seconds` (h,) since the bank's start."""
    return Happenings(
        rows=slots.rows[index],
        columns=slots.columns[index],
        kinds=np.full(len(index), kind),
        seconds=seconds.round(3),
        pence=np.zeros(len(index), dtype=np.int64),
        days=np.full(len(index), number),
        surfaces=slots.surfaces[index],
        places=slots.places[index],
    )
