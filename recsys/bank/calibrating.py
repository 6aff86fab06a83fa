"""How the intercepts of `intercepts.SHIFTS` were found: every world gets the plain world's base rates.

    python -m recsys.bank.calibrating       # prints SHIFTS; about half a minute

For each product, over the customers of one large bank on four mornings of a year and among those it
suits: the mean chance of a tap out of the market, the mean chance that such a tap is persuaded,
weighted by taps, and the mean chance of coming anyway. Each is brought to the plain world's by
bisection of one intercept.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from recsys.bank.customers import make_customers
from recsys.bank.hidden import make_hidden
from recsys.bank.money import make_money
from recsys.bank.needs import states_of
from recsys.bank.personas import make_personas
from recsys.bank.standing import make_standing
from recsys.bank.switches import Switches
from recsys.bank.truth import NEWCOMERS, TRUTHS, Truths, truths_of
from recsys.bank.worlds import HELD_BACK, WORLDS, World
from recsys.vocabulary import Bools, Floats

CUSTOMERS, SEED = 6_000, 20_260_101
MORNINGS = tuple(datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 12), (4, 1), (7, 6), (10, 26)))


class Population:
    """Needs of one large bank's customers in each world on some mornings, money as on a first day."""

    def __init__(self) -> None:
        self.truths = truths_of((*TRUTHS, *NEWCOMERS))
        self._numbers = np.arange(CUSTOMERS)
        self._persona = make_personas(self._numbers, founders=CUSTOMERS, seed=SEED)
        self.hidden = make_hidden(self._persona, numbers=self._numbers, truths=self.truths, seed=SEED)
        mornings = [self._states(morning) for morning in MORNINGS]
        self._states_all = [states for states, _ in mornings]
        self.possible = np.concatenate([possible for _, possible in mornings])
        self.persuadable = np.concatenate([self.hidden.persuadable] * len(MORNINGS))

    def _states(self, morning: datetime) -> tuple[Floats, Bools]:
        today = morning.toordinal()
        people = make_customers(
            self._persona, numbers=self._numbers, founders=CUSTOMERS, hidden=self.hidden, seed=SEED, start=morning
        )
        money = make_money(people, hidden=self.hidden, seed=SEED, today=today)
        standing = make_standing(people, truths=self.truths, seed=SEED, start=morning)
        states = states_of(people, money=money, standing=standing, switches=Switches(), today=today)
        adult = (today >= people.of_age_on)[:, None] | ~self.truths.adults_only
        return states, adult

    def need(self, world: World) -> Floats:
        """(mornings x n, P)."""
        liking = world.liking(self.hidden, truths=self.truths)
        return np.concatenate([world.need(liking, states=s, truths=self.truths) for s in self._states_all])


def rates_of(
    world: World, need: Floats, *, people: Population, truths: Truths, shifts: Floats
) -> tuple[Floats, Floats, Floats]:
    """(P,) mean taps, persuasion given a tap, and organic chance, with `shifts` (3, P) added."""
    possible = people.possible
    taps = np.where(possible, world.taps(truths.click + shifts[0] + need), 0.0)
    persuaded = world.persuaded(
        need, persuadable=people.persuadable, truths=truths, eased=np.zeros_like(need) - shifts[1]
    )
    anyway = np.where(possible, world.anyway(need, truths=truths), 0.0) * np.exp(shifts[2])
    n = possible.sum(axis=0)
    return taps.sum(axis=0) / n, (taps * persuaded).sum(axis=0) / taps.sum(axis=0), anyway.sum(axis=0) / n


def shifts_of(world: World, *, people: Population, wanted: tuple[Floats, Floats, Floats]) -> Floats:
    """(3, P) the intercepts that give `world` the wanted rates."""
    need, truths = people.need(world), people.truths
    shifts = np.zeros((3, len(truths.ids)))
    for which in range(3):

        def found(tried: Floats, which: int = which) -> Floats:
            shifts[which] = tried
            return rates_of(world, need, people=people, truths=truths, shifts=shifts)[which]

        shifts[which] = _bisected(found, wanted=wanted[which])
    return shifts


def _bisected(rate: Callable[[Floats], Floats], *, wanted: Floats) -> Floats:
    """(P,) where the rising `rate` meets `wanted`, product by product."""
    low, high = np.full_like(wanted, -8.0), np.full_like(wanted, 8.0)
    for _ in range(30):
        middle = (low + high) / 2.0
        below = rate(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2.0


def main() -> None:
    """Print SHIFTS."""
    people = Population()
    plain = WORLDS["plain"]
    none = np.zeros((3, len(people.truths.ids)))
    wanted = rates_of(plain, people.need(plain), people=people, truths=people.truths, shifts=none)
    for name in HELD_BACK:
        print(f'        "{name}": {{')
        for product, shift in zip(
            people.truths.ids, shifts_of(WORLDS[name], people=people, wanted=wanted).T, strict=True
        ):
            print(f'            "{product}": ({", ".join(f"{each:.2f}" for each in shift)}),')
        print("        },")


if __name__ == "__main__":
    main()
