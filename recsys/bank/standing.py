"""What may change about a customer from day to day apart from money: consent, status, credit standing.

Each is a hazard process (domain 3.4): a small daily chance to enter and to leave, drawn for all
customers by day, so that MKT-4 (objections) and CRD-1 (arrears) have something to catch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, generator
from recsys.bank.truth import Truths
from recsys.vocabulary import Bools, Floats, Permissions

STATUSES = ("active", "dormant", "bereaved", "closed", "fincrime_hold")
TREATMENTS = ("no_credit", "no_push", "plain_language")
CHANNELS = ("in_app", "push", "email", "targeted_support")
PRE_ELIGIBLE = 0.62
OVERDRAWN_DAYS_AT_RISK = 14
OVERDRAWN_DAYS_REPEATED = 20.0  # of about the last hundred


@dataclass(slots=True, eq=False)
class Standing:
    """The present standing of every customer; arrays by customer row, changed by `advance`."""

    credit: Bools  # (P,) the credit products
    allows: Bools  # (n, CHANNELS)
    objected_at: list[datetime | None]
    status: Ints  # (n,) index in STATUSES
    arrears_days: Ints  # (n,)
    forbearance: Bools
    breathing_space: Bools
    insolvent: Bools
    persistent_debt: Bools
    overdrawn_days: Ints  # (n,) days below zero in a row
    overdrawn_lately: Floats  # (n,) days below zero, each worth 1 % less a day
    bounced_on: Ints  # (n,) ordinal of the last direct debit that failed, 0 for never
    gambling: Bools  # (n, 2) a block of the customer's own, a spike
    declined_on: Ints  # (n,) ordinal, 0 for never
    limit_opt_out: Bools
    pre_eligible: Bools  # (n, P)
    treatments: Bools  # (n, TREATMENTS)
    changed_today: set[int] = field(default_factory=set)  # rows whose consent changed
    changed_yesterday: set[int] = field(default_factory=set)

    def at_risk(self) -> Bools:
        """(n,) overdrawn for a fortnight: at risk of financial difficulty."""
        return self.overdrawn_days >= OVERDRAWN_DAYS_AT_RISK

    def repeats_overdraft(self) -> Bools:
        """(n,) comes back to the overdraft again and again (CRD-8)."""
        return self.overdrawn_lately >= OVERDRAWN_DAYS_REPEATED

    def troubled(self) -> Bools:
        """(n,) whoever must not be shown credit (CRD-1)."""
        trouble = self.forbearance | self.breathing_space | self.insolvent | self.persistent_debt
        return trouble | (self.arrears_days > 0) | self.at_risk() | self.treatments[:, 0]

    def objects(self, row: int, *, at: datetime) -> None:
        """The customer opts out of marketing; an objection is not undone by later chance."""
        self.allows[row] = False
        self.objected_at[row] = at
        self.changed_today.add(row)

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        """What these customers allow now."""
        allowed = self.allows[np.asarray(rows, dtype=np.int64)].tolist()
        return [
            Permissions(in_app=a, push=p, email=e, targeted_support=t, objected_at=self.objected_at[row])
            for row, (a, p, e, t) in zip(rows, allowed, strict=True)
        ]

    def turn_day(self) -> None:
        """Today's changes become yesterday's."""
        self.changed_yesterday, self.changed_today = self.changed_today, set()

    def advance(self, *, customers: Customers, overdrawn: Bools, seed: int, number: int, today: int) -> None:
        """Live one day of hazards; `overdrawn` (n,) is yesterday's balance below zero."""
        rng = generator(seed, purpose="standing", day=number)
        chance = rng.random((11, len(customers)))
        self._advance_consent(chance[0], chance[1])
        self.overdrawn_days = np.where(overdrawn, self.overdrawn_days + 1, 0)
        self.overdrawn_lately = 0.99 * self.overdrawn_lately + overdrawn
        self.bounced_on[overdrawn & (chance[9] < 0.02)] = today
        self.gambling[:, 1] = np.where(self.gambling[:, 1], chance[10] < 0.9, chance[10] < 0.0005)
        self._advance_arrears(chance[2], chance[3], share=customers.arrears_share)
        self._advance_status(chance[4])
        declined = (chance[5] < 0.0004) & (today >= customers.of_age_on)
        self.declined_on[declined] = today
        adult = today >= customers.of_age_on
        flips = chance[6] < np.where(self.pre_eligible.any(axis=1), 0.0038, 0.0062)
        self._redecide(np.flatnonzero(flips & adult), luck=chance[7])
        self.treatments[chance[8] < 0.00005, 0] = True

    def _advance_consent(self, withdraws: Floats, gives: Floats) -> None:
        leaves = self.allows[:, 0] & (withdraws < 0.0003)
        enters = ~self.allows[:, 0] & (gives < 0.0004)
        enters &= np.array([objected is None for objected in self.objected_at])
        self.allows[leaves | enters, 0] = enters[leaves | enters]
        self.changed_today.update(np.flatnonzero(leaves | enters).tolist())

    def _advance_arrears(self, falls: Floats, mends: Floats, *, share: Floats) -> None:
        """Arrears last 50 days on average; entries keep the persona's long-run share, more when overdrawn."""
        behind = self.arrears_days > 0
        pressure = 0.02 * share / (1.0 - share) * np.where(self.overdrawn_days > 7, 4.0, 0.7)
        stays = behind & (mends >= 0.02)
        self.arrears_days = np.where(stays, self.arrears_days + 1, np.where(~behind & (falls < pressure), 1, 0))
        self.forbearance &= self.arrears_days > 0
        self.breathing_space &= self.arrears_days > 0

    def _advance_status(self, chance: Floats) -> None:
        active = self.status == 0
        for status, hazard in ((1, 0.0002), (2, 0.00001), (3, 0.0001), (4, 0.00002)):
            self.status[active & (chance < hazard)] = status
            chance = np.where(chance < hazard, 1.0, chance - hazard)
        self.status[(self.status == 1) & (chance > 0.99)] = 0  # the dormant come back

    def _redecide(self, rows: Ints, *, luck: Floats) -> None:
        """The decisioning service changes its mind: all credit products or none."""
        was = self.pre_eligible[rows] @ self.credit
        fresh = self.credit[None, :] & ((luck[rows, None] * (7.0 + np.arange(len(self.credit)))) % 1.0 < 0.8)
        self.pre_eligible[rows] = fresh & ~was[:, None]


