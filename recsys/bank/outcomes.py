"""Things that happen, as columns: what the responder books, and what the bank tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from recsys.bank.dice import Ints, Keys, uniforms
from recsys.bank.product import EXAMINATION
from recsys.bank.switches import Switches
from recsys.bank.visits import BankOutcome
from recsys.vocabulary import Bools, CustomerId, Floats, ProductId

KINDS = (
    "seen",
    "tapped",
    "dismissed",
    "opened",
    "opted_out",
    "funded",
    "balance_30d",
    "cancelled_14d",
    "complained",
)
SEEN, TAPPED, DISMISSED, OPENED, OPTED_OUT, FUNDED, BALANCE, CANCELLED, COMPLAINED = range(len(KINDS))

LATE, TWICE, LOST = 0.02, 0.005, 0.001  # shares of outcomes (domain 3.8)
_SURFACES = tuple(EXAMINATION)
_STRIDE = np.uint64(0xD1342543DE82EF95)  # parts the dice of the kinds that one slot brings


@dataclass(frozen=True, slots=True, eq=False)
class Happenings:
    """Columns (h,). `days`, `surfaces`, `places` name the slot that brought it, the last two -1 if none did."""

    rows: Ints
    columns: Ints
    kinds: Ints  # index in KINDS
    seconds: Floats  # since the bank's first midnight, to the millisecond
    pence: Ints  # 0 for none
    days: Ints  # of the decision, or of an organic opening
    surfaces: Ints
    places: Ints

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes(Happenings):
    """What the bank tells, (o,): `arrivals` points into the arrivals asked about, -1 when it came without them."""

    arrivals: Ints
    reported: Floats  # seconds since the bank's first midnight

    def told(
        self, *, start: datetime, numbers: Ints, ids: Sequence[CustomerId], products: Sequence[ProductId]
    ) -> list[BankOutcome]:
        """As objects; ids are made of customer numbers, so a slice of the bank says the same."""
        columns = (getattr(self, each.name).tolist() for each in fields(self))
        return [
            BankOutcome(
                _name(
                    KINDS[kind],
                    day=day,
                    number=int(numbers[row]),
                    surface=surface,
                    place=place,
                    product=products[column],
                ),
                arrival if arrival >= 0 else None,
                ids[row],
                row,
                products[column],
                KINDS[kind],
                start + timedelta(seconds=second),
                start + timedelta(seconds=known),
                pence or None,
            )
            for row, column, kind, second, pence, day, surface, place, arrival, known in zip(*columns, strict=True)
        ]


def _name(kind: str, *, day: int, number: int, surface: int, place: int, product: ProductId) -> str:
    if surface < 0:
        return f"g-{day}-{number}-{product}" + ("" if kind == "opened" else f"-{kind}")
    return f"o-{day}-{number}-{_SURFACES[surface]}-{place}-{kind}"


Columns = TypeVar("Columns", bound=Happenings)


def taken(of: Columns, which: Bools | Ints) -> Columns:
    """The rows of a table that `which` marks or lists."""
    return type(of)(**{each.name: getattr(of, each.name)[which] for each in fields(of)})


def joined(parts: Sequence[Columns]) -> Columns:
    """One table of several (at least one)."""
    first = parts[0]
    names = (each.name for each in fields(first))
    return type(first)(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def nothing_happened() -> Happenings:
    """A table without rows."""
    none = np.zeros(0, dtype=np.int64)
    return Happenings(none, none, none, np.zeros(0), none, none, none, none)


def slot_keys(numbers: Ints, surfaces: Ints, salts: Keys) -> Keys:
    """(h,) a key for each customer, surface (-1: none) and product."""
    return (numbers * (len(_SURFACES) + 1) + surfaces + 1).astype(np.uint64) + salts


def delivered(
    what: Happenings, *, arrivals: Ints | None, keys: Keys, seed: int, number: int, switches: Switches
) -> Outcomes:
    """When the bank gets to know: some twenty seconds later, or as `switches` have it late, twice, or never.

    An outcome told twice follows itself with the same words, except for the time of its telling.
    """
    own = keys + what.kinds.astype(np.uint64) * _STRIDE
    lag = uniforms(seed, purpose="lag", day=number, keys=own)
    wait = 1.0 - 20.0 * np.log(lag)
    came = np.full(len(what), -1) if arrivals is None else arrivals
    luck = uniforms(seed, purpose="delivery", day=number, keys=own)
    late = (luck < LATE) & switches.late
    twice = (luck >= 0.5) & (luck < 0.5 + TWICE) & switches.duplicates
    lost = (luck >= 1.0 - LOST) & switches.lost
    outcomes = _told(what, arrivals=came, wait=np.where(late, 86_400.0 * (1.0 + 2.0 * lag), wait))
    if not (twice | lost).any():
        return outcomes
    order = np.repeat(np.arange(len(what)), np.where(lost, 0, 1 + twice))
    outcomes = taken(outcomes, order)
    again = np.append(np.zeros(1, dtype=np.bool_), order[1:] == order[:-1])[: len(order)]
    outcomes.reported[again] += 3_600.0
    return outcomes


def _told(what: Happenings, *, arrivals: Ints, wait: Floats) -> Outcomes:
    columns = {each.name: getattr(what, each.name) for each in fields(what)}
    return Outcomes(**columns, arrivals=arrivals, reported=(what.seconds + wait).round(3))
