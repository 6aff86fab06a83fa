"""How each customer handles money, the same every day: what they buy, owe, keep back and dare.

The figures are home-made, and set so that a year without suggestions looks like public ones
(`money_figures.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys.bank.customers import Customers
from recsys.bank.dice import Ints, keys_of, normals, uniforms
from recsys.bank.happenings import BIG_SHARE, MONTH, Chances, make_chances
from recsys.bank.mandates import Mandates, bills_share, make_mandates, month_shares
from recsys.bank.personas import PERSONAS, TEEN
from recsys.bank.shopping import Tastes, make_tastes
from recsys.vocabulary import Bools, Floats

OPENING_SAVINGS = {
    "payday to payday": (0.24, 600),
    "young spender": (0.12, 1_800),
    "builder": (0.01, 11_000),
    "family": (0.04, 10_000),
    "affluent in cash": (0.00, 32_000),
    "teen": (0.35, 150),
    "sole trader": (0.08, 5_500),
    "older and cautious": (0.02, 20_000),
}
"""Of each persona: the share without savings, and the median pounds of the others.

Those of domain 3.4 with fewer without and higher medians: with its numbers 14 % have no savings and
39 % less than £1,000, against 10 % and 31 % in FCA Financial Lives 2024, on which it rests.
"""
SAVINGS_SPREAD = 1.1
SLIPS = (0.08, 0.32)  # share who live in their overdraft: of most, and of adults who spend all they earn
GRACE_PENCE = 50_000  # how far the bank lets these fall below their limit; nobody else
SLIPPING_CARE = 0.3  # of the care that others take
CUSHION = 0.1  # of a month's free spending, at most, kept in the account by whoever has savings
SWEEPERS = 0.6  # share who put money away by habit


@dataclass(frozen=True, slots=True, eq=False)
class Habits:
    """By customer row."""

    tastes: Tastes
    mandates: Mandates
    chances: Chances
    rate: Floats  # (n,) card payments expected on a day of no tilt
    price_pence: Floats  # (n,) usual pence of a payment in a category of price 1
    free: Floats  # (n,) pence a month for what is not bills
    care: Floats  # (n,) in (0, 1): how far spending gives way when money is short
    cushion: Ints  # (n,) pence below which savings top the account up
    grace: Ints  # (n,) pence the bank lets the balance fall below the limit
    sweeps: Bools  # (n,) puts money away by habit, not only when much lies about
    share: Floats  # (n,) of a month from payday to payday


def make_habits(customers: Customers, *, theta: Floats, seed: int) -> Habits:
    """Everybody's habits; `theta` (n, TRAITS) shapes what they spend on."""
    keys = keys_of(customers.numbers)
    care, kept, luck, orderly = (
        uniforms(seed, purpose=f"money/{name}", day=0, keys=keys) for name in ("care", "cushion", "slips", "sweeps")
    )
    tight = customers.spend_pence > 0.95 * customers.income_pence
    slips = (luck < np.where(tight, SLIPS[1], SLIPS[0])) & (customers.persona != TEEN)
    free = (1.0 - bills_share(customers)) * customers.spend_pence
    tastes = make_tastes(customers, theta=theta, seed=seed)
    return Habits(
        tastes=tastes,
        mandates=make_mandates(customers, theta=theta, seed=seed),
        chances=make_chances(customers),
        rate=customers.payments / MONTH,
        price_pence=(1.0 - BIG_SHARE) * free / (customers.payments * tastes.price),
        free=free,
        care=np.where(slips, SLIPPING_CARE, 1.0) * care**2,
        cushion=np.where(slips, -GRACE_PENCE // 2, CUSHION * kept * free).astype(np.int64),
        grace=np.where(slips, GRACE_PENCE, 0),
        sweeps=orderly < SWEEPERS,
        share=month_shares(customers),
    )


def opening_balances(customers: Customers, *, habits: Habits, until_payday: Ints, seed: int) -> Ints:
    """(n,) pence on the first morning: what is left where the month stands, `until_payday` (n,) days before it ends."""
    noise = np.abs(normals(seed, purpose="money/opening balances", day=0, keys=keys_of(customers.numbers)))
    month_left = np.clip(until_payday / 31.0, 0.0, 1.0)
    left = customers.spend_pence * (0.6 * month_left + 0.25 * noise - 0.02) - 0.7 * habits.grace
    return np.maximum(left, -habits.grace).astype(np.int64)


def opening_savings(customers: Customers, *, seed: int) -> Ints:
    """(n,) pence saved on the first morning."""
    keys = keys_of(customers.numbers)
    without, median = np.array([OPENING_SAVINGS[persona.name] for persona in PERSONAS])[customers.persona].T
    saves = uniforms(seed, purpose="money/has savings", day=0, keys=keys) >= without
    spread = np.exp(SAVINGS_SPREAD * normals(seed, purpose="money/opening savings", day=0, keys=keys))
    return np.where(saves, 100.0 * median * spread, 0.0).astype(np.int64)
