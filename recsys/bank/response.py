"""How customers respond: the chances that follow from need, in closed form, and one draw of what a slot brings.

Source: domain 3.6, with the constants of `truth`, `intent` and here. All chances are closed forms of
the state this morning, so `values` and `attributed` are exactly the means of what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints, Keys, uniforms
from recsys.bank.intent import EAGER, SURE, Intents
from recsys.bank.truth import DISMISS_COST, Truths
from recsys.bank.worlds import World, logistic
from recsys.vocabulary import Bools, Floats

TIRING = 0.35  # off the click index for each unit of fatigue
OPT_OUT, OPT_OUT_POWER = 0.0004, 1.3
REVERSED = 0.01  # of openings, whatever they are (domain 3.8)
REGRETS, REGRET_FADES, REGRET_LOW_CREDIT = -3.3, 0.6, 2.2  # cancelling: at need 0, with need, credit when money is low


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """What every customer would do with every product today; arrays are (n, P)."""

    world: World
    click: Floats  # index of a tap once seen, before the surface's errand
    persuaded: Floats  # chance that a tap brings an opening about, where none would have come anyway
    bound: Floats  # chance that one would have come anyway, and now comes through the card
    need: Floats
    strained: Bools  # a low balance meets credit

    def taps(self, rows: Ints, columns: Ints | slice, *, errand: Floats) -> Floats:
        """P(tap | seen) for these cells, `errand` being the surface's."""
        return self.world.taps(self.click[rows, columns] + errand)

    def dismisses(self, rows: Ints, columns: Ints | slice) -> Floats:
        """P(dismissal | seen and not tapped) for these cells."""
        return np.minimum(0.006 * np.exp(-0.5 * self.need[rows, columns]), 0.2)

    def cancels(self, rows: Ints, columns: Ints | slice) -> Floats:
        """P(given back within 14 days | opened) for these cells."""
        regret = REGRETS - REGRET_FADES * self.need[rows, columns]
        regret += REGRET_LOW_CREDIT * self.strained[rows, columns]
        return 1.0 - (1.0 - REVERSED) * (1.0 - logistic(regret))

    def values(self, rows: Ints, *, errand: Floats, points: Floats, settled: Bools) -> Floats:
        """(len(rows), P) expected points that a card brings about if it is seen.

        P(tap | seen) · P(brings an opening about | tap) · P(not cancelled) · points − P(dismiss | seen) · cost;
        `settled` products cannot be opened again. `errand` is (len(rows), 1).
        """
        opens = (1.0 - self.bound[rows]) * self.persuaded[rows]
        return self._worth(rows, opens, errand=errand, points=points, settled=settled)

    def attributed(self, rows: Ints, *, errand: Floats, points: Floats, settled: Bools) -> Floats:
        """(len(rows), P) as `values`, with the openings that would have come anyway credited to the card."""
        opens = self.bound[rows] + (1.0 - self.bound[rows]) * self.persuaded[rows]
        return self._worth(rows, opens, errand=errand, points=points, settled=settled)

    def _worth(self, rows: Ints, opens: Floats, *, errand: Floats, points: Floats, settled: Bools) -> Floats:
        taps = self.taps(rows, slice(None), errand=errand)
        stays = np.where(settled, 0.0, opens * (1.0 - self.cancels(rows, slice(None))))
        return taps * stays * points - (1.0 - taps) * self.dismisses(rows, slice(None)) * DISMISS_COST


def chances_of(
    need: Floats,
    *,
    world: World,
    truths: Truths,
    intents: Intents,
    persuadable: Floats,
    tired: Floats,
    lures: Floats,
    low: Bools,
    suited: Bools,
) -> Chances:
    """The chances that follow from need (n, P).

    `tired` (n, P) is fatigue, `lures` (P,) novelty and wording, `low` (n,) a low balance, `suited` (n, P)
    what could be opened: what cannot may be tapped and dismissed, but never opened.
    """
    looking = intents.looking(truths).astype(np.float64)
    return Chances(
        world=world,
        click=truths.click + lures + need - TIRING * tired + EAGER * looking,
        persuaded=suited * world.persuaded(need, persuadable=persuadable, truths=truths, eased=SURE * looking),
        bound=intents.bound * suited,
        need=need,
        strained=low[:, None] & truths.where(family="credit"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Slots that were shown, flat: arrival, customer row, product column, surface and 0-based place of each."""

    arrivals: Ints
    rows: Ints
    columns: Ints
    surfaces: Ints
    places: Ints
    seconds: Ints  # of the arrival, after midnight
    keys: Keys  # one for each customer, surface and product


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What came of each shown slot, all (slots,)."""

    seen: Bools
    tapped: Bools
    dismissed: Bools
    channelled: Bools  # opened, as it would have been without the card; before asking whether it is settled
    brought: Bools  # opened because of the card; likewise


def draw(
    shown: Shown, *, chances: Chances, fates: Bools, examination: Floats, errand: Floats, seed: int, number: int
) -> Drawn:
    """Draw what each slot brings; a number of its own for each customer, surface, product and question.

    `fates` (slots,) marks products that the customer's present spell will end in.
    """
    rows, columns = shown.rows, shown.columns
    seen = _luck("seen", shown.keys, seed, number) < examination
    index = np.flatnonzero(seen)
    keys, rows, columns = shown.keys[index], rows[index], columns[index]
    tapped = _luck("tapped", keys, seed, number) < chances.taps(rows, columns, errand=errand[index])
    dismissed = ~tapped & (_luck("dismissed", keys, seed, number) < chances.dismisses(rows, columns))
    channelled = tapped & fates[index] & (chances.bound[rows, columns] > 0.0)
    brought = tapped & ~fates[index] & (_luck("opened", keys, seed, number) < chances.persuaded[rows, columns])
    return Drawn(seen, *(_spread(marks, index, len(seen)) for marks in (tapped, dismissed, channelled, brought)))


def opt_out_chance(bothers: Ints, *, irritation: Floats | float = 0.0) -> Floats:
    """Chance of opting out of marketing after so many dismissals and pushes in 14 days."""
    return np.minimum(OPT_OUT * np.power(bothers, OPT_OUT_POWER) * np.exp(0.5 * irritation), 0.5)


def _luck(question: str, keys: Keys, seed: int, number: int) -> Floats:
    return uniforms(seed, purpose=question, day=number, keys=keys)


def _spread(marks: Bools, index: Ints, length: int) -> Bools:
    out = np.zeros(length, dtype=np.bool_)
    out[index] = marks
    return out
