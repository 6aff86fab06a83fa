"""The bank itself: lives day by day, tells what a bank would tell, and knows the truth.

    bank = Bank.create(customers=5_000, seed=1, start=..., catalogue=tuple(TRUTHS))
    day = bank.begin_day()                      # money, hazards, visits
    bank.facts(rows); bank.activity()           # what a bank would send
    bank.respond(visits, slates)                # what people do with what they are shown
    bank.values(visits)                         # what each card is truly worth, for the oracle

Every draw hangs on (seed, purpose, day) and, in `respond`, on the customer, surface and place. A
day is decided by its morning: fatigue, ownership and openings of today count from tomorrow, so
outcomes do not depend on how visits are grouped into calls (calls must come in time order).
Left for the full bank (issue 3): novelty, rates, retention, cancellations, faults of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.activity import activities_of
from recsys.bank.customers import make_customers
from recsys.bank.dice import Ints
from recsys.bank.facts import FactSheet
from recsys.bank.hidden import make_hidden
from recsys.bank.holdings import make_holdings
from recsys.bank.logins import arrivals_of, login_rates, sessions_of
from recsys.bank.money import make_money
from recsys.bank.needs import liking_of, need_of, states_of, suited_of
from recsys.bank.personas import make_personas
from recsys.bank.responding import Responder, intents_of, isa_of
from recsys.bank.response import Chances, chances_of
from recsys.bank.seasons import days_of
from recsys.bank.standing import make_standing
from recsys.bank.transactions import Movements, Transactions
from recsys.bank.truth import EXAMINATION, truths_of
from recsys.bank.visits import BankOutcome, Day, Visit
from recsys.errors import InvalidConfiguration, Misuse
from recsys.vocabulary import Activity, Bools, CustomerId, FactValue, Floats, Permissions, ProductId

ARRANGED_OVERDRAFT_PENCE = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class _Morning:
    """What was decided when the day began."""

    day: Day
    chances: Chances
    movements: Movements
    dismissals: Ints  # (n,) of the last 14 days
    organic: tuple[BankOutcome, ...]


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
        surfaces: Sequence[str] = ("home", "savings"),
    ) -> None:
        self.seed, self.start = seed, start
        self.truths = truths_of(catalogue, points=points)
        numbers = np.arange(customers)
        persona = make_personas(numbers, founders=customers, seed=seed)
        hidden = make_hidden(persona, numbers=numbers, truths=self.truths, seed=seed)
        self.customers = make_customers(
            persona, numbers=numbers, founders=customers, hidden=hidden, seed=seed, start=start
        )
        self._hidden, self._liking = hidden, liking_of(hidden, truths=self.truths)
        self._standing = make_standing(self.customers, truths=self.truths, seed=seed, start=start)
        self._money = make_money(self.customers, hidden=hidden, seed=seed, today=start.toordinal())
        self._number, self._surfaces = -1, tuple(surfaces)
        self._holdings = make_holdings(self._liking, truths=self.truths, suited=self._suited(), seed=seed)
        self._facts = FactSheet(self.customers, truths=self.truths, seed=seed)
        self._morning: _Morning | None = None
        self._responder = Responder(
            seed=seed,
            start=start,
            truths=self.truths,
            customers=self.customers,
            money=self._money,
            standing=self._standing,
            holdings=self._holdings,
            columns={product: column for column, product in enumerate(self.truths.ids)},
        )

    @classmethod
    def create(
        cls,
        *,
        customers: int,
        seed: int,
        start: datetime,
        catalogue: Sequence[ProductId],
        points: Mapping[ProductId, float] | None = None,
        surfaces: Sequence[str] = ("home", "savings"),
    ) -> Bank:
        """A bank on the evening before `start` (aware UTC midnight).

        `catalogue` names the products in the order of every (…, products) array; `points` replaces
        what an opening is worth; `surfaces` are those that visits come on. Raises InvalidConfiguration
        with one sentence.
        """
        if customers < 1:
            raise InvalidConfiguration(f"a bank needs at least one customer, got {customers}")
        if seed < 0:
            raise InvalidConfiguration(f"the seed must not be negative, got {seed}")
        if start.utcoffset() != timedelta(0):
            raise InvalidConfiguration("the bank's start must be an aware UTC time, for example 2026-01-05T00:00:00Z")
        if (start.hour, start.minute, start.second, start.microsecond) != (0, 0, 0, 0):
            raise InvalidConfiguration(f"the bank starts at midnight, got {start.isoformat()}")
        return cls(customers=customers, seed=seed, start=start, catalogue=catalogue, points=points, surfaces=surfaces)

    def begin_day(self) -> Day:
        """Live the night: count yesterday, move money, let hazards act; return today with its visits."""
        self._number += 1
        midnight, today = days_of(self.start, number=self._number)
        self._standing.turn_day()
        self._settle()
        overdrawn = self._money.balance < 0
        people, seed, number = self.customers, self.seed, self._number
        self._standing.advance(customers=people, overdrawn=overdrawn, seed=seed, number=number, today=today)
        movements = self._money.advance(
            customers=people, limit=self._overdraft(), seed=seed, number=number, today=today
        )
        since = today - self._money.last_paid
        rates = login_rates(
            people, standing=self._standing, since_payday=since, loyalty=np.ones(len(people)), today=today
        )
        sessions = sessions_of(people, rates=rates, seed=seed, number=number)
        arrivals = arrivals_of(sessions, customers=people, standing=self._standing, seed=seed, number=number)
        chances = self._chances(today)
        organic = self._responder.organic(chances=chances, suited=self._suited(), number=number)
        day = Day(number, midnight, arrivals.on(self._surfaces), sessions, people.ids)
        self._morning = _Morning(day, chances, movements, self._holdings.dismissals.sum(axis=0), organic)
        return day

    def facts(self, rows: Sequence[int]) -> list[tuple[CustomerId, dict[str, FactValue]]]:
        """What the bank would send of these customers this morning; names in `facts.NAMES`."""
        return self._facts.of(rows, money=self._money, standing=self._standing, holdings=self._holdings)

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        """What these customers allow now."""
        return self._standing.permissions(rows)

    def changed_permissions(self) -> list[int]:
        """Rows whose consent changed since yesterday's `begin_day`, opting out included; ascending."""
        return sorted(self._standing.changed_yesterday | self._standing.changed_today)

    def activity(self) -> list[Activity]:
        """What customers did with their money today: salary, spending by category, sweeps to savings."""
        today = self._lived()
        return activities_of(
            today.movements.transactions,
            ids=self.customers.ids,
            numbers=self.customers.numbers,
            number=today.day.number,
            midnight=today.day.starts_at,
        )

    def transactions(self) -> Transactions:
        """Every movement of money of today."""
        return self._lived().movements.transactions

    def organic(self) -> list[BankOutcome]:
        """Today's openings that happened with no help of ours."""
        return list(self._lived().organic)

    def suited(self, rows: Sequence[int]) -> Bools:
        """(len(rows), P) what each could open now and does not own, in the world's own sense."""
        return (self._suited() & ~self._holdings.held)[np.asarray(rows, dtype=np.int64)]

    def examination(self, surface: str) -> Floats:
        """(slots,) probability that each place of a surface is seen."""
        if surface not in EXAMINATION:
            raise InvalidConfiguration(f"the bank has no surface {surface!r}; it has {', '.join(EXAMINATION)}")
        return np.array(EXAMINATION[surface])

    def values(self, visits: Sequence[Visit]) -> Floats:
        """(visits, P) expected points of each product if its card is seen, in closed form, as things stand."""
        rows = _rows_of(visits)
        return self._lived().chances.values(
            rows,
            intent=intents_of(visits),
            points=self.truths.points,
            settled=self._holdings.settled()[rows],
        )

    def tap_rates(self, visits: Sequence[Visit]) -> Floats:
        """(visits, P) P(tap | seen)."""
        return self._lived().chances.taps(_rows_of(visits), slice(None), intent=intents_of(visits))

    def respond(self, visits: Sequence[Visit], slates: Sequence[Sequence[ProductId]]) -> list[BankOutcome]:
        """What customers do with what they are shown; `slates[i]` is shown to `visits[i]`, best place first.

        Openings may lie weeks ahead: the caller holds each outcome back until its `reported_at`.
        Raises InvalidTable for slates that do not fit the visits, unknown products or surfaces.
        """
        morning = self._lived()
        return self._responder.respond(
            visits, slates, chances=morning.chances, dismissals=morning.dismissals, number=self._number
        )

    def _lived(self) -> _Morning:
        if self._morning is None:
            raise Misuse("the bank has not begun its first day: call begin_day first")
        return self._morning

    def _settle(self) -> None:
        """Openings that happened by now: owned from here on, and their first deposits moved."""
        isa = isa_of(self.truths)
        for opening in self._holdings.turn_day(number=self._number, truths=self.truths):
            if opening.amount_pence:
                self._money.deposit(opening.row, pence=opening.amount_pence, counts=bool(isa[opening.column]))

    def _overdraft(self) -> Ints:
        if "overdraft" not in self.truths.ids:
            return np.zeros(len(self.customers), dtype=np.int64)
        return ARRANGED_OVERDRAFT_PENCE * self._holdings.held[:, self.truths.ids.index("overdraft")].astype(np.int64)

    def _chances(self, today: int) -> Chances:
        states = states_of(self.customers, money=self._money, standing=self._standing, today=today)
        return chances_of(
            need_of(self._liking, states=states, truths=self.truths),
            persuadable=self._hidden.persuadable,
            fatigue=self._holdings.fatigue,
            truths=self.truths,
        )

    def _suited(self) -> Bools:
        _, today = days_of(self.start, number=max(self._number, 0))
        return suited_of(self.customers, money=self._money, standing=self._standing, truths=self.truths, today=today)


def _rows_of(visits: Sequence[Visit]) -> Ints:
    return np.array([visit.row for visit in visits], dtype=np.int64)
