"""What the bank pays and charges, by date, and how that compares with competitors (domain 3.3).

Bank Rate's steps are dated; products follow with a delay of nothing and a pass-through of 28 % (easy
access) or 51 % (fixed). Steps after February 2026 are assumed, so that a year's run meets some.
Competitors follow Bank Rate alike and now and then jump: a gap in our favour makes a product wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from recsys.bank.dice import normals, uniforms
from recsys.vocabulary import Floats, ProductId

BANK_RATE = (
    (date(2023, 8, 3), 5.25),
    (date(2024, 8, 1), 5.00),
    (date(2024, 11, 7), 4.75),
    (date(2025, 2, 6), 4.50),
    (date(2025, 5, 8), 4.25),
    (date(2025, 8, 7), 4.00),
    (date(2025, 12, 18), 3.75),
    (date(2026, 4, 30), 3.50),  # this and what follows is assumed
    (date(2026, 9, 17), 3.25),
    (date(2027, 3, 18), 3.00),
)
"""(from, percent) in order; held between."""

EASY_ACCESS, FIXED = 0.28, 0.51
GAP_PULL = 1.6  # on need, for each point of our rate over competitors'
JUMP_DAYS, JUMP_CHANCE, JUMP_SPREAD = 30, 0.45, 0.35
CUT = 1.0  # points by which a bank that cuts its own rates (`Switches.rate_cut`) pays less than its products usually do


@dataclass(frozen=True, slots=True)
class Priced:
    """How a product's rate follows Bank Rate: its AER at 3.75 %, and the share of a step that is passed on."""

    aer: float
    passes: float


PRICED: Mapping[ProductId, Priced] = MappingProxyType(
    {
        "pot": Priced(3.00, EASY_ACCESS),
        "rainy-day": Priced(3.60, EASY_ACCESS),
        "cash-isa": Priced(3.30, EASY_ACCESS),
        "fixed-6m": Priced(3.90, FIXED),
        "fixed-1y": Priced(4.00, FIXED),
    }
)


def bank_rate(day: int) -> float:
    """Bank Rate in percent on a day (proleptic ordinal); before the first known step, that step's.

    >>> bank_rate(date(2026, 1, 5).toordinal()), bank_rate(date(2025, 7, 1).toordinal())
    (3.75, 4.25)
    """
    steps = [step.toordinal() for step, _ in BANK_RATE]
    return BANK_RATE[max(bisect_right(steps, day) - 1, 0)][1]


def aer_of(product_id: ProductId, *, day: int, cut_on: int | None = None) -> float | None:
    """What the product pays on a day, in percent a year to two places; None for one without a rate.

    From the ordinal `cut_on` on it pays CUT less.

    >>> aer_of("fixed-1y", day=date(2025, 7, 1).toordinal())
    4.25
    """
    if product_id not in PRICED:
        return None
    priced = PRICED[product_id]
    return round(priced.aer + priced.passes * (bank_rate(day) - 3.75) - _cut(day, cut_on=cut_on), 2)


def rates_between(
    product_ids: tuple[ProductId, ...], *, first: int, last: int, cut_on: int | None = None
) -> Iterator[tuple[ProductId, date, float]]:
    """(product, from, AER) for every rate in force on some day of [first, last], by product and date."""
    for product in product_ids:
        known: float | None = None
        changes = {step.toordinal() for step, _ in BANK_RATE} | ({cut_on} if cut_on is not None else set())
        for day in (first, *sorted(day for day in changes if first < day <= last)):
            if (aer := aer_of(product, day=day, cut_on=cut_on)) is not None and aer != known:
                known = aer
                yield product, date.fromordinal(day), aer


def gaps(product_ids: tuple[ProductId, ...], *, seed: int, start: int, day: int, cut_on: int | None = None) -> Floats:
    """(P,) points by which our rate lies over competitors'; 0 for products without a rate.

    They match us on the bank's first day (`start`), pass on a whole .4 of every step, and every 30
    days jump with a chance of .45, up or down, each product by dice of its own.
    """
    step, cut = bank_rate(day) - bank_rate(start), _cut(day, cut_on=cut_on)
    return np.array(
        [
            (PRICED[product].passes - 0.4) * step - cut - _jumped(product, seed, (day - start) // JUMP_DAYS)
            if product in PRICED
            else 0.0
            for product in product_ids
        ]
    )


def _cut(day: int, *, cut_on: int | None) -> float:
    return 0.0 if cut_on is None or day < cut_on else CUT


@lru_cache(maxsize=4096)
def _jumped(product: ProductId, seed: int, periods: int) -> float:
    """Where competitors stand for this product after so many periods; jumps fade by a third in each."""
    keys = np.arange(1, periods + 1, dtype=np.uint64)
    if not len(keys):
        return 0.0
    jumps = uniforms(seed, purpose=f"competitor jumps/{product}", day=0, keys=keys) < JUMP_CHANCE
    sizes = JUMP_SPREAD * normals(seed, purpose=f"competitor rate/{product}", day=0, keys=keys)
    return float((np.where(jumps, sizes, 0.0) * (2.0 / 3.0) ** np.arange(periods)[::-1]).sum())
