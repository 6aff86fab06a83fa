"""How customers respond: need, the chances that follow from it, and one draw of what a visit brings.

Source: domain 3.6 and 3.8, with the constants of `truth`. All chances are closed forms of the
state this morning, so `Chances.values` is exactly the mean of what `draw` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.bank.dice import Ints, Keys, normals, uniforms
from recsys.bank.truth import DISMISS_COST, Delay, Truths
from recsys.vocabulary import Bools, Floats

TIRING = 0.35  # off the click logit for each unit of fatigue
OPT_OUT, OPT_OUT_POWER = 0.0004, 1.3


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """What every customer would do with every product today; arrays are (n, P)."""

    click: Floats  # logit of a tap once seen, before the surface's intent
    opens: Floats  # chance that a tap becomes an opening that the card brought about
    organic: Floats  # chance of opening today with no help of ours
    dismisses: Floats  # chance of a dismissal once seen and not tapped

    def taps(self, rows: Ints, columns: Ints | slice, *, intent: Floats) -> Floats:
        """P(tap | seen) for these cells, `intent` being the surface's."""
        return sigmoid(self.click[rows, columns] + intent)

    def values(self, rows: Ints, *, intent: Floats, points: Floats, settled: Bools) -> Floats:
        """(len(rows), P) expected points of a card that is seen.

        P(tap | seen) · P(opens | tap) · points − P(dismiss | seen) · cost; `settled` products cannot
        be opened again. `intent` is (len(rows), 1).
        """
        taps = self.taps(rows, slice(None), intent=intent)
        opens = np.where(settled, 0.0, self.opens[rows])
        return taps * opens * points - (1.0 - taps) * self.dismisses[rows] * DISMISS_COST


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), element by element."""
    return 1.0 / (1.0 + np.exp(-logits))


def chances_of(need: Floats, *, persuadable: Floats, fatigue: Floats, truths: Truths) -> Chances:
    """The chances that follow from need (n, P); domain 3.6."""
    in_a_month = np.minimum(truths.organic * np.exp(np.minimum(0.8 * need - 0.3, 3.0)), 0.6)
    persuaded = sigmoid(truths.convert - 0.3 + 0.6 * persuadable - 0.6 * np.maximum(need - 0.8, 0.0))
    return Chances(
        click=truths.click + need - TIRING * fatigue,
        opens=persuaded * (1.0 - in_a_month),
        organic=1.0 - (1.0 - in_a_month) ** (1.0 / 30.0),
        dismisses=np.minimum(0.006 * np.exp(-0.5 * need), 0.2),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Slots that were shown, flat: the visit, customer row, product column and 0-based place of each."""

    visits: Ints
    rows: Ints
    columns: Ints
    places: Ints
    keys: Keys  # one for each (customer, surface, place)
    examination: Floats
    intent: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What came of each shown slot, all (slots,)."""

    seen: Bools
    tapped: Bools
    dismissed: Bools
    opened: Bools  # before asking whether it is settled


def draw(shown: Shown, *, chances: Chances, seed: int, number: int) -> Drawn:
    """Draw what each slot brings; a number of its own for each customer, surface, place and question."""
    rows, columns = shown.rows, shown.columns
    dice = [uniforms(seed, purpose=question, day=number, keys=shown.keys) for question in QUESTIONS]
    seen = dice[0] < shown.examination
    tapped = seen & (dice[1] < chances.taps(rows, columns, intent=shown.intent))
    dismissed = seen & ~tapped & (dice[2] < chances.dismisses[rows, columns])
    opened = tapped & (dice[3] < chances.opens[rows, columns])
    return Drawn(seen, tapped, dismissed, opened)


QUESTIONS = ("seen", "tapped", "dismissed", "opened")


def waits(delays: Sequence[Delay], *, keys: Keys, seed: int, number: int) -> Floats:
    """Seconds from tap to opening for each key (domain 3.8)."""
    hour, day, median, spread = np.array(
        [(each.within_hour, each.within_day, each.median_days, each.spread) for each in delays]
    ).T
    which, when = (uniforms(seed, purpose=name, day=number, keys=keys) for name in ("delay", "moment"))
    tail = 86_400.0 * (1.0 + median * np.exp(spread * normals(seed, purpose="tail", day=number, keys=keys)))
    soon = np.where(which < hour, 3_600.0 * when, 3_600.0 + 82_800.0 * when)
    return np.where(which < hour + day, soon, np.minimum(tail, 86_400.0 * 180))


def opt_out_chance(dismissals: Ints) -> Floats:
    """Chance of opting out of marketing after so many dismissals in 14 days."""
    return np.minimum(OPT_OUT * np.power(dismissals, OPT_OUT_POWER), 0.5)
