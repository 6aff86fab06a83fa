"""A day's visits: who comes where and when, as columns and one by one, and what comes back from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.truth import EXAMINATION
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, CustomerId, ProductId

SURFACES = tuple(EXAMINATION)
"""The order behind every index of a surface."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One customer on one surface; at most one for each customer, day and surface."""

    customer_id: CustomerId
    row: int
    surface: str
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Everybody's first moment on each surface today, (v,) each, sorted by time and row."""

    rows: Ints
    surfaces: Ints  # index in SURFACES
    seconds: Ints  # after midnight

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)

    def on(self, surfaces: Sequence[str]) -> Arrivals:
        """Those on the named surfaces.

        Raises InvalidConfiguration for a surface that the bank does not have.
        """
        if unknown := [name for name in surfaces if name not in SURFACES]:
            raise InvalidConfiguration(f"the bank has no surface {unknown[0]!r}; it has {', '.join(SURFACES)}")
        kept = np.isin(self.surfaces, [SURFACES.index(name) for name in surfaces])
        return Arrivals(self.rows[kept], self.surfaces[kept], self.seconds[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Every log-in of the day, (s,) each, sorted by row and time."""

    rows: Ints
    seconds: Ints  # after midnight
    surfaces: Bools  # (s, SURFACES) what was looked at


@dataclass(frozen=True, eq=False)
class Day:
    """A day of the bank: its number from 0, its midnight, its arrivals and log-ins."""

    number: int
    starts_at: datetime
    arrivals: Arrivals
    sessions: Sessions
    ids: tuple[CustomerId, ...]  # by row

    @cached_property
    def visits(self) -> tuple[Visit, ...]:
        """The arrivals one by one."""
        here = (each.tolist() for each in (self.arrivals.rows, self.arrivals.surfaces, self.arrivals.seconds))
        return tuple(
            Visit(self.ids[row], row, SURFACES[surface], self.starts_at + timedelta(seconds=second))
            for row, surface, second in zip(*here, strict=True)
        )


@dataclass(frozen=True, slots=True)
class BankOutcome:
    """One thing that happened; the bank tells it at `reported_at`.

    `visit_index` points into the visits given to `respond`, None when it happened without us.
    Kinds: seen, tapped, dismissed, opened, opted_out.
    """

    outcome_id: str
    visit_index: int | None
    customer_id: CustomerId
    row: int
    product_id: ProductId
    kind: str
    happened_at: datetime
    reported_at: datetime
    amount_pence: int | None = None
