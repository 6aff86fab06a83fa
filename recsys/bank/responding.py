"""From chances to outcomes: what the night brings, what visits bring, and the books that are kept of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from recsys.bank.aftermath import Aftermath, kept
from recsys.bank.books import Books, Morning
from recsys.bank.dice import Ints
from recsys.bank.holdings import UPSET, make_holdings
from recsys.bank.intent import make_intents
from recsys.bank.money import low
from recsys.bank.moods import complaining, feel, leaving_of
from recsys.bank.needs import People, states_of, suited_of
from recsys.bank.occasions import SURFACES, examined, lures
from recsys.bank.outcomes import (
    BALANCE,
    CANCELLED,
    COMPLAINED,
    DISMISSED,
    FUNDED,
    KINDS,
    OPTED_OUT,
    SEEN,
    TAPPED,
    Outcomes,
    delivered,
    joined,
    taken,
)
from recsys.bank.product import ERRAND
from recsys.bank.response import chances_of, draw
from recsys.bank.showing import happened, slots_of
from recsys.bank.switches import Switches
from recsys.bank.truth import Truths
from recsys.bank.visits import Arrivals
from recsys.bank.worlds import World
from recsys.vocabulary import Floats

__all__ = ["KINDS", "Morning", "Outcomes", "Responder", "make_responder"]

_LOOK, _TAP, _LEAVE = 2.0, 3.0, 30.0  # seconds: to look at a place, then to act, or to find the settings
_PUSH = SURFACES.index("push")
_ERRANDS: Floats = np.array([ERRAND[surface] for surface in SURFACES])


@dataclass(slots=True, eq=False)
class Responder(Books):
    """Turns arrivals and what they are shown into outcomes and books them; it shares its bank's mutable parts."""

    def wake(self, number: int) -> Outcomes:
        """Begin day `number`: count yesterday; tell and settle what becomes known today of earlier openings."""
        self.holdings.turn_day(number=number, truths=self.truths)
        due = self.aftermath.due(before=86_400.0 * (number + 1))
        keys = self.keys(due.rows, due.surfaces, due.columns)
        hidden, funded = self.people.hidden, due.kinds == FUNDED
        gap = self.gaps(number)[due.columns] * np.exp(0.3 * hidden.price[due.rows])
        left = kept(hidden.patience[due.rows], gap, keys=keys, seed=self.seed, number=number)
        due = replace(due, pence=np.where(due.kinds == BALANCE, due.pence * left, due.pence).astype(np.int64))
        isa = self.truths.isa()
        for row, column, pence in zip(
            *(each[funded].tolist() for each in (due.rows, due.columns, due.pence)), strict=True
        ):
            self.people.money.deposit(row, pence=pence, counts=bool(isa[column]))
        given_back = due.kinds == CANCELLED
        self.holdings.cancel(due.rows[given_back], due.columns[given_back])
        upset = given_back | (due.kinds == COMPLAINED)
        np.add.at(self.holdings.mood_today, due.rows[upset], UPSET)
        return delivered(due, arrivals=None, keys=keys, seed=self.seed, number=number, switches=self.switches)

    def begin(self, number: int) -> Morning:
        """The chances of day `number`, once its money and standing are settled, and its organic openings."""
        people = self.people
        suited = self.suited(number)
        need = self.need(number)
        settled = self.holdings.settled()
        anyway = (suited & ~settled) * self.world.anyway(need, truths=self.truths)
        numbers = people.customers.numbers
        rows, columns = self.intents.advance(anyway, numbers=numbers, seed=self.seed, number=number)
        chances = chances_of(
            need,
            world=self.world,
            truths=self.truths,
            intents=self.intents,
            persuadable=people.hidden.persuadable,
            tired=self.holdings.fatigue,
            lures=lures(self.truths, switches=self.switches, seed=self.seed, number=number),
            low=low(people.money, customers=people.customers),
            suited=suited,
        )
        comes = (suited & ~settled)[rows, columns]
        openings = self.open_organic(rows[comes], columns[comes], chances=chances, number=number)
        keys = self.keys(openings.rows, openings.surfaces, openings.columns)
        told = delivered(openings, arrivals=None, keys=keys, seed=self.seed, number=number, switches=self.switches)
        return Morning(number, chances, suited, self.holdings.bothers.sum(axis=0), told, openings)

    def respond(self, arrivals: Arrivals, shown: Ints, *, morning: Morning) -> Outcomes:
        """What arrivals bring, and book it; `shown` (v, k) product columns by place, -1 for none.

        Raises InvalidTable for a table that does not fit the arrivals, unknown products or too many.
        """
        number, truths = morning.number, self.truths
        slots = slots_of(arrivals, shown, truths=truths, numbers=self.people.customers.numbers)
        fates = self.intents.fates[slots.rows, truths.topics[slots.columns]] == slots.columns
        examination = examined(self.switches, number=number)[slots.surfaces, slots.places]
        drawn = draw(
            slots,
            chances=morning.chances,
            fates=fates,
            examination=examination,
            errand=_ERRANDS[slots.surfaces],
            seed=self.seed,
            number=number,
        )
        looked = (86_400.0 * number + slots.seconds + _LOOK * (slots.places + 1)).round(3)
        opened, openings = self.open(slots, drawn, at=looked + _TAP + 1.0, morning=morning)
        bothered = drawn.dismissed | (drawn.seen & (slots.surfaces == _PUSH))
        standing, irritation = self.people.standing, self.people.hidden.irritation
        leaving = leaving_of(
            slots,
            bothered,
            bothers=morning.bothers,
            allows=standing.allows[:, 0],
            irritation=irritation,
            seed=self.seed,
            number=number,
        )
        for row, second in zip(slots.rows[leaving].tolist(), (looked[leaving] + _LEAVE).tolist(), strict=True):
            standing.objects(row, at=self.midnight + timedelta(seconds=second))
        feel(slots, drawn, bothered=bothered, holdings=self.holdings, irritation=irritation, number=number)
        upset = complaining(slots, drawn, at=looked, irritation=irritation, seed=self.seed, number=number)
        self.aftermath.expect(upset)
        found = [
            (np.flatnonzero(drawn.seen), SEEN, looked),
            (np.flatnonzero(drawn.tapped), TAPPED, looked + _TAP),
            (np.flatnonzero(drawn.dismissed), DISMISSED, looked + _TAP),
            (leaving, OPTED_OUT, looked + _LEAVE),
        ]
        parts = [happened(slots, index, kind=kind, seconds=at[index], number=number) for index, kind, at in found]
        index = np.concatenate([*(each for each, _, _ in found), opened])
        what = joined([*parts, openings])
        order = np.lexsort((what.kinds, index))
        what, index = taken(what, order), index[order]
        return delivered(
            what,
            arrivals=slots.arrivals[index],
            keys=slots.keys[index],
            seed=self.seed,
            number=number,
            switches=self.switches,
        )

    def values(self, arrivals: Arrivals, *, morning: Morning) -> Floats:
        """(v, P) expected points that each card brings about if it is seen, in closed form, as things stand."""
        settled, points = self.holdings.settled()[arrivals.rows], self.truths.points
        errand = _ERRANDS[arrivals.surfaces][:, None]
        return morning.chances.values(arrivals.rows, errand=errand, points=points, settled=settled)

    def attributed(self, arrivals: Arrivals, *, morning: Morning) -> Floats:
        """(v, P) as `values`, with openings that would have come anyway credited to the card."""
        settled, points = self.holdings.settled()[arrivals.rows], self.truths.points
        errand = _ERRANDS[arrivals.surfaces][:, None]
        return morning.chances.attributed(arrivals.rows, errand=errand, points=points, settled=settled)

    def taps(self, arrivals: Arrivals, *, morning: Morning) -> Floats:
        """(v, P) P(tap | seen)."""
        return morning.chances.taps(arrivals.rows, slice(None), errand=_ERRANDS[arrivals.surfaces][:, None])


def make_responder(
    people: People, *, world: World, truths: Truths, switches: Switches, seed: int, start: int
) -> Responder:
    """The evening before the first day: what people like, own, and are in the market for."""
    numbers = people.customers.numbers
    liking = world.liking(people.hidden, truths=truths)
    suited = suited_of(people, truths=truths, switches=switches, number=0, today=start)
    holdings = make_holdings(liking, truths=truths, suited=suited, numbers=numbers, seed=seed)
    states = states_of(people.customers, money=people.money, standing=people.standing, switches=switches, today=start)
    need = world.need(liking, states=states, truths=truths)
    anyway = (suited & ~holdings.held) * world.anyway(need, truths=truths)
    return Responder(
        seed=seed,
        world=world,
        truths=truths,
        switches=switches,
        people=people,
        start=start,
        liking=liking,
        holdings=holdings,
        intents=make_intents(anyway, truths=truths, numbers=numbers, seed=seed),
        aftermath=Aftermath.none(),
    )
