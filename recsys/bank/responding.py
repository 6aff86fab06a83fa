"""From chances to outcomes: draws what visits bring, keeps the books, and words it as a bank would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, Keys, normals, uniforms
from recsys.bank.holdings import DISMISSAL_DAYS, Holdings, Opening
from recsys.bank.money import Money
from recsys.bank.response import Chances, Shown, draw, opt_out_chance, waits
from recsys.bank.seasons import ISA_ALLOWANCE_PENCE
from recsys.bank.standing import Standing
from recsys.bank.truth import EXAMINATION, INTENT, Truths
from recsys.bank.visits import BankOutcome, Visit
from recsys.errors import InvalidTable
from recsys.vocabulary import NOTHING, Bools, Floats, ProductId

LATE = 0.02  # of outcomes reach us one to three days late (domain 3.8)
_SURFACES = tuple(EXAMINATION)
_PLACES = 16  # room for the places of a surface in a key
_WHERE = "the bank's visits"


@dataclass(frozen=True, slots=True, eq=False)
class Responder:
    """Turns visits and slates into outcomes and books them; it shares its bank's mutable parts."""

    seed: int
    start: datetime
    truths: Truths
    customers: Customers
    money: Money
    standing: Standing
    holdings: Holdings
    columns: dict[ProductId, int]

    def respond(
        self,
        visits: Sequence[Visit],
        slates: Sequence[Sequence[ProductId]],
        *,
        chances: Chances,
        dismissals: Ints,
        number: int,
    ) -> list[BankOutcome]:
        """What `visits` bring on day `number`; `dismissals` (n,) are those of 14 days up to this morning."""
        shown = self._shown(visits, slates)
        drawn = draw(shown, chances=chances, seed=self.seed, number=number)
        np.add.at(self.holdings.seen_today, (shown.rows, shown.columns), drawn.seen)
        np.add.at(self.holdings.dismissals[number % DISMISSAL_DAYS], shown.rows, drawn.dismissed)
        openings = self._openings(shown, drawn.opened, visits=visits, number=number)
        leaving = self._leaving(shown, drawn.dismissed, dismissals=dismissals, number=number)
        lags = _lags(shown.keys, seed=self.seed, number=number).tolist()
        fates = zip(*(marks.tolist() for marks in (drawn.seen, drawn.tapped, drawn.dismissed)), strict=True)
        outcomes: list[BankOutcome] = []
        for slot, (seen, tapped, dismissed) in enumerate(fates):
            if not seen:
                continue
            index, place = int(shown.visits[slot]), int(shown.places[slot])
            visit, product = visits[index], self.truths.ids[shown.columns[slot]]
            at = visit.at + timedelta(seconds=_LOOK * (place + 1))
            found: list[tuple[str, datetime, int | None]] = [("seen", at, None)]
            if tapped or dismissed:
                found.append(("tapped" if tapped else "dismissed", at + timedelta(seconds=_TAP), None))
            if slot in leaving:
                found.append(("opted_out", at + timedelta(seconds=_LEAVE), None))
                self.standing.objects(visit.row, at=found[-1][1])
            if slot in openings:
                when = self.start + timedelta(seconds=openings[slot].at)
                found.append(("opened", when, openings[slot].amount_pence or None))
            name, lag = f"o-{number}-{visit.row}-{visit.surface}-{place}", timedelta(seconds=lags[slot])
            outcomes += [
                BankOutcome(
                    f"{name}-{kind}", index, visit.customer_id, visit.row, product, kind, when, when + lag, pence
                )
                for kind, when, pence in found
            ]
        return outcomes

    def organic(self, *, chances: Chances, suited: Bools, number: int) -> tuple[BankOutcome, ...]:
        """Openings of day `number` that need no card; booked at once, sorted by time."""
        keys = np.arange(suited.size, dtype=np.uint64)
        luck = uniforms(self.seed, purpose="organic", day=number, keys=keys).reshape(suited.shape)
        rows, columns = np.nonzero((luck < chances.organic) & suited & ~self.holdings.settled())
        hits = (rows * len(self.truths.ids) + columns).astype(np.uint64)
        at = 86_400.0 * (number + uniforms(self.seed, purpose="organic times", day=number, keys=hits))
        amounts = self._amounts(rows, columns, keys=hits, number=number)
        lags = _lags(hits, seed=self.seed, number=number).tolist()
        booked = [
            Opening(float(round(when, 3)), row, column, amount)
            for when, row, column, amount in zip(at, rows.tolist(), columns.tolist(), amounts, strict=True)
        ]
        for opening in booked:
            self.holdings.expect(opening)
        told = [self._told(opening, lag=lag, number=number) for opening, lag in zip(booked, lags, strict=True)]
        return tuple(sorted(told, key=lambda outcome: outcome.happened_at))

    def _told(self, opening: Opening, *, lag: float, number: int) -> BankOutcome:
        happened = self.start + timedelta(seconds=opening.at)
        product, row = self.truths.ids[opening.column], opening.row
        reported = happened + timedelta(seconds=lag)
        pence = opening.amount_pence or None
        return BankOutcome(
            f"g-{number}-{row}-{product}",
            None,
            self.customers.ids[row],
            row,
            product,
            "opened",
            happened,
            reported,
            pence,
        )

    def _shown(self, visits: Sequence[Visit], slates: Sequence[Sequence[ProductId]]) -> Shown:
        if len(visits) != len(slates):
            raise InvalidTable(f"{len(slates)} slates for {len(visits)} visits", where=_WHERE)
        each_surface = _surfaces_of(visits)
        flat: list[tuple[int, int, int, int]] = []
        for index, (visit, slate) in enumerate(zip(visits, slates, strict=True)):
            products = [product for product in slate if product != NOTHING]
            if len(products) > len(EXAMINATION[visit.surface]):
                raise InvalidTable(f"{len(products)} products on {visit.surface}", where=_WHERE, rows=(index + 1,))
            if unknown := [product for product in products if product not in self.columns]:
                raise InvalidTable(f"no product {unknown[0]!r}", where=_WHERE, rows=(index + 1,))
            flat += [(index, visit.row, self.columns[product], place) for place, product in enumerate(products)]
        table = np.array(flat, dtype=np.int64).reshape(-1, 4)
        surfaces = each_surface[table[:, 0]]
        keys = (table[:, 1] * len(_SURFACES) + surfaces) * _PLACES + table[:, 3]
        return Shown(
            visits=table[:, 0],
            rows=table[:, 1],
            columns=table[:, 2],
            places=table[:, 3],
            keys=keys.astype(np.uint64),
            examination=_EXAMINED[surfaces, table[:, 3]],
            intent=_INTENTS[surfaces],
        )

    def _openings(self, shown: Shown, opened: Bools, *, visits: Sequence[Visit], number: int) -> dict[int, Opening]:
        """Book what was decided, once for each customer and product; by slot."""
        slots = np.flatnonzero(opened)
        if not len(slots):
            return {}
        rows, columns, keys = shown.rows[slots], shown.columns[slots], shown.keys[slots]
        delays = waits([self.truths.products[each].delay for each in columns], keys=keys, seed=self.seed, number=number)
        amounts = self._amounts(rows, columns, keys=keys, number=number)
        booked: dict[int, Opening] = {}
        for place, slot in enumerate(slots.tolist()):
            row, column = int(rows[place]), int(columns[place])
            if self.holdings.held[row, column] or self.holdings.coming[row, column]:
                continue
            tapped = (visits[int(shown.visits[slot])].at - self.start).total_seconds() + _LOOK * (
                int(shown.places[slot]) + 1
            )
            booked[slot] = Opening(round(tapped + _TAP + 1.0 + float(delays[place]), 3), row, column, amounts[place])
            self.holdings.expect(booked[slot])
        return booked

    def _leaving(self, shown: Shown, dismissed: Bools, *, dismissals: Ints, number: int) -> set[int]:
        """Slots whose dismissal made the customer opt out; at most one for each customer."""
        slots = np.flatnonzero(dismissed)
        slots = slots[self.standing.allows[shown.rows[slots], 0]]
        if not len(slots):
            return set()
        rows = shown.rows[slots]
        luck = uniforms(self.seed, purpose="opts out", day=number, keys=shown.keys[slots])
        leaves = luck < opt_out_chance(dismissals[rows] + 1)
        _, first = np.unique(rows[leaves], return_index=True)
        return set(slots[leaves][first].tolist())

    def _amounts(self, rows: Ints, columns: Ints, *, keys: Keys, number: int) -> list[int]:
        """First deposits in pence: about a third of what lies about, at least £10; 0 where none belongs."""
        spare = self.money.savings[rows] + np.maximum(self.money.balance[rows], 0)
        share = np.minimum(0.3 * np.exp(0.6 * normals(self.seed, purpose="deposit", day=number, keys=keys)), 0.9)
        pence = np.maximum(spare * share, 1_000).astype(np.int64)
        room = np.maximum(ISA_ALLOWANCE_PENCE - self.money.isa_subscribed[rows], 1_000)
        saves = np.array([truth.family == "savings" for truth in self.truths.products])[columns]
        isa = isa_of(self.truths)[columns]
        amounts = np.where(isa, np.minimum(pence, room), pence)
        return [int(each) for each in np.where(saves | isa, amounts, 0)]


