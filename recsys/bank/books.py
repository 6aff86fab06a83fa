"""The books of the response: who wants, owns and awaits what, and how an opening enters them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from recsys.bank.aftermath import Aftermath, follow
from recsys.bank.delays import waits
from recsys.bank.dice import Ints, Keys, normals, uniforms
from recsys.bank.hidden import Hidden
from recsys.bank.holdings import Holdings, openings_of
from recsys.bank.intent import Intents
from recsys.bank.needs import People, first_deposits, need_of, suited_of
from recsys.bank.outcomes import Happenings, Outcomes, slot_keys, taken
from recsys.bank.rates import gaps
from recsys.bank.response import Chances, Drawn, Shown
from recsys.bank.switches import Switches
from recsys.bank.truth import Truths
from recsys.bank.worlds import World
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Morning:
    """What was decided when the day began."""

    number: int
    chances: Chances
    suited: Bools  # (n, P)
    bothers: Ints  # (n,) of the last 14 days
    organic: Outcomes
    openings: Happenings  # the organic ones as they truly are


@dataclass(slots=True, eq=False)
class Books:
    """The state of a bank's response; `people` it shares with its bank, all else is its own."""

    seed: int
    world: World
    truths: Truths
    switches: Switches
    people: People
    start: int  # the first day's ordinal
    liking: Floats  # (n, P)
    holdings: Holdings
    intents: Intents
    aftermath: Aftermath
    channelled: int = 0  # openings so far that came through a card and would have come anyway

    def like(self, hidden: Hidden) -> None:
        """From now on people want other things: their hidden traits have drifted."""
        self.people = self.people._replace(hidden=hidden)
        self.liking = self.world.liking(hidden, truths=self.truths)

    def suited(self, number: int) -> Bools:
        """(n, P) what each could open on day `number` if they did not own it."""
        return suited_of(
            self.people, truths=self.truths, switches=self.switches, number=number, today=self.start + number
        )

    def need(self, number: int) -> Floats:
        """(n, P) need on the morning of day `number`."""
        return need_of(
            self.people,
            self.liking,
            world=self.world,
            truths=self.truths,
            switches=self.switches,
            gap=self.gaps(number),
            seed=self.seed,
            number=number,
            today=self.start + number,
        )

    @property
    def midnight(self) -> datetime:
        """The bank's first, in UTC."""
        return datetime.fromordinal(self.start).replace(tzinfo=UTC)

    def gaps(self, number: int) -> Floats:
        """(P,) points by which our rates lie over competitors' on day `number`."""
        if not self.switches.rates:
            return np.zeros(len(self.truths.ids))
        cut_on = self.switches.rate_cut_on(self.start)
        return gaps(self.truths.ids, seed=self.seed, start=self.start, day=self.start + number, cut_on=cut_on)

    def open(self, slots: Shown, drawn: Drawn, *, at: Floats, morning: Morning) -> tuple[Ints, Happenings]:
        """Book what cards decided, once for each customer and product: (slots, openings); fates learn of taps."""
        open_to = ~self.holdings.settled()[slots.rows, slots.columns]
        telling = np.flatnonzero(drawn.tapped & open_to & (morning.chances.bound[slots.rows, slots.columns] > 0.0))
        self.intents.told(
            slots.rows[telling], slots.columns[telling], came=drawn.channelled[telling], truths=self.truths
        )
        index = np.flatnonzero((drawn.channelled | drawn.brought) & open_to)
        _, first = np.unique(slots.rows[index] * len(self.truths.ids) + slots.columns[index], return_index=True)
        index = index[np.sort(first)]
        self.channelled += int(drawn.channelled[index].sum())
        rows, columns = slots.rows[index], slots.columns[index]
        keys, number = self.keys(rows, slots.surfaces[index], columns), morning.number
        delays = [self.truths.products[each].delay for each in columns.tolist()]
        openings = openings_of(
            rows,
            columns,
            seconds=at[index] + waits(delays, keys=keys, seed=self.seed, number=number),
            pence=self._deposits(rows, columns, keys=keys, number=number),
            days=np.full(len(rows), number),
            surfaces=slots.surfaces[index],
            places=slots.places[index],
        )
        self._book(openings, chances=morning.chances, number=number)
        return index, openings

    def open_organic(self, rows: Ints, columns: Ints, *, chances: Chances, number: int) -> Happenings:
        """Book openings of today that came without us."""
        nowhere = np.full(len(rows), -1)
        keys = self.keys(rows, nowhere, columns)
        at = 86_400.0 * (number + uniforms(self.seed, purpose="organic times", day=number, keys=keys))
        openings = openings_of(
            rows,
            columns,
            seconds=at,
            pence=self._deposits(rows, columns, keys=keys, number=number),
            days=np.full(len(rows), number),
            surfaces=nowhere,
            places=nowhere,
        )
        openings = taken(openings, np.lexsort((columns, rows, openings.seconds)))
        self._book(openings, chances=chances, number=number)
        return openings

    def _book(self, openings: Happenings, *, chances: Chances, number: int) -> None:
        self.holdings.expect(openings)
        keys = self.keys(openings.rows, openings.surfaces, openings.columns)
        cancels = chances.cancels(openings.rows, openings.columns)
        self.aftermath.expect(follow(openings, cancels=cancels, keys=keys, seed=self.seed, number=number))

    def _deposits(self, rows: Ints, columns: Ints, *, keys: Keys, number: int) -> Ints:
        return first_deposits(
            self.people,
            rows,
            columns,
            truths=self.truths,
            switches=self.switches,
            today=self.start + number,
            luck=normals(self.seed, purpose="deposit", day=number, keys=keys),
        )

    def keys(self, rows: Ints, surfaces: Ints, columns: Ints) -> Keys:
        """(h,) keys for dice, of the customer, the surface (-1: none) and the product."""
        return slot_keys(self.people.customers.numbers[rows], surfaces, self.truths.salts[columns])
