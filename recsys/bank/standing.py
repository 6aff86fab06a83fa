"""Where customers stand apart from their money: consent, status, credit standing, how to treat them.

Each is a hazard process (domain 3.4): a small daily chance to enter and to leave, which hangs on the
customer's number and the day, so that MKT-4 (objections) and CRD-1 (arrears) have something to catch.
The first morning is drawn from where these processes come to rest, so shares stay where they are;
only objections, deaths and closed accounts are for good. Who joins later begins without any trouble.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from recsys.bank import hazards
from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.personas import by_persona
from recsys.bank.truth import Truths
from recsys.vocabulary import Bools, Floats, Permissions, ProductId

STATUSES = ("active", "dormant", "bereaved", "closed", "fincrime_hold")
ACTIVE, DORMANT, HELD = STATUSES.index("active"), STATUSES.index("dormant"), STATUSES.index("fincrime_hold")
ABSENT = -1  # the status of those who have not joined yet
TREATMENTS = ("no_credit", "no_push", "plain_language")
CHANNELS = ("in_app", "push", "email", "targeted_support")
IN_APP, PUSH, EMAIL, SUPPORT = range(4)
OVERDRAWN_DAYS_AT_RISK = 14
_NEVER, _ORDINAL_OF_1970 = np.datetime64("NaT", "us"), 719_163
OVERDRAWN_DAYS_REPEATED = 20.0  # of about the last hundred


@dataclass(slots=True, eq=False)
class Standing:
    """The present standing of every customer; arrays by customer row, changed by `advance`."""

    products: tuple[ProductId, ...]
    credit: Bools  # (P,) the credit products
    allows: Bools  # (n, CHANNELS)
    objected_at: NDArray[np.datetime64]  # (n,) UTC, NaT for never
    status: Ints  # (n,) index in STATUSES, ABSENT before joining
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
    approved: Bools  # (n, P) what the decisioning service thinks, whether or not it may say so now
    decided_until: Ints  # (n,) ordinal of the morning on which it thinks again
    pre_eligible: Bools  # (n, P) what it says: nothing to minors and to those in arrears
    treatments: Bools  # (n, TREATMENTS)
    changed_today: set[int] = field(default_factory=set)  # rows whose consent changed
    changed_yesterday: set[int] = field(default_factory=set)

    def present(self) -> Bools:
        """(n,) who has joined."""
        return np.not_equal(self.status, ABSENT)

    def at_risk(self) -> Bools:
        """(n,) overdrawn for a fortnight: at risk of financial difficulty."""
        return np.greater_equal(self.overdrawn_days, OVERDRAWN_DAYS_AT_RISK)

    def bounced(self, rows: Ints, *, today: int) -> None:
        """Direct debits of these customers failed today for want of money."""
        self.bounced_on[rows] = today

    def repeats_overdraft(self) -> Bools:
        """(n,) comes back to the overdraft again and again (CRD-8)."""
        return self.overdrawn_lately >= OVERDRAWN_DAYS_REPEATED

    def troubled(self) -> Bools:
        """(n,) whoever must not be shown credit (CRD-1)."""
        trouble = self.forbearance | self.breathing_space | self.insolvent | self.persistent_debt
        return trouble | (self.arrears_days > 0) | self.at_risk() | self.treatments[:, 0]

    def objects(self, row: int, *, at: datetime) -> None:
        """The customer opts out of marketing at `at` (aware); later chance does not undo an objection."""
        self.allows[row] = False
        self.objected_at[row] = np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")
        self.changed_today.add(row)

    def permissions(self, rows: Sequence[int]) -> list[Permissions]:
        """What these customers allow now; nothing before they have joined."""
        chosen = np.asarray(rows, dtype=np.int64)
        allowed = self.allows[chosen] & self.present()[chosen, None]
        return [
            Permissions(in_app=a, push=p, email=e, targeted_support=t, objected_at=at and at.replace(tzinfo=UTC))
            for (a, p, e, t), at in zip(allowed.tolist(), self.objected_at[chosen].tolist(), strict=True)
        ]

    def turn_day(self) -> None:
        """Today's changes become yesterday's."""
        self.changed_yesterday, self.changed_today = self.changed_today, set()

    def advance(self, *, customers: Customers, overdrawn: Bools, seed: int, number: int, today: int) -> None:
        """Live one day of hazards.

        `overdrawn` (n,) is yesterday's balance below zero; `number` counts the bank's days from 0 and
        `today` is the same day's ordinal.
        """
        dice = _Dice(keys=keys_of(customers.numbers), seed=seed, number=number)
        adult = today >= customers.of_age_on
        self._advance_status(dice("status"), joined=customers.joined_on <= today)
        self._advance_consent(customers, adult=adult, dice=dice, today=today)
        self.overdrawn_days = np.where(overdrawn, self.overdrawn_days + 1, 0)
        self.overdrawn_lately = 0.99 * self.overdrawn_lately + overdrawn
        spike, luck = self.gambling[:, 1], dice("gambling spike")
        self.gambling[:, 1] = np.where(spike, luck >= hazards.SPIKE_ENDS, self.present() & (luck < hazards.SPIKE))
        present = self.present()
        self._advance_arrears(customers, present=present, dice=dice)
        grown = adult & present
        self.insolvent = hazards.INSOLVENT.lived(
            self.insolvent, share=np.where(grown, hazards.INSOLVENT_SHARE, 0.0), luck=dice("insolvent")
        )
        self.persistent_debt = hazards.PERSISTENT_DEBT.lived(
            self.persistent_debt,
            share=np.where(grown, hazards.PERSISTENT_DEBT_SHARE, 0.0),
            luck=dice("persistent debt"),
        )
        self.limit_opt_out = hazards.LIMIT_OPT_OUT.lived(
            self.limit_opt_out, share=np.where(grown, hazards.LIMIT_OPT_OUT_SHARE, 0.0), luck=dice("limit opt-out")
        )
        self.declined_on[(dice("declined") < hazards.DECLINED) & adult & (self.status == ACTIVE)] = today
        self._decide(customers, fit=grown & (self.arrears_days == 0), seed=seed, number=number, today=today)
        for column, spell in enumerate(hazards.TREATMENTS):
            share = np.where(present, hazards.TREATMENT_SHARES[column], 0.0)
            luck = dice(TREATMENTS[column])
            self.treatments[:, column] = spell.lived(self.treatments[:, column], share=share, luck=luck)

    def _advance_status(self, luck: Floats, *, joined: Bools) -> None:
        joins = (self.status == ABSENT) & joined
        self.changed_today.update(np.flatnonzero(joins).tolist())
        fate = np.searchsorted(hazards.LEAVES.cumsum(), luck, side="right")
        leaves = (self.status == ACTIVE) & (fate < len(hazards.LEAVES))
        returns = (self.status == DORMANT) & (luck < hazards.WAKES)
        returns |= (self.status == HELD) & (luck < hazards.RELEASED)
        self.status = np.where(leaves, fate + 1, np.where(returns | joins, ACTIVE, self.status))

    def _advance_consent(self, customers: Customers, *, adult: Bools, dice: _Dice, today: int) -> None:
        """Channels hang on the consent in the app: they go with it, and are asked anew when it comes back."""
        present = self.present()
        objects = self.allows[:, IN_APP] & present & (dice("objects") < hazards.OBJECTIONS)
        self.objected_at[objects] = np.datetime64(today - _ORDINAL_OF_1970, "D")
        may = np.isnat(self.objected_at)
        was, now = self.allows, np.empty_like(self.allows)
        shares = _channel_shares(customers, adult=adult)
        now[:, IN_APP] = may & hazards.IN_APP.lived(was[:, IN_APP], share=shares[IN_APP], luck=dice("in app"))
        asked = now[:, IN_APP] & ~was[:, IN_APP]
        for channel, spell in ((PUSH, hazards.PUSH), (EMAIL, hazards.EMAIL)):
            luck = dice(CHANNELS[channel])
            keeps = spell.lived(was[:, channel], share=shares[channel], luck=luck)
            now[:, channel] = now[:, IN_APP] & np.where(asked, luck < shares[channel], keeps)
        support = hazards.SUPPORT.lived(was[:, SUPPORT], share=shares[SUPPORT], luck=dice("targeted support"))
        now[:, SUPPORT] = may & support
        self.allows = np.where(present[:, None], now, was)
        self.changed_today.update(np.flatnonzero((self.allows != was).any(axis=1)).tolist())

    def _advance_arrears(self, customers: Customers, *, present: Bools, dice: _Dice) -> None:
        """Arrears come sooner to the overdrawn; what is agreed upon in arrears ends with them."""
        begins = hazards.arrears_begin(
            by_persona("arrears")[customers.persona],
            often_pressed=by_persona("overdrawn")[customers.persona],
            pressed=self.overdrawn_days > hazards.PRESSED_AFTER_DAYS,
        )
        luck = dice("arrears")
        behind = np.where(self.arrears_days > 0, luck >= 1.0 / hazards.ARREARS.days, present & (luck < begins))
        self.arrears_days = np.where(behind, self.arrears_days + 1, 0)
        late = self.arrears_days > hazards.FORBEARANCE_AFTER_DAYS
        self.forbearance = behind & (self.forbearance | (late & (dice("forbearance") < hazards.FORBEARANCE)))
        luck = dice("breathing space")
        goes_on = luck >= 1.0 / hazards.BREATHING_SPACE_DAYS
        self.breathing_space = behind & np.where(self.breathing_space, goes_on, luck < hazards.BREATHING_SPACE)

    def _decide(self, customers: Customers, *, fit: Bools, seed: int, number: int, today: int) -> None:
        """Decisions that have run out are made again, most of them as before; `fit` (n,) may be told."""
        due = np.flatnonzero(self.decided_until <= today)
        self.decided_until[due] = today + hazards.DECISION_DAYS
        dice = _Dice(keys=keys_of(customers.numbers[due]), seed=seed, number=number)
        anew = dice("thinks again") < hazards.RETHOUGHT
        fresh = _decisions(self.products, credit=self.credit, dice=dice)
        self.approved[due[anew]] = fresh[anew]
        self.pre_eligible = self.approved & fit[:, None]


@dataclass(frozen=True, slots=True)
class _Dice:
    """One number for each key and question of a day."""

    keys: NDArray[np.uint64]
    seed: int
    number: int

    def __call__(self, question: str) -> Floats:
        return uniforms(self.seed, purpose=f"standing/{question}", day=self.number, keys=self.keys)


def make_standing(customers: Customers, *, truths: Truths, seed: int, start: datetime) -> Standing:
    """Where every customer stands on the evening before `start`, at rest."""
    dice = _Dice(keys=keys_of(customers.numbers), seed=seed, number=-1)
    n, today = len(customers), start.toordinal()
    adult, present = today >= customers.of_age_on, customers.joined_on < today
    grown = adult & present
    shares = zip(CHANNELS, _channel_shares(customers, adult=adult), strict=True)
    allows = np.stack([dice(name) < share for name, share in shares], axis=1)
    allows[:, [PUSH, EMAIL]] &= allows[:, [IN_APP]]
    behind = present & (dice("arrears") < by_persona("arrears")[customers.persona])
    arrears_days = np.where(behind, hazards.arrears_so_far(dice("arrears so far")), 0)
    credit = truths.where(family="credit")
    approved = _decisions(truths.ids, credit=credit, dice=dice)
    status = np.searchsorted(hazards.STATUS_SHARES.cumsum()[:-1], dice("status"), side="right")
    declined = grown & (dice("declined") < 0.06)
    since = 1 + (180 * dice("declined since")).astype(np.int64)
    return Standing(
        products=truths.ids,
        credit=credit,
        allows=allows,
        objected_at=np.full(n, _NEVER),
        status=np.where(present, status, ABSENT),
        arrears_days=arrears_days,
        forbearance=behind & (dice("forbearance") < hazards.in_forbearance(arrears_days)),
        breathing_space=behind & (dice("breathing space") < hazards.in_breathing_space(arrears_days)),
        overdrawn_days=np.zeros(n, dtype=np.int64),
        overdrawn_lately=np.zeros(n),
        bounced_on=np.zeros(n, dtype=np.int64),
        gambling=np.stack([present & (dice(name) < share) for name, share in hazards.GAMBLING.items()], axis=1),
        declined_on=np.where(declined, today - since, 0),
        approved=approved,
        decided_until=today + (hazards.DECISION_DAYS * dice("decided until")).astype(np.int64),
        pre_eligible=approved & (grown & ~behind)[:, None],
        insolvent=grown & (dice("insolvent") < hazards.INSOLVENT_SHARE),
        persistent_debt=grown & (dice("persistent debt") < hazards.PERSISTENT_DEBT_SHARE),
        limit_opt_out=grown & (dice("limit opt-out") < hazards.LIMIT_OPT_OUT_SHARE),
        treatments=np.stack(
            [present & (dice(name) < share) for name, share in zip(TREATMENTS, hazards.TREATMENT_SHARES, strict=True)],
            axis=1,
        ),
    )


def _channel_shares(customers: Customers, *, adult: Bools) -> tuple[Floats, ...]:
    """For each channel the share (n,) that allows it; push and email among those who allow the first."""
    return (
        np.where(adult, hazards.IN_APP_ADULTS, hazards.IN_APP_MINORS),
        hazards.PUSH_BY_PLATFORM[customers.platform],
        np.full(len(customers), hazards.EMAIL_SHARE),
        np.where(adult, hazards.SUPPORT_SHARE, 0.0),
    )


def _decisions(products: Sequence[ProductId], *, credit: Bools, dice: _Dice) -> Bools:
    """(n, P) fresh decisions: all credit products but a few, or none."""
    decided = np.zeros((len(dice.keys), len(products)), dtype=np.bool_)
    yes = dice("pre-eligible") < hazards.PRE_ELIGIBLE
    for column in np.flatnonzero(credit).tolist():
        decided[:, column] = yes & (dice(f"pre-eligible for {products[column]}") < hazards.EACH_PRODUCT)
    return decided