def make_standing(customers: Customers, *, truths: Truths, seed: int, start: datetime) -> Standing:
    """Where every customer stands on the first morning."""
    rng = generator(seed, purpose="standing at the start")
    n, today = len(customers), start.toordinal()
    adult = today >= customers.of_age_on
    behind = rng.random(n) < customers.arrears_share
    in_app = rng.random(n) < np.where(adult, 0.72, 0.30)
    push = rng.random(n) < np.where(customers.platform == 0, 0.56, 0.67)
    allows = np.stack([in_app, in_app & push, in_app & (rng.random(n) < 0.6), rng.random(n) < 0.25 * adult], axis=1)
    credit = truths.where(family="credit")
    offered = (rng.random(n) < PRE_ELIGIBLE) & adult & ~behind
    declined = (rng.random(n) < 0.06) & adult
    return Standing(
        credit=credit,
        allows=allows,
        objected_at=[None] * n,
        status=rng.choice(len(STATUSES), size=n, p=(0.95, 0.04, 0.002, 0.005, 0.003)),
        arrears_days=np.where(behind, rng.integers(1, 90, n), 0),
        forbearance=behind & (rng.random(n) < 0.15),
        breathing_space=behind & (rng.random(n) < 0.05),
        insolvent=adult & (rng.random(n) < 0.004),
        persistent_debt=adult & (rng.random(n) < 0.05),
        overdrawn_days=np.zeros(n, dtype=np.int64),
        overdrawn_lately=np.zeros(n),
        bounced_on=np.zeros(n, dtype=np.int64),
        gambling=generator(seed, purpose="gambling at the start").random((n, 2)) < np.array([0.02, 0.005]),
        declined_on=np.where(declined, today - rng.integers(1, 180, n), 0),
        limit_opt_out=adult & (rng.random(n) < 0.05),
        pre_eligible=offered[:, None] & credit[None, :] & (rng.random((n, len(credit))) < 0.8),
        treatments=rng.random((n, len(TREATMENTS))) < np.array([0.02, 0.03, 0.08]),
    )
