"""Who the customers are: what a bank can see of them, and apart from it what nobody can.

Personas, shares and money are those of domain 3.4. `Customers` holds what a bank knows; `Hidden`
holds the traits that drive wants and never leave this package. The two are tied: theta leans with
the persona, shapes the spending mix (`money.MIX`), what is owned on the first day and the `saver`
signal, so that a learner can recover it from spending, as a real one must.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from recsys.bank.dice import Ints, generator, normals
from recsys.bank.seasons import PAYDAYS
from recsys.bank.truth import TRAITS, Truths
from recsys.vocabulary import Bools, CustomerId, Floats

TASTE_SPREAD = 0.5  # sd of eps, the taste for one product that nothing explains (domain 3.6 has .7)


@dataclass(frozen=True, slots=True)
class Persona:
    """A kind of customer; money in pounds, `lean` is the mean of theta by trait."""

    name: str
    share: float
    ages: tuple[int, int]
    income: float
    spends: float
    no_savings: float
    savings: float
    arrears: float
    payments: float  # card payments a month
    lean: tuple[float, ...]  # thrift risk borrowing social home tinkering enterprise bargains


# fmt: off
PERSONAS = (
    Persona("payday to payday", .22, (18, 55), 1650, 1.02, .35, 300, .10, 32, (-.7, -.2, .7, .0, .0, -.2, -.2, .4)),
    Persona("young spender", .20, (18, 29), 1700, .98, .18, 900, .05, 40, (-.4, .2, .3, .9, -.8, .5, .0, .2)),
    Persona("builder", .22, (25, 45), 2250, .86, .02, 6000, .01, 34, (.7, .3, -.4, .0, .0, .4, .1, .0)),
    Persona("family", .14, (30, 50), 2500, .93, .06, 5000, .03, 38, (.0, -.2, .1, -.4, 1.2, -.2, -.1, .4)),
    Persona("affluent in cash", .09, (30, 65), 4200, .70, .00, 24000, .005, 36, (.8, .6, -.6, .0, .2, .0, .2, -.5)),
    Persona("teen", .03, (16, 17), 350, .90, .50, 150, .00, 25, (-.2, .0, .0, .8, -1.0, .8, .0, .3)),
    Persona("sole trader", .05, (25, 60), 2100, .92, .12, 3500, .04, 40, (.0, .3, .2, .0, .1, .1, 1.6, .0)),
    Persona("older and cautious", .05, (60, 80), 1700, .88, .03, 14000, .01, 25, (.7, -.9, -.7, -.4, .4, -.9, -.3, .2)),
)
# fmt: on
TEEN, FAMILY, SOLE = 5, 3, 6
SIGNALS = ("family", "sole_trader", "parent_of_teen", "saver", "commuter")
EMPLOYMENTS = ("employed", "self_employed", "student", "retired")
APP_PLATFORMS = ("ios", "android")


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """What drives wants and is never told: every array by customer row."""

    theta: Floats  # (n, TRAITS) preferences
    taste: Floats  # (n, P) liking of one product
    persuadable: Floats  # (n, P) how much a card changes the mind; lower where taste is strong
    patience: Floats  # (n,) money stays where it was put
    irritation: Floats  # (n,) how soon cards are too many
    price: Floats  # (n,) how much rates matter


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """What the bank knows and what does not change; every array by customer row."""

    ids: tuple[CustomerId, ...]
    born_on: Ints  # (n,) ordinals
    of_age_on: Ints  # (n,) the eighteenth birthday
    joined_on: Ints  # (n,)
    income_pence: Ints  # (n,) a month, net
    spend_pence: Ints  # (n,) a month
    payments: Floats  # (n,) card payments a month
    payday: Ints  # (n,) index in PAYDAYS
    logins: Floats  # (n,) a day
    signals: Bools  # (n, SIGNALS)
    employment: Ints  # (n,) index in EMPLOYMENTS
    platform: Ints  # (n,) index in APP_PLATFORMS
    household: Ints  # (n,) number, -1 for none
    persona: Ints  # (n,) index in PERSONAS
    arrears_share: Floats  # (n,) long-run share of such customers in arrears

    def __len__(self) -> int:
        """How many customers there are."""
        return len(self.ids)

    @property
    def numbers(self) -> Ints:
        """(n,) the number of each row's customer in the whole bank."""
        return np.arange(len(self.ids))


