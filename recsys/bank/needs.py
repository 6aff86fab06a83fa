"""What today makes of every customer: how much they need each product, and what they could open."""

from __future__ import annotations

from datetime import date

import numpy as np

from recsys.bank.customers import SIGNALS, Customers
from recsys.bank.hidden import Hidden
from recsys.bank.money import Money, low
from recsys.bank.seasons import ISA_ALLOWANCE_PENCE, isa_season
from recsys.bank.standing import Standing
from recsys.bank.truth import STATES, Truths
from recsys.vocabulary import Bools, Floats


def liking_of(hidden: Hidden, *, truths: Truths) -> Floats:
    """(n, P) the part of need that stays: theta · loading + taste."""
    liking: Floats = np.einsum("nt,pt->np", hidden.theta, truths.loading) + hidden.taste
    return liking


def states_of(customers: Customers, *, money: Money, standing: Standing, today: int) -> Floats:
    """(n, STATES) the state this morning, in the order of `truth.STATES`."""
    n = len(customers)
    until_payday = np.clip((money.next_payday - today) / 31.0, 0.0, 1.0)
    spare = (money.balance - customers.spend_pence * until_payday * 0.6) / customers.spend_pence
    age = (today - customers.born_on) / 365.25
    columns = {
        "one": np.ones(n),
        "surplus": np.clip(spare, -1.0, 1.5),
        "payday": np.exp(-(today - money.last_paid) / 2.5),
        "low": low(money, customers=customers).astype(np.float64),
        "savings": np.log1p(money.savings / 100_000.0),
        "isa": np.full(n, isa_season(today)),
        "january": np.full(n, float(date.fromordinal(today).month == 1)),
        "years": age - 30.0,
        "family": customers.signals[:, 0].astype(np.float64),
        "sole": customers.signals[:, 1].astype(np.float64),
        "parent": customers.signals[:, 2].astype(np.float64),
        "young": (age < 30.0).astype(np.float64),
        "arrears": (standing.arrears_days > 0).astype(np.float64),
    }
    return np.stack([columns[name] for name in STATES], axis=1)


def need_of(liking: Floats, *, states: Floats, truths: Truths) -> Floats:
    """(n, P) need; without BLAS, so that the last bit does not hang on the number of cores."""
    need: Floats = liking + np.einsum("ns,ps->np", states, truths.state)
    return need


def suited_of(customers: Customers, *, money: Money, standing: Standing, truths: Truths, today: int) -> Bools:
    """(n, P) what each customer could open if they did not own it: the world's own sense, not the rule pack.

    Adults only where the product says so; credit needs a pre-eligibility and no trouble; ISAs need
    allowance; business and teen accounts need a business and a teenager; accounts in use only.
    """
    adult = today >= customers.of_age_on
    in_use: Bools = np.equal(standing.status, 0)
    suited: Bools = in_use[:, None] & (adult[:, None] | ~truths.adults_only)
    credit = truths.where(family="credit")
    suited &= ~credit | (standing.pre_eligible & ~standing.troubled()[:, None])
    allowance: Bools = money.isa_subscribed < ISA_ALLOWANCE_PENCE
    for column, truth in enumerate(truths.products):
        if truth.product_id.endswith("-isa"):
            suited[:, column] &= allowance
        if truth.only:
            suited[:, column] &= customers.signals[:, SIGNALS.index(truth.only)]
    return suited
