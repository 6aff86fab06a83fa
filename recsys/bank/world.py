"""The bank itself: lives day by day, tells what a bank would tell, and knows the truth.

    bank = Bank.create(customers=5_000, seed=1, start=..., catalogue=tuple(TRUTHS))
    day = bank.begin_day()                      # money, hazards, visits
    bank.facts(rows); bank.activity()           # what a bank would send
    bank.respond(visits, slates)                # what people do with what they are shown
    bank.values(visits)                         # what each card is truly worth, for the oracle

Every draw hangs on (seed, purpose, day) and the customer's number, so a slice of the customers made
alone is that slice of the whole. A day is decided by its morning: fatigue, ownership and openings of
today count from tomorrow, so outcomes do not depend on how visits are grouped into calls (calls must
come in time order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recsys.bank.activity import activities_of
from recsys.bank.customers import members
from recsys.bank.dice import Ints
from recsys.bank.facts import FactColumn
from recsys.bank.intent import viewed, views_of
from recsys.bank.living import Living
from recsys.bank.occasions import examined
from recsys.bank.outcomes import Outcomes
from recsys.bank.personas import mix_of
from recsys.bank.scope import Scope
from recsys.bank.seasons import days_of
from recsys.bank.showing import arrivals_of, columns_of
from recsys.bank.switches import Switches
from recsys.bank.transactions import Transactions
from recsys.bank.truth import EXAMINATION
from recsys.bank.visits import SURFACES, Arrivals, BankOutcome, Visit
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Activity, Bools, CustomerId, FactValue, Floats, Permissions, ProductId


class Bank(Living):
    """A synthetic bank; make one with `create`."""

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
        first: int = 0,
        last: int | None = None,
        days: int | None = None,
        surfaces: Sequence[str] = ("home", "savings"),
        personas: Sequence[tuple[str, float]] = (),
    ) -> Bank:
        """A bank on the evening before `start` (aware UTC midnight), of which the slice [first, last) is made.

        `catalogue` names the products in the order of every (…, products) array; `points` replaces
        what an opening is worth; `world` is one of `worlds.WORLDS`; `switches` default to the usual
        world's; a growing bank must be told how many `days` it will live; `surfaces` are those that
        visits come on; `personas` are shares in place of the usual ones (`personas.mix_of`). Raises
        InvalidConfiguration with one sentence.
        """
        chosen = Switches() if switches is None else switches
        if chosen.growth and days is None:
            raise InvalidConfiguration("a bank that grows must be told how many days it will live")
        all_of_them = members(customers, day=(days or 1) - 1) if chosen.growth and customers > 0 else customers
        scope = Scope(
            founders=customers,
            seed=seed,
            start=start,
            first=first,
            last=all_of_them if last is None else last,
            size=all_of_them,
            surfaces=tuple(surfaces),
            mix=mix_of(personas),
        )
        return cls(scope, catalogue=catalogue, points=points, world=world, switches=chosen)

    @property
    def begins_at(self) -> datetime:
        """Midnight of today; of the first day before it began."""
        return days_of(self.start, number=max(self._number, 0))[0]

    def facts(self, rows: Sequence[int]) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        """What the bank would send of these customers this morning; names in `facts.NAMES`."""
        return self._facts.of(rows, money=self._money, standing=self._standing, holdings=self.response.holdings)

    def columns(self, rows: Ints) -> dict[str, FactColumn]:
        """The same of customers who have joined, as columns by fact."""
        return self._facts.columns(rows, money=self._money, standing=self._standing, holdings=self.response.holdings)

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        """What these customers allow now."""
        return self._standing.permissions(rows)

    def consents(self, rows: Ints) -> tuple[Bools, NDArray[np.datetime64]]:
        """The same of customers who have joined: ((r, CHANNELS) what they allow, (r,) since when they object, UTC)."""
        return self._standing.allows[rows], self._standing.objected_at[rows]

    def joined(self, rows: Sequence[int]) -> Ints:
        """Those of these customers who have joined."""
        chosen = np.asarray(rows, dtype=np.int64)
        return chosen[self._standing.present()[chosen]]

    def changed_permissions(self) -> list[int]:
        """Rows whose consent changed since yesterday's `begin_day`, opting out included; ascending."""
        return sorted(self._standing.changed_yesterday | self._standing.changed_today)

    def transactions(self) -> Transactions:
        """Every movement of money today, sorted by customer and time."""
        return self._lived().movements.transactions

    def balances(self) -> tuple[Ints, Ints]:
        """((n,) closing, (n,) lowest) pence of today."""
        movements = self._lived().movements
        return movements.closing, movements.lowest

    def views(self) -> tuple[Ints, Ints, Ints]:
        """(rows, topics, seconds) of the topics looked at in the app today."""
        today, numbers = self._lived(), self.customers.numbers
        return views_of(
            self.response.intents, logins=today.rates, numbers=numbers, seed=self.seed, number=today.day.number
        )

    def activity(self) -> list[Activity]:
        """What customers did today: salary, spending by category, sweeps to savings, topics looked at in the app."""
        day, ids, numbers = self._lived().day, self.customers.ids, self.customers.numbers
        moved = activities_of(self.transactions(), ids=ids, numbers=numbers, number=day.number, midnight=day.starts_at)
        return moved + viewed(*self.views(), ids=ids, numbers=numbers, number=day.number, midnight=day.starts_at)

    def organic_at(self) -> Outcomes:
        """Today's openings that happened with no help of ours."""
        return self._lived().morning.organic

    def organic(self) -> list[BankOutcome]:
        """`organic_at` as objects."""
        return self._told(self.organic_at())

    def later(self) -> Outcomes:
        """What becomes known today of earlier openings: funded, balance_30d, cancelled_14d, complained."""
        return self._lived().later

    def suited(self, rows: Sequence[int] | Ints) -> Bools:
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
