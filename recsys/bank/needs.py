"""What today makes of every customer: how much they need each product, what they could open, what they would pay in."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np

from recsys.bank.customers import SIGNALS, Customers
from recsys.bank.dice import Ints
from recsys.bank.hidden import Hidden
from recsys.bank.money import Money, low
from recsys.bank.occasions import campaign
from recsys.bank.rates import GAP_PULL
from recsys.bank.seasons import ISA_ALLOWANCE_PENCE, isa_season
from recsys.bank.standing import Standing
from recsys.bank.switches import Switches
from recsys.bank.truth import STATES, Truths
from recsys.bank.worlds import World
from recsys.vocabulary import Bools, Floats


class People(NamedTuple):
    """The parts of a bank that the response reads; `money` and `standing` change under it."""

    customers: Customers
    hidden: Hidden
    money: Money
    standing: Standing


def states_of(customers: Customers, *, money: Money, standing: Standing, switches: Switches, today: int) -> Floats:
    """(n, STATES) the state this morning, in the order of `product.STATES`; a season turned off never comes."""
    n = len(customers)
    until_payday = np.clip((money.next_payday - today) / 31.0, 0.0, 1.0)
    spare = (money.balance - customers.spend_pence * until_payday * 0.6) / customers.spend_pence
    age = (today - customers.born_on) / 365.25
    columns = {
        "one": np.ones(n),
        "surplus": np.clip(spare, -1.0, 1.5),
        "payday": np.exp(-(today - money.last_paid) / 2.5) if switches.payday else np.zeros(n),
        "low": low(money, customers=customers).astype(np.float64),
        "savings": np.log1p(money.savings / 100_000.0),
        "isa": np.full(n, isa_season(today) * switches.isa_season),
        "january": np.full(n, float(date.fromordinal(today).month == 1 and switches.january)),
        "years": age - 30.0,
        "family": customers.signals[:, 0].astype(np.float64),
        "sole": customers.signals[:, 1].astype(np.float64),
        "parent": customers.signals[:, 2].astype(np.float64),
        "young": (age < 30.0).astype(np.float64),
        "arrears": (standing.arrears_days > 0).astype(np.float64),
    }
    return np.stack([columns[name] for name in STATES], axis=1)


def suited_of(people: People, *, truths: Truths, switches: Switches, number: int, today: int) -> Bools:
    """(n, P) what each customer could open if they did not own it: the world's own sense, not the rule pack.

    Products on offer on the bank's day `number`; adults only where the product says so; credit needs
    a pre-eligibility and no trouble; ISAs need allowance; business and teen accounts need a business
    and a teenager; accounts in use only.
    """
    customers, standing = people.customers, people.standing
    adult = today >= customers.of_age_on
    in_use: Bools = np.equal(standing.status, 0) & (customers.joined_on <= today)
    suited: Bools = in_use[:, None] & (adult[:, None] | ~truths.adults_only)
    suited &= truths.on_offer(number, switches=switches)
    credit = truths.where(family="credit")
    suited &= ~credit | (standing.pre_eligible & ~standing.troubled()[:, None])
    room = isa_room(people, truths=truths, switches=switches, today=today)
    suited &= ~truths.isa() | (room > 0)
    for column, truth in enumerate(truths.products):
        if truth.only:
            suited[:, column] &= customers.signals[:, SIGNALS.index(truth.only)]
    return suited


def isa_room(
    people: People, *, truths: Truths, switches: Switches, today: int, rows: Ints | slice = slice(None)
) -> Ints:
    """(rows, P) pence that may still be paid into each ISA this tax year; the whole allowance for other products.

    From 6 April 2027 those under 65 may put £12,000 of the £20,000 into cash (domain 3.7). What was
    subscribed is known in all only, so all of it counts against the cash limit.
    """
    subscribed = people.money.isa_subscribed[rows]
    left = ISA_ALLOWANCE_PENCE - subscribed
    room: Ints = np.where(truths.isa(), left[:, None], ISA_ALLOWANCE_PENCE)
    if switches.isa_cap and today >= _CASH_CAP_FROM and "cash-isa" in truths.ids:
        young = (today - people.customers.born_on[rows]) / 365.25 < 65.0
        capped = np.where(young, CASH_ISA_CAP_PENCE - subscribed, left)
        room[:, truths.ids.index("cash-isa")] = capped
    return np.maximum(room, 0)


CASH_ISA_CAP_PENCE = 1_200_000
_CASH_CAP_FROM = date(2027, 4, 6).toordinal()


def need_of(
    people: People,
    liking: Floats,
    *,
    world: World,
    truths: Truths,
    switches: Switches,
    gap: Floats,
    seed: int,
    number: int,
    today: int,
) -> Floats:
    """(n, P) need this morning: the world's, and what rates (`gap` (P,) in our favour) and advertising add."""
    customers = people.customers
    states = states_of(customers, money=people.money, standing=people.standing, switches=switches, today=today)
    need = world.need(liking, states=states, truths=truths)
    if len(priced := np.flatnonzero(gap)):
        need[:, priced] += GAP_PULL * gap[priced] * np.exp(0.3 * people.hidden.price)[:, None]
    pull = campaign(truths, switches=switches, numbers=customers.numbers, seed=seed, number=number)
    return need if pull is None else need + pull


def first_deposits(
    people: People, rows: Ints, columns: Ints, *, truths: Truths, switches: Switches, today: int, luck: Floats
) -> Ints:
    """(k,) pence: about a third of what lies about, at least £10, within the ISA's room; 0 where none belongs.

    `luck` (k,) is standard normal.
    """
    money = people.money
    spare = money.savings[rows] + np.maximum(money.balance[rows], 0)
    pence = np.maximum(spare * np.minimum(0.3 * np.exp(0.6 * luck), 0.9), 1_000).astype(np.int64)
    room = isa_room(people, truths=truths, switches=switches, today=today, rows=rows)[np.arange(len(rows)), columns]
    saves = truths.where(family="savings") | truths.isa()
    return np.where(saves[columns], np.minimum(pence, np.maximum(room, 1_000)), 0)
