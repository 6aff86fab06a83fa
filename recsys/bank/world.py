"""The bank itself: lives day by day, tells what a bank would tell, and knows the truth.

    bank = Bank.create(customers=5_000, seed=1, start=..., catalogue=tuple(TRUTHS))
    day = bank.begin_day()                      # money, hazards, visits
    bank.facts(rows); bank.activity()           # what a bank would send
    bank.respond(visits, slates)                # what people do with what they are shown
    bank.values(visits)                         # what each card is truly worth, for the oracle

Every draw hangs on (seed, purpose, day) and, in `respond`, on the customer, surface and product. A
day is decided by its morning: fatigue, ownership and openings of today count from tomorrow, so
outcomes do not depend on how visits are grouped into calls (calls must come in time order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.activity import activities_of
from recsys.bank.books import Morning
from recsys.bank.customers import make_customers, make_hidden, make_personas
from recsys.bank.dice import Ints
from recsys.bank.facts import FactSheet
from recsys.bank.intent import viewed, views_of
from recsys.bank.money import Movements, make_money
from recsys.bank.needs import People
from recsys.bank.occasions import SURFACES, examined
from recsys.bank.outcomes import Outcomes
from recsys.bank.responding import make_responder
from recsys.bank.seasons import days_of
from recsys.bank.showing import arrivals_of, columns_of
from recsys.bank.standing import make_standing
from recsys.bank.switches import Switches
from recsys.bank.truth import EXAMINATION, truths_of
from recsys.bank.visits import Arrivals, BankOutcome, Day, Visit, visits_of
from recsys.bank.worlds import world_of
from recsys.errors import InvalidConfiguration, Misuse
from recsys.vocabulary import Activity, Bools, CustomerId, FactValue, Floats, Permissions, ProductId

ARRANGED_OVERDRAFT_PENCE = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class _Lived:
    """Today."""

    day: Day
    movements: Movements
    morning: Morning
    later: Outcomes


class Bank:
    """A synthetic bank; make one with `create`."""

    def __init__(
        self,
        *,
        customers: int,
        seed: int,
        start: datetime,
        catalogue: Sequence[ProductId],
        points: Mapping[ProductId, float] | None = None,
        world: str = "plain",
        switches: Switches | None = None,
    ) -> None:
        self.seed, self.start, self.switches = seed, start, switches or Switches()
        self.truths = truths_of(catalogue, points=points, world=world)
        persona = make_personas(customers, seed=seed)
        hidden = make_hidden(persona, truths=self.truths, seed=seed)
        self.customers = make_customers(persona, hidden=hidden, seed=seed, start=start)
        self._standing = make_standing(self.customers, truths=self.truths, seed=seed, start=start)
        self._money = make_money(self.customers, hidden=hidden, seed=seed, today=start.toordinal())
        self._number = -1
        self.response = make_responder(
            People(self.customers, hidden, self._money, self._standing),
            world=world_of(world),
            truths=self.truths,
            switches=self.switches,
            seed=seed,
            start=start.toordinal(),
        )
        self._facts = FactSheet(self.customers, truths=self.truths, seed=seed)
        self._today: _Lived | None = None

    @classmethod
    def create(
        cls,
        *,
        customers: int,
        seed: int,
        start: datetime,
        catalogue: Sequence[ProductId],
        points: Mapping[ProductId, float] | None = None,
        world: str = "plain",
        switches: Switches | None = None,
    ) -> Bank:
        """A bank on the evening before `start` (aware UTC midnight).

        `catalogue` names the products in the order of every (…, products) array; `points` replaces
        what an opening is worth; `world` is one of `worlds.WORLDS`; `switches` default to the usual
        world's. Raises InvalidConfiguration with one sentence.
        """
        if customers < 1:
            raise InvalidConfiguration(f"a bank needs at least one customer, got {customers}")
        if seed < 0:
            raise InvalidConfiguration(f"the seed must not be negative, got {seed}")
        if start.utcoffset() != timedelta(0):
            raise InvalidConfiguration("the bank's start must be an aware UTC time, for example 2026-01-05T00:00:00Z")
        if (start.hour, start.minute, start.second, start.microsecond) != (0, 0, 0, 0):
            raise InvalidConfiguration(f"the bank starts at midnight, got {start.isoformat()}")
        return cls(
            customers=customers,
            seed=seed,
            start=start,
            catalogue=catalogue,
            points=points,
            world=world,
            switches=switches,
        )

    def begin_day(self) -> Day:
        """Live the night: count yesterday, move money, let hazards act; return today with its visits."""
        self._number += 1
        midnight, today = days_of(self.start, number=self._number)
        self._standing.turn_day()
        later = self.response.wake(self._number)
        overdrawn = self._money.balance < 0
        people, seed, number = self.customers, self.seed, self._number
        self._standing.advance(customers=people, overdrawn=overdrawn, seed=seed, number=number, today=today)
        movements = self._money.advance(
            customers=people, limit=self._overdraft(), seed=seed, number=number, today=today
        )
        since = today - self._money.last_paid
        moved = replace(people, logins=people.logins * self.response.holdings.loyalty)
        visits = visits_of(
            moved, standing=self._standing, since_payday=since, seed=seed, number=number, midnight=midnight
        )
        day = Day(number, midnight, visits)
        self._today = _Lived(day, movements, self.response.begin(number), later)
        return day

    @property
    def begins_at(self) -> datetime:
        """Midnight of today; of the first day before it began."""
        return days_of(self.start, number=max(self._number, 0))[0]

    def facts(self, rows: Sequence[int]) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        """What the bank would send of these customers this morning; names in `facts.NAMES`."""
        now = self.begins_at
        return self._facts.of(
            rows, money=self._money, standing=self._standing, holdings=self.response.holdings, now=now
        )

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        """What these customers allow now."""
        return self._standing.permissions(rows)

    def changed_permissions(self) -> list[int]:
        """Rows whose consent changed since yesterday's `begin_day`, opting out included; ascending."""
        return sorted(self._standing.changed_yesterday | self._standing.changed_today)

    def activity(self) -> list[Activity]:
        """What customers did today: salary, spending by category, sweeps to savings, topics looked at in the app."""
        today, ids = self._lived(), self.customers.ids
        day = today.day
        moved = activities_of(today.movements, ids=ids, seed=self.seed, number=day.number, midnight=day.starts_at)
        numbers = self.customers.numbers
        logins = self.customers.logins * self.response.holdings.loyalty * (self._standing.status == 0)
        views = views_of(self.response.intents, logins=logins, numbers=numbers, seed=self.seed, number=day.number)
        return moved + viewed(*views, ids=ids, numbers=numbers, number=day.number, midnight=day.starts_at)

    def organic_at(self) -> Outcomes:
        """Today's openings that happened with no help of ours."""
        return self._lived().morning.organic

    def organic(self) -> list[BankOutcome]:
        """`organic_at` as objects."""
        return self._told(self.organic_at())

    def later(self) -> Outcomes:
        """What becomes known today of earlier openings: funded, balance_30d, cancelled_14d, complained."""
        return self._lived().later

    def suited(self, rows: Sequence[int]) -> Bools:
        """(len(rows), P) what each could open now and does not own, in the world's own sense."""
        suited = self.response.suited(max(self._number, 0)) & ~self.response.holdings.held
        return suited[np.asarray(rows, dtype=np.int64)]

    def examination(self, surface: str) -> Floats:
        """(slots,) probability that each place of a surface is seen today."""
        if surface not in EXAMINATION:
            raise InvalidConfiguration(f"the bank has no surface {surface!r}; it has {', '.join(EXAMINATION)}")
        table = examined(self.switches, number=max(self._number, 0))
        return table[SURFACES.index(surface), : len(EXAMINATION[surface])].copy()

    def values_at(self, arrivals: Arrivals) -> Floats:
        """(v, P) expected points that each card brings about if it is seen, in closed form, as things stand."""
        return self.response.values(arrivals, morning=self._lived().morning)

    def attributed_at(self, arrivals: Arrivals) -> Floats:
        """(v, P) as `values_at`, with openings that would have come anyway credited to the card."""
        return self.response.attributed(arrivals, morning=self._lived().morning)

    def taps_at(self, arrivals: Arrivals) -> Floats:
        """(v, P) P(tap | seen)."""
        return self.response.taps(arrivals, morning=self._lived().morning)

    def respond_at(self, arrivals: Arrivals, shown: Ints) -> Outcomes:
        """What arrivals bring; `shown` (v, k) are product columns by place, -1 for none. Calls come in time order.

        Openings may lie weeks ahead: whoever asked holds each outcome back until it is `reported`.
        Raises InvalidTable for a table that does not fit.
        """
        return self.response.respond(arrivals, shown, morning=self._lived().morning)

    def values(self, visits: Sequence[Visit]) -> Floats:
        """`values_at` of these visits."""
        return self.values_at(self._arrivals(visits))

    def tap_rates(self, visits: Sequence[Visit]) -> Floats:
        """`taps_at` of these visits."""
        return self.taps_at(self._arrivals(visits))

    def respond(self, visits: Sequence[Visit], slates: Sequence[Sequence[ProductId]]) -> list[BankOutcome]:
        """What customers do with what they are shown; `slates[i]` is shown to `visits[i]`, best place first.

        Openings may lie weeks ahead: the caller holds each outcome back until its `reported_at`.
        Raises InvalidTable for slates that do not fit the visits, unknown products or surfaces.
        """
        shown = columns_of(slates, visits=visits, truths=self.truths)
        return self._told(self.respond_at(self._arrivals(visits), shown))

    def _told(self, outcomes: Outcomes) -> list[BankOutcome]:
        people = self.customers
        return outcomes.told(start=self.start, numbers=people.numbers, ids=people.ids, products=self.truths.ids)

    def _arrivals(self, visits: Sequence[Visit]) -> Arrivals:
        return arrivals_of(visits, midnight=self._lived().day.starts_at)

    def _lived(self) -> _Lived:
        if self._today is None:
            raise Misuse("the bank has not begun its first day: call begin_day first")
        return self._today

    def _overdraft(self) -> Ints:
        if "overdraft" not in self.truths.ids:
            return np.zeros(len(self.customers), dtype=np.int64)
        held = self.response.holdings.held[:, self.truths.ids.index("overdraft")]
        return ARRANGED_OVERDRAFT_PENCE * held.astype(np.int64)