_LOOK, _TAP, _LEAVE = 2.0, 3.0, 30.0  # seconds: to look at a place, then to act, or to find the settings
_WIDTH = max(len(chances) for chances in EXAMINATION.values())
_EXAMINED: Floats = np.array([(*each, *(0.0,) * (_WIDTH - len(each))) for each in EXAMINATION.values()])
_INTENTS: Floats = np.array([INTENT[surface] for surface in _SURFACES])


def isa_of(truths: Truths) -> Bools:
    """(P,) products that use the ISA allowance."""
    return np.array([truth.product_id.endswith("-isa") for truth in truths.products])


def intents_of(visits: Sequence[Visit]) -> Floats:
    """(visits, 1) what each visit's surface adds to the click logit."""
    return _INTENTS[_surfaces_of(visits)][:, None]


def _surfaces_of(visits: Sequence[Visit]) -> Ints:
    """(visits,) index of each visit's surface."""
    if unknown := [row for row, visit in enumerate(visits, start=1) if visit.surface not in EXAMINATION]:
        raise InvalidTable(f"no such surface; the bank has {', '.join(EXAMINATION)}", where=_WHERE, rows=unknown)
    return np.array([_SURFACES.index(visit.surface) for visit in visits], dtype=np.int64)


def _lags(keys: Keys, *, seed: int, number: int) -> Floats:
    """Seconds from happening to being told: some twenty, but days for the late ones."""
    late, long = (uniforms(seed, purpose=name, day=number, keys=keys) for name in ("late", "lag"))
    lags: Floats = np.where(late < LATE, 86_400.0 * (1.0 + 2.0 * long), 1.0 - 20.0 * np.log(long)).round(3)
    return lags
