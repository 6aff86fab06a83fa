"""How a bank lives: its parts, and what one night does to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys.bank.customers import make_customers
from recsys.bank.dice import Ints
from recsys.bank.facts import FactSheet
from recsys.bank.hidden import drifted, make_hidden
from recsys.bank.logins import arrivals_of, login_rates, sessions_of
from recsys.bank.merchants import SCHEMES
from recsys.bank.money import make_money
from recsys.bank.needs import People
from recsys.bank.outcomes import Outcomes
from recsys.bank.personas import make_personas
from recsys.bank.responding import Morning, make_responder
from recsys.bank.scope import Scope
from recsys.bank.seasons import days_of
from recsys.bank.standing import make_standing
from recsys.bank.switches import DRIFT_DAY, Switches
from recsys.bank.transactions import Movements
from recsys.bank.truth import truths_of
from recsys.bank.visits import Day
from recsys.bank.worlds import world_of
from recsys.errors import Misuse
from recsys.vocabulary import Floats, ProductId

ARRANGED_OVERDRAFT_PENCE = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """Today."""

    day: Day
    rates: Floats  # (n,) expected log-ins
    movements: Movements
    morning: Morning
    later: Outcomes


class Living:
    """The parts of a bank, and the step from one day to the next."""

    def __init__(
        self,
        scope: Scope,
        *,
        catalogue: Sequence[ProductId],
        points: Mapping[ProductId, float] | None,
        world: str,
        switches: Switches,
    ) -> None:
        self.scope, self.seed, self.start, self.switches = scope, scope.seed, scope.start, switches
        self.truths = truths_of(catalogue, points=points, world=world)
        numbers, founders, seed, today = scope.numbers, scope.founders, scope.seed, scope.start.toordinal()
        persona = make_personas(numbers, founders=founders, seed=seed, mix=scope.mix)
        hidden = make_hidden(persona, numbers=numbers, truths=self.truths, seed=seed)
        self.customers = make_customers(
            persona, numbers=numbers, founders=founders, hidden=hidden, seed=seed, start=scope.start, mix=scope.mix
        )
        self._standing = make_standing(self.customers, truths=self.truths, seed=seed, start=scope.start)
        self._money = make_money(self.customers, hidden=hidden, seed=seed, today=today, switches=switches)
        self._number = -1
        people = People(self.customers, hidden, self._money, self._standing)
        self.response = make_responder(
            people, world=world_of(world), truths=self.truths, switches=switches, seed=seed, start=today
        )
        self._facts = FactSheet(self.customers, truths=self.truths, seed=seed)
        self._today: Lived | None = None

    def __len__(self) -> int:
        """How many customers are made, those who have not joined yet included."""
        return len(self.customers)

    def begin_day(self) -> Day:
        """Live the night: count yesterday, move money, let hazards act; return today with its visits."""
        self._number += 1
        people, seed, number, switches = self.customers, self.seed, self._number, self.switches
        midnight, today = days_of(self.start, number=number)
        if switches.drift and number == DRIFT_DAY:
            self._drift()
        self._standing.turn_day()
        later = self.response.wake(number)
        overdrawn = self._money.balance < 0
        self._standing.advance(customers=people, overdrawn=overdrawn, seed=seed, number=number, today=today)
        movements = self._money.advance(
            customers=people, limit=self.overdrafts(), seed=seed, number=number, today=today
        )
        moved = movements.transactions
        failed = moved.declined & (moved.scheme == SCHEMES.index("dd"))
        self._standing.bounced(moved.rows[failed], today=today)
        rates = login_rates(
            people,
            standing=self._standing,
            since_payday=today - self._money.last_paid,
            loyalty=self.response.holdings.loyalty,
            today=today,
            payday=switches.payday,
            weekday=switches.weekday,
        )
        sessions = sessions_of(people, rates=rates, seed=seed, number=number)
        arrivals = arrivals_of(sessions, customers=people, standing=self._standing, seed=seed, number=number)
        day = Day(number, midnight, arrivals.on(self.scope.surfaces), sessions, people.ids)
        self._today = Lived(day, rates, movements, self.response.begin(number), later)
        return day

    def _lived(self) -> Lived:
        if self._today is None:
            raise Misuse("the bank has not begun its first day: call begin_day first")
        return self._today

    def _drift(self) -> None:
        """A fifth of the customers want other things from today on."""
        people = self.response.people
        hidden = drifted(people.hidden, persona=self.customers.persona, numbers=self.scope.numbers, seed=self.seed)
        self.response.like(hidden)
        self._money.drift(self.customers, hidden=hidden, seed=self.seed)

    def overdrafts(self) -> Ints:
        """(n,) pence of everybody's arranged overdraft."""
        if "overdraft" not in self.truths.ids:
            return np.zeros(len(self.customers), dtype=np.int64)
        held = self.response.holdings.held[:, self.truths.ids.index("overdraft")]
        return ARRANGED_OVERDRAFT_PENCE * held.astype(np.int64)
