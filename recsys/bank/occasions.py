"""What the calendar and the switches add to the response: launches, wording, advertising, a new layout.

Every function is of the day alone, or of the day and the customer's number.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from recsys.bank.dice import Ints, Keys, uniforms
from recsys.bank.product import EXAMINATION
from recsys.bank.switches import CAMPAIGN_DAYS, CREATIVE_SWAP_DAY, UI_CHANGE_DAY, Switches
from recsys.bank.truth import Truths
from recsys.vocabulary import Floats, ProductId

NOVELTY, NOVELTY_DAYS = 0.4, 7.0
WORDING = 0.5  # a new wording is better or worse by up to this much on the click index
CAMPAIGN_PRODUCTS: tuple[ProductId, ...] = ("cash-isa",)
CAMPAIGN_SHARE, CAMPAIGN_PULL = 0.3, 1.0

SURFACES = tuple(EXAMINATION)
_WIDTH = max(len(chances) for chances in EXAMINATION.values())


def lures(truths: Truths, *, switches: Switches, seed: int, number: int) -> Floats:
    """(P,) added to everybody's click index on day `number`: the wording, and what is new of product and wording."""
    launched = np.array([-1 if truth.launch_day is None else truth.launch_day for truth in truths.products])
    total = np.where(launched >= 0, _novelty(number - launched), 0.0)
    if switches.creative_swap and number >= CREATIVE_SWAP_DAY:
        swapped = uniforms(seed, purpose="creative swap", day=0, keys=truths.salts) < 0.5
        better = WORDING * (2.0 * uniforms(seed, purpose="creative effect", day=0, keys=truths.salts) - 1.0)
        total += np.where(swapped, better + _novelty(np.array(number - CREATIVE_SWAP_DAY)), 0.0)
    return total


def campaign(truths: Truths, *, switches: Switches, numbers: Ints, seed: int, number: int) -> Floats | None:
    """(n, P) added to need by advertising that this engine has no part in; None when there is none."""
    columns = [truths.ids.index(product) for product in CAMPAIGN_PRODUCTS if product in truths.ids]
    if not (switches.campaign and columns and number in CAMPAIGN_DAYS):
        return None
    reached = uniforms(seed, purpose="campaign", day=0, keys=_keys(numbers)) < CAMPAIGN_SHARE
    pull = np.zeros((len(numbers), len(truths.ids)))
    pull[:, columns] = CAMPAIGN_PULL * reached[:, None]
    return pull


def examined(switches: Switches, *, number: int) -> Floats:
    """(surfaces, widest) P(seen) by surface and place on day `number`; 0 where a surface has no such place."""
    return _examined(changed=switches.ui_change and number >= UI_CHANGE_DAY)


@lru_cache(maxsize=2)
def _examined(*, changed: bool) -> Floats:
    """With the new layout the second card of the carousel peeks in at full height, and the first is narrower."""
    rows = {**EXAMINATION, "home": (0.56, 0.62, 0.24)} if changed else EXAMINATION
    table = np.array([(*row, *(0.0,) * (_WIDTH - len(row))) for row in rows.values()])
    table.setflags(write=False)
    return table


def _novelty(age: Floats | Ints) -> Floats:
    return np.where(age >= 0, NOVELTY * np.exp(-np.maximum(age, 0) / NOVELTY_DAYS), 0.0)


def _keys(numbers: Ints) -> Keys:
    return numbers.astype(np.uint64)
