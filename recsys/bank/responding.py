"""From chances to outcomes: what the night brings, what visits bring, and the books that are kept of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from recsys.bank.aftermath import Aftermath, follow, kept
from recsys.bank.customers import Customers, Hidden
from recsys.bank.delays import waits
from recsys.bank.dice import Ints, Keys, normals, uniforms
from recsys.bank.happenings import SURFACES, campaign, examined, lures
from recsys.bank.holdings import ANNOYED, BOTHER_DAYS, BOTHERED, UPSET, Holdings, make_holdings, openings_of
from recsys.bank.intent import Intents, make_intents
from recsys.bank.money import Money, low
from recsys.bank.needs import isa_room, states_of, suited_of
from recsys.bank.outcomes import (
    BALANCE,
    CANCELLED,
    COMPLAINED,
    DISMISSED,
    FUNDED,
    OPTED_OUT,
    SEEN,
    TAPPED,
    Happenings,
    Outcomes,
    delivered,
    joined,
    slot_keys,
    taken,
)
from recsys.bank.product import ERRAND
from recsys.bank.rates import GAP_PULL, gaps
from recsys.bank.response import Chances, Drawn, Shown, chances_of, draw, opt_out_chance
from recsys.bank.showing import happened, slots_of
from recsys.bank.standing import Standing
from recsys.bank.switches import Switches
from recsys.bank.truth import Truths
from recsys.bank.visits import Arrivals
from recsys.bank.worlds import World
from recsys.vocabulary import Bools, Floats

COMPLAINS, COMPLAINT_AFTER = 0.002, 90_000.0  # of dismissals; seconds
_LOOK, _TAP, _LEAVE = 2.0, 3.0, 30.0  # seconds: to look at a place, then to act, or to find the settings
_PUSH = SURFACES.index("push")
_ERRANDS: Floats = np.array([ERRAND[surface] for surface in SURFACES])


class People(NamedTuple):
    """The parts of a bank that the response reads; `money` and `standing` change under it."""

    customers: Customers
    hidden: Hidden
    money: Money
    standing: Standing


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
class Responder:
    """Turns arrivals and what they are shown into outcomes and books them; it shares its bank's mutable parts."""

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

    def wake(self, number: int) -> Outcomes:
        """Begin day `number`: count yesterday; tell and settle what becomes known today of earlier openings."""
        self.holdings.turn_day(number=number, truths=self.truths)
        due = self.aftermath.due(before=86_400.0 * (number + 1))
        keys = self._keys(due.rows, due.surfaces, due.columns)
        hidden, funded = self.people.hidden, due.kinds == FUNDED
        gap = self._gaps(number)[due.columns] * np.exp(0.3 * hidden.price[due.rows])
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
        faults = self.switches.faults
        return delivered(due, arrivals=None, keys=keys, seed=self.seed, number=number, faults=faults)

    def begin(self, number: int) -> Morning:
        """The chances of day `number`, once its money and standing are settled, and its organic openings."""
        people = self.people
        suited = self.suited(number)
        need = self._need(number)
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
        openings = self._organic(rows[comes], columns[comes], chances=chances, number=number)
        keys = self._keys(openings.rows, openings.surfaces, openings.columns)
        told = delivered(openings, arrivals=None, keys=keys, seed=self.seed, number=number, faults=self.switches.faults)
        return Morning(number, chances, suited, self.holdings.bothers.sum(axis=0), told, openings)

    def suited(self, number: int) -> Bools:
        """(n, P) what each could open on day `number` if they did not own it."""
        return _suited(self.people, truths=self.truths, switches=self.switches, start=self.start, number=number)

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
        opened, openings = self._open(slots, drawn, at=looked + _TAP + 1.0, morning=morning)
        bothered = drawn.dismissed | (drawn.seen & (slots.surfaces == _PUSH))
        leaving = self._leaving(slots, bothered, bothers=morning.bothers, number=number)
        self._feel(slots, drawn, bothered=bothered, at=looked, number=number)
        self._object(slots, leaving, at=looked + _LEAVE)
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
            faults=self.switches.faults,
        )

    def errands(self, surfaces: Ints) -> Floats:
        """(v, 1) what each surface adds to the click index."""
        return _ERRANDS[surfaces][:, None]

    def _need(self, number: int) -> Floats:
        people, switches = self.people, self.switches
        states = states_of(
            people.customers,
            money=people.money,
            standing=people.standing,
            switches=switches,
            today=self.start + number,
        )
        need = self.world.need(self.liking, states=states, truths=self.truths)
        if (gap := self._gaps(number)).any():
            priced = np.flatnonzero(gap)
            need[:, priced] += GAP_PULL * gap[priced] * np.exp(0.3 * people.hidden.price)[:, None]
        numbers = people.customers.numbers
        pull = campaign(self.truths, switches=switches, numbers=numbers, seed=self.seed, number=number)
        return need if pull is None else need + pull

    def _gaps(self, number: int) -> Floats:
        if not self.switches.rates:
            return np.zeros(len(self.truths.ids))
        return gaps(self.truths.ids, seed=self.seed, start=self.start, day=self.start + number)

    def _organic(self, rows: Ints, columns: Ints, *, chances: Chances, number: int) -> Happenings:
        nowhere = np.full(len(rows), -1)
        keys = self._keys(rows, nowhere, columns)
        at = 86_400.0 * (number + uniforms(self.seed, purpose="organic times", day=number, keys=keys))
        openings = openings_of(
            rows,
            columns,
            seconds=at,
            pence=self._amounts(rows, columns, keys=keys, number=number),
            days=np.full(len(rows), number),
            surfaces=nowhere,
            places=nowhere,
        )
        openings = taken(openings, np.lexsort((columns, rows, openings.seconds)))
        self._book(openings, chances=chances, number=number)
        return openings

    def _open(self, slots: Shown, drawn: Drawn, *, at: Floats, morning: Morning) -> tuple[Ints, Happenings]:
        """Book what was decided, once for each customer and product: (slots, openings); fates learn of taps."""
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
        keys, number = self._keys(rows, slots.surfaces[index], columns), morning.number
        delays = [self.truths.products[each].delay for each in columns.tolist()]
        openings = openings_of(
            rows,
            columns,
            seconds=at[index] + waits(delays, keys=keys, seed=self.seed, number=number),
            pence=self._amounts(rows, columns, keys=keys, number=number),
            days=np.full(len(rows), number),
            surfaces=slots.surfaces[index],
            places=slots.places[index],
        )
        self._book(openings, chances=morning.chances, number=number)
        return index, openings

    def _book(self, openings: Happenings, *, chances: Chances, number: int) -> None:
        self.holdings.expect(openings)
        keys = self._keys(openings.rows, openings.surfaces, openings.columns)
        cancels = chances.cancels[openings.rows, openings.columns]
        self.aftermath.expect(follow(openings, cancels=cancels, keys=keys, seed=self.seed, number=number))

    def _leaving(self, slots: Shown, bothered: Bools, *, bothers: Ints, number: int) -> Ints:
        """Slots that made the customer opt out of marketing; at most one for each customer."""
        index = np.flatnonzero(bothered)
        index = index[self.people.standing.allows[slots.rows[index], 0]]
        rows = slots.rows[index]
        luck = uniforms(self.seed, purpose="opts out", day=number, keys=slots.keys[index])
        leaves = luck < opt_out_chance(bothers[rows] + 1, irritation=self.people.hidden.irritation[rows])
        _, first = np.unique(rows[leaves], return_index=True)
        return np.sort(index[leaves][first])

    def _object(self, slots: Shown, leaving: Ints, *, at: Floats) -> None:
        midnight = datetime.fromordinal(self.start).replace(tzinfo=UTC)
        for row, second in zip(slots.rows[leaving].tolist(), at[leaving].tolist(), strict=True):
            self.people.standing.objects(row, at=midnight + timedelta(seconds=second))

    def _feel(self, slots: Shown, drawn: Drawn, *, bothered: Bools, at: Floats, number: int) -> None:
        """Cards tire, dismissed ones annoy, and some people write to complain."""
        tiring = drawn.seen + ANNOYED * drawn.dismissed
        np.add.at(self.holdings.tired_today, (slots.rows, slots.columns), tiring)
        np.add.at(self.holdings.bothers[number % BOTHER_DAYS], slots.rows, bothered)
        index = np.flatnonzero(drawn.dismissed)
        rows = slots.rows[index]
        temper = np.exp(0.5 * self.people.hidden.irritation[rows])
        np.add.at(self.holdings.mood_today, rows, BOTHERED * temper)
        luck = uniforms(self.seed, purpose="complains of a card", day=number, keys=slots.keys[index])
        index = index[luck < COMPLAINS * temper]
        self.aftermath.expect(
            happened(slots, index, kind=COMPLAINED, seconds=at[index] + COMPLAINT_AFTER, number=number)
        )

    def _amounts(self, rows: Ints, columns: Ints, *, keys: Keys, number: int) -> Ints:
        """First deposits in pence: about a third of what lies about, at least £10; 0 where none belongs."""
        people, truths = self.people, self.truths
        spare = people.money.savings[rows] + np.maximum(people.money.balance[rows], 0)
        share = np.minimum(0.3 * np.exp(0.6 * normals(self.seed, purpose="deposit", day=number, keys=keys)), 0.9)
        pence = np.maximum(spare * share, 1_000).astype(np.int64)
        room = isa_room(
            people.customers,
            money=people.money,
            truths=truths,
            switches=self.switches,
            today=self.start + number,
            rows=rows,
        )
        saves = truths.where(family="savings") | truths.isa()
        return np.where(saves[columns], np.minimum(pence, np.maximum(room[np.arange(len(rows)), columns], 1_000)), 0)

    def _keys(self, rows: Ints, surfaces: Ints, columns: Ints) -> Keys:
        return slot_keys(self.people.customers.numbers[rows], surfaces, self.truths.salts[columns])


def make_responder(
    people: People, *, world: World, truths: Truths, switches: Switches, seed: int, start: int
) -> Responder:
    """The evening before the first day: what people like, own, and are in the market for."""
    numbers = people.customers.numbers
    liking = world.liking(people.hidden, truths=truths)
    suited = _suited(people, truths=truths, switches=switches, start=start, number=0)
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


def _suited(people: People, *, truths: Truths, switches: Switches, start: int, number: int) -> Bools:
    return suited_of(
        people.customers,
        money=people.money,
        standing=people.standing,
        truths=truths,
        switches=switches,
        number=number,
        today=start + number,
    )
