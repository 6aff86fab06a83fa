"""One day's transactions of a slice of customers, as columns, and what they do to balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.merchants import BONUS, FIRST_BILL, MCC_OF, MEALS, PARTNER, REPAID, SALARY, SCHEME_OF
from recsys.vocabulary import Bools

INTO, OUT_OF = 0, 1
DIRECTIONS = ("in", "out")
CARDS, BILLS_FROM, REPAYMENTS_FROM = 64, 64, 128
"""Sequences: card payments below CARDS, bills from BILLS_FROM on, repayments from REPAYMENTS_FROM on."""
WAGE, BONUS_PAID, INVOICE, PARTNERED, REPAIRED, BIG, DEPOSIT, SWEEP, TOP_UP = range(96, 105)
"""Sequences of what happens at most once a day."""
_SECOND_BITS = 17  # 86,400 < 2^17
_FRIENDS = 4  # at most, repay one payment


@dataclass(frozen=True, slots=True, eq=False)
class Transactions:
    """(t,) columns; of one day, sorted by (row, seconds) once `joined`.

    `sequences` names a transaction within its customer and day, whatever else happens to the customer:
    below 64 a card payment, then a bill, an event, and from 128 on a friend's share of a payment.
    """

    rows: Ints
    sequences: Ints
    seconds: Ints  # after midnight
    pence: Ints  # above 0
    direction: Ints  # index in DIRECTIONS
    category: Ints  # index in merchants.ALL_NAMES
    merchant: Ints  # index in merchants.merchant_names(), -1 for none
    declined: Bools  # for want of money; nothing moved

    def __len__(self) -> int:
        """How many transactions there are."""
        return len(self.rows)

    @property
    def scheme(self) -> Ints:
        """(t,) index in `merchants.SCHEMES`."""
        return SCHEME_OF[self.category]

    @property
    def mcc(self) -> Ints:
        """(t,) merchant category code, 0 where there is no merchant."""
        return np.where(self.merchant >= 0, MCC_OF[self.merchant], 0)

    @property
    def salary(self) -> Bools:
        """(t,) wages and bonuses."""
        paid: Bools = np.isin(self.category, (SALARY, BONUS))
        return paid

    @property
    def recurring(self) -> Bools:
        """(t,) bills, subscriptions and wages."""
        return (self.category >= FIRST_BILL) & (self.category <= SALARY)

    @property
    def signed(self) -> Ints:
        """(t,) pence that moved, into the account above 0; 0 where declined."""
        return np.where(self.declined, 0, np.where(self.direction == OUT_OF, -self.pence, self.pence))

    def where(self, kept: Bools | Ints) -> Transactions:
        """Those at a mask or at positions."""
        return Transactions(*(getattr(self, each.name)[kept] for each in fields(self)))


def block(
    rows: Ints,
    *,
    sequences: Ints | int,
    seconds: Ints,
    pence: Ints,
    category: Ints | int,
    direction: Ints | int = OUT_OF,
    merchant: Ints | int = -1,
) -> Transactions:
    """Columns of one kind of transaction, none declined; a number stands for all rows."""
    n = len(rows)
    sequences, category, direction, merchant = (
        np.full(n, each, dtype=np.int64) if isinstance(each, int) else each
        for each in (sequences, category, direction, merchant)
    )
    return Transactions(rows, sequences, seconds, pence, direction, category, merchant, np.zeros(n, dtype=np.bool_))


def joined(blocks: Sequence[Transactions]) -> Transactions:
    """One day of all blocks, sorted by (row, seconds); of one customer and second, in the order of the blocks."""
    rows = np.concatenate([each.rows for each in blocks])
    seconds = np.concatenate([each.seconds for each in blocks])
    bits = len(rows).bit_length()
    order = ((rows << _SECOND_BITS) | seconds) << bits
    order |= np.arange(len(rows))
    order.sort()  # all different, so that any sort gives the same
    order &= (1 << bits) - 1
    rest = (np.concatenate([getattr(each, name) for each in blocks])[order] for name in _REST)
    sequences, pence, direction, category, merchant, declined = rest
    return Transactions(rows[order], sequences, seconds[order], pence, direction, category, merchant, declined)


_REST = tuple(each.name for each in fields(Transactions) if each.name not in ("rows", "seconds"))


def repayment(sequences: Ints, *, friend: Ints) -> Ints:
    """The sequences of what each `friend` (0 to 3) gives back of these payments."""
    return REPAYMENTS_FROM + sequences * _FRIENDS + friend


@dataclass(frozen=True, slots=True, eq=False)
class Movements:
    """A day's transactions with the declined marked, and (n,) pence at midnight and at the day's lowest."""

    transactions: Transactions
    closing: Ints
    lowest: Ints


def settled(asked: Transactions, *, opening: Ints, floor: Ints) -> Movements:
    """Who gets through: money in always, money out unless the balance would fall below `floor`, one by one.

    `asked` is `joined` and marked in place; `opening` and `floor` (n,) pence. Money to a partner and to one's
    own savings is never declined. A friend repays only what was paid: repayments of declined payments fall away.
    """
    starts = np.flatnonzero(np.diff(asked.rows, prepend=-1))
    lived = _lived(asked, starts=starts, opening=opening)
    if not len(short := np.flatnonzero(lived.lowest[asked.rows[starts]] < floor[asked.rows[starts]])):
        return lived
    counts = np.diff(starts, append=len(asked))
    _decline(asked, starts=starts[short], counts=counts[short], opening=opening, floor=floor)
    if (gone := asked.declined & (asked.direction == INTO)).any():
        asked = asked.where(~gone)
        starts = np.flatnonzero(np.diff(asked.rows, prepend=-1))
    return _lived(asked, starts=starts, opening=opening)


def _lived(asked: Transactions, *, starts: Ints, opening: Ints) -> Movements:
    """The day as marked; `starts` are the places where customers begin."""
    closing, lowest = opening.copy(), opening.copy()
    if len(starts):
        who, signed = asked.rows[starts], asked.signed
        path = np.cumsum(signed)
        before = path[starts] - signed[starts]  # what all earlier customers moved
        closing[who] += path[np.append(starts[1:], len(path)) - 1] - before
        lowest[who] += np.minimum(np.minimum.reduceat(path, starts) - before, 0)
    return Movements(asked, closing, lowest)


def _decline(asked: Transactions, *, starts: Ints, counts: Ints, opening: Ints, floor: Ints) -> None:
    """Mark what is declined of the customers whose `counts` transactions begin at `starts`."""
    who = asked.rows[starts]
    balance, least, signed, payer = opening[who], floor[who], asked.signed, _payers(asked)
    obliged = (asked.direction == INTO) | (asked.category >= PARTNER)
    for step in range(int(counts.max())):
        live = np.flatnonzero(counts > step)
        at = starts[live] + step
        after = balance[live] + signed[at]
        refused = ((after < least[live]) & ~obliged[at]) | asked.declined[payer[at]]
        asked.declined[at] = refused
        balance[live] = np.where(refused, balance[live], after)


def _payers(asked: Transactions) -> Ints:
    """(t,) the position of the payment that each repayment gives back of; its own for all else."""
    positions = np.arange(len(asked))
    repaid, meals = np.flatnonzero(asked.category == REPAID), np.flatnonzero(asked.category == MEALS)
    names = asked.rows * REPAYMENTS_FROM + asked.sequences
    meals = meals[np.argsort(names[meals])]
    paid = asked.rows[repaid] * REPAYMENTS_FROM + (asked.sequences[repaid] - REPAYMENTS_FROM) // _FRIENDS
    positions[repaid] = meals[np.searchsorted(names[meals], paid)]
    return positions