def make_hidden(persona: Ints, *, truths: Truths, seed: int) -> Hidden:
    """Hidden traits around each persona's leaning."""
    rng = generator(seed, purpose="hidden")
    n, shape = len(persona), (len(persona), len(truths.ids))
    lean = np.array([each.lean for each in PERSONAS])[persona]
    theta = lean + 0.85 * rng.standard_normal((n, len(TRAITS)))
    tilt = rng.standard_normal(shape)
    keys = np.arange(n, dtype=np.uint64)
    temper = (normals(seed, purpose=name, day=0, keys=keys) for name in ("patience", "irritation", "price"))
    return Hidden(theta, TASTE_SPREAD * tilt, rng.standard_normal(shape) - 0.45 * tilt, *temper)


def make_personas(customers: int, *, seed: int) -> Ints:
    """The persona of each customer, (n,)."""
    shares = np.array([each.share for each in PERSONAS])
    return generator(seed, purpose="personas").choice(len(PERSONAS), size=customers, p=shares / shares.sum())


def make_customers(persona: Ints, *, hidden: Hidden, seed: int, start: datetime) -> Customers:
    """What the bank knows of each customer on the first day."""
    rng = generator(seed, purpose="customers")
    n, today = len(persona), start.toordinal()
    low, high = np.array([each.ages for each in PERSONAS])[persona].T
    born = today - (low * 365.25 + rng.random(n) * ((high + 1 - low) * 365.25 - 20) + 10).astype(np.int64)
    income = np.exp(rng.normal(0.0, 0.28, n)) * np.array([each.income for each in PERSONAS])[persona] * 100
    spends = np.array([each.spends for each in PERSONAS])[persona] + rng.normal(0.0, 0.05, n)
    payday = rng.choice(len(PAYDAYS), size=n, p=(0.55, 0.066, 0.066, 0.066, 0.066, 0.066, 0.12))
    tenure = np.minimum(rng.gamma(2.0, 500.0, n), np.maximum(today - born - 16 * 365, 30))
    return Customers(
        ids=tuple(CustomerId(f"c-{row:06d}") for row in range(n)),
        born_on=born,
        of_age_on=np.array([_eighteenth_birthday(each) for each in born.tolist()]),
        joined_on=today - tenure.astype(np.int64),
        income_pence=income.astype(np.int64),
        spend_pence=(income * spends).astype(np.int64),
        payments=np.array([each.payments for each in PERSONAS])[persona] * np.exp(rng.normal(0.0, 0.2, n)),
        payday=payday,
        logins=np.exp(rng.normal(np.log(0.60), 0.55, n)),
        signals=_signals(persona, hidden=hidden, rng=rng),
        employment=_employments(persona, rng=rng),
        platform=rng.integers(0, 2, n),
        household=_households(persona, rng=rng),
        persona=persona,
        arrears_share=np.array([each.arrears for each in PERSONAS])[persona],
    )


def _eighteenth_birthday(born: int) -> int:
    day = date.fromordinal(born)
    leap = (day.month, day.day) == (2, 29)  # 29 February falls on 1 March in a common year
    return (date(day.year + 18, 3, 1) if leap else day.replace(year=day.year + 18)).toordinal()


def _signals(persona: Ints, *, hidden: Hidden, rng: np.random.Generator) -> Bools:
    """(n, SIGNALS): what a bank would infer from transactions, noisy where they hang on a trait."""
    n = len(persona)
    thrift = hidden.theta[:, TRAITS.index("thrift")] + 0.5 * rng.standard_normal(n)
    parent = (persona == FAMILY) & (rng.random(n) < 0.35)
    commuter = (rng.random(n) < 0.35) & ~np.isin(persona, (TEEN, 7))
    return np.stack([persona == FAMILY, persona == SOLE, parent, thrift > 0.7, commuter], axis=1)


def _employments(persona: Ints, *, rng: np.random.Generator) -> Ints:
    usual = np.array([0, 0, 0, 0, 0, 2, 1, 3])[persona]
    studies = (persona == 1) & (rng.random(len(persona)) < 0.25)
    return np.where(studies, 2, usual)


def _households(persona: Ints, *, rng: np.random.Generator) -> Ints:
    """Pairs: 30 % of families and 10 % of others share a household with another customer."""
    linked = np.flatnonzero(rng.random(len(persona)) < np.where(persona == FAMILY, 0.30, 0.10))
    linked = rng.permutation(linked)[: len(linked) // 2 * 2]
    household = np.full(len(persona), -1)
    household[linked] = np.repeat(np.arange(len(linked) // 2), 2)
    return household
