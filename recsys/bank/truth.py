"""What is true of each product: how easily it is tapped, opened, or opened without us.

Source: domain 3.2, 3.6 and 3.8 (all home-made constants there). Need is linear,

    need = state · x + TASTE · loading · theta + taste,

so one table holds the whole response. Where this departs from domain 3.6, and why:

- Persons differ more. In the sketch the best learnable policy was worth 1.07 × the best fixed list.
  Here loadings are stronger (`TASTE`: theta · loading has a standard deviation of about 1.5), state
  terms are a fifth to a third stronger, the unexplained taste is weaker (.5 for .7) and so is the
  pull of persuadability, which nothing observable tells (.6 for .8). Click intercepts are lowered by
  half the variance that theta brings, which holds the base rates of 3.3. What personalisation pays
  now stands in `describe`.
- Slow products (fixed, ISAs, pension, joint, card, loan) open somewhat more often once tapped: with
  the sketch's `v_p` their worth was below the price of a dismissal for nearly everyone. Organic need
  counts less steeply (exp(.8 n - .3), not exp(1.1 n)), since need now varies more.
- `debt-help` is for those in trouble: without arrears or a low balance it is hardly wanted. Business
  and teen accounts, which 5 % could open, are tapped less easily, or they would head every list.
- Products that 3.6 gives no numbers. `fixed` is split in two alike, `fixed-6m` opened a little more
  easily, each with about half the organic rate. `teen-account` is a rarer `joint` that only parents
  of teenagers need. `bill-split` is a feature like `round-ups` that sociable people want.
  `penny-challenge` is wanted in January and hardly outside it. `help` is tapped like `budgeting`,
  is worth a point and attracts whoever tinkers least.
- Using is not owning: `budgeting`, `cashback`, `help`, `debt-help` may be opened again and are never held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, Floats, ProductId

TASTE = 1.35
TRAITS = ("thrift", "risk", "borrowing", "social", "home", "tinkering", "enterprise", "bargains")
STATES = (
    "one",
    "surplus",
    "payday",
    "low",
    "savings",
    "isa",
    "january",
    "years",
    "family",
    "sole",
    "parent",
    "young",
    "arrears",
)
"""`savings` is log(1 + pounds / 1,000), `years` is age past 30, `isa` and `payday` are peaks in [0, 1]."""

EXAMINATION: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "home": (0.78, 0.34, 0.17),
        "savings": (0.95, 0.72, 0.50, 0.34, 0.24),
        "search": (0.97, 0.85, 0.66, 0.48, 0.35, 0.26, 0.19, 0.14, 0.10, 0.07),
        "push": (0.90,),
        "inline": (0.85,),
    }
)
"""Probability that a slot is seen, by surface (domain 3.6; push and inline are ours)."""

INTENT: Mapping[str, float] = MappingProxyType({"home": 0.0, "savings": 1.6, "search": 1.0, "push": 0.8, "inline": 0.3})
"""Added to the click logit: people on the savings tab came for something."""

DISMISS_COST = 0.12


@dataclass(frozen=True, slots=True)
class Delay:
    """Time from tap to opening: an hour, a day, else a day and a lognormal tail (domain 3.8)."""

    within_hour: float
    within_day: float
    median_days: float
    spread: float


TOGGLE = Delay(0.92, 0.05, 2.0, 0.8)
INSTANT = Delay(0.75, 0.15, 3.0, 1.0)
SLOW = Delay(0.35, 0.15, 5.6, 1.15)
LONG = Delay(0.20, 0.15, 7.0, 1.1)
PENSION = Delay(0.05, 0.10, 14.0, 0.9)


@dataclass(frozen=True, slots=True)
class Truth:
    """One product. `click` and `convert` are logits, `organic` a 30-day chance, `points` per opening."""

    product_id: ProductId
    family: str
    click: float
    convert: float
    organic: float
    points: float
    delay: Delay
    state: Mapping[str, float] = field(default_factory=dict)
    loading: Mapping[str, float] = field(default_factory=dict)
    adults_only: bool = False
    only: str = ""  # the signal without which nobody opens it
    owned: bool = True


# fmt: off
TRUTHS: Mapping[ProductId, Truth] = MappingProxyType({truth.product_id: truth for truth in (
    Truth("pot", "savings", -5.0, -0.5, .0100, 6, INSTANT,
          {"surplus": .9, "payday": 1.0, "savings": -.4}, {"thrift": .8, "tinkering": .3, "borrowing": -.3}),
    Truth("fixed-6m", "savings", -5.9, -1.5, .0009, 9, SLOW,
          {"savings": .9, "one": -1.1}, {"thrift": 1.0, "risk": -.7}, adults_only=True),
    Truth("fixed-1y", "savings", -5.9, -1.6, .0009, 9, SLOW,
          {"savings": 1.0, "one": -1.3}, {"thrift": 1.1, "risk": -.8}, adults_only=True),
    Truth("cash-isa", "savings", -5.6, -1.1, .0030, 9, SLOW,
          {"savings": .75, "one": -.8, "isa": 1.2}, {"thrift": 1.0, "risk": -.5}, adults_only=True),
    Truth("ss-isa", "investing", -5.8, -1.7, .0015, 10, LONG,
          {"savings": .7, "one": -1.0, "isa": .6}, {"risk": 1.4, "thrift": .3}, adults_only=True),
    Truth("pension", "investing", -6.2, -2.2, .0008, 12, PENSION,
          {"years": .04, "one": -.3}, {"home": .9, "social": -.5, "risk": .4}, adults_only=True),
    Truth("overdraft", "credit", -5.9, -1.8, .0020, 2, SLOW,
          {"low": 1.5, "one": -.3}, {"borrowing": 1.0, "thrift": -.6}, adults_only=True),
    Truth("loan", "credit", -6.1, -2.2, .0016, 4, LONG,
          {"low": .6, "savings": -.25}, {"borrowing": 1.1, "home": .4}, adults_only=True),
    Truth("flex", "credit", -5.6, -1.2, .0030, 2, INSTANT,
          {"low": .7, "payday": .5}, {"borrowing": 1.1, "bargains": .5}, adults_only=True),
    Truth("card", "credit", -6.0, -1.8, .0016, 4, SLOW,
          {"surplus": .4}, {"borrowing": .7, "bargains": .7}, adults_only=True),
    Truth("joint", "accounts", -6.0, -1.2, .0016, 4, LONG,
          {"family": 2.0, "one": -.6}, {"home": 1.1}, adults_only=True),
    Truth("business", "accounts", -8.2, -1.8, .0004, 8, LONG,
          {"sole": 2.6, "one": -.5}, {"enterprise": 1.2}, adults_only=True, only="sole_trader"),
    Truth("teen-account", "accounts", -7.0, -1.6, .0006, 4, SLOW,
          {"parent": 2.4, "one": -.5}, {"home": .9}, adults_only=True, only="parent_of_teen"),
    Truth("salary-sorter", "features", -5.6, -0.9, .0030, 5, TOGGLE,
          {"payday": 1.7, "one": -.3}, {"tinkering": .9, "thrift": .5}),
    Truth("bill-split", "features", -5.6, -0.3, .0040, 2, TOGGLE,
          {"young": .4, "one": -.1}, {"social": 1.3}),
    Truth("round-ups", "features", -5.4, -0.2, .0050, 3, TOGGLE,
          {"young": .4, "one": .1, "savings": -.1}, {"social": .5, "thrift": .6, "tinkering": .4}),
    Truth("penny-challenge", "features", -5.6, -0.3, .0030, 3, TOGGLE,
          {"january": 1.6, "one": -.8}, {"bargains": .8, "thrift": .6}),
    Truth("budgeting", "features", -4.8, 0.6, .0100, 2, TOGGLE,
          {"low": 1.1, "one": -.4}, {"tinkering": 1.2, "bargains": .3}, owned=False),
    Truth("cashback", "offers", -4.2, 0.9, .0200, 1, TOGGLE,
          {"payday": .4}, {"bargains": 1.2, "social": .3}, owned=False),
    Truth("help", "help", -5.0, 0.8, .0100, 1, TOGGLE,
          {}, {"tinkering": -.8, "home": .3}, owned=False),
    Truth("debt-help", "help", -6.6, 1.0, .0010, 6, TOGGLE,
          {"arrears": 2.6, "low": 1.2, "one": -1.0}, {"borrowing": .6, "thrift": -.5}, owned=False),
)})
# fmt: on


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """The catalogue's truths as columns, in the catalogue's order."""

    ids: tuple[ProductId, ...]
    products: tuple[Truth, ...]
    click: Floats  # (P,) logits, lowered by half the variance that taste brings, so that base rates hold
    convert: Floats  # (P,)
    organic: Floats  # (P,)
    points: Floats  # (P,)
    state: Floats  # (P, STATES)
    loading: Floats  # (P, TRAITS), scaled by TASTE
    adults_only: Bools  # (P,)
    owned: Bools  # (P,)

    def where(self, *, family: str) -> Bools:
        """(P,) the products of one family."""
        return np.array([truth.family == family for truth in self.products])


def truths_of(catalogue: Sequence[ProductId], *, points: Mapping[ProductId, float] | None = None) -> Truths:
    """The truths of these products; `points` replaces what an opening is worth, where it names one.

    Raises InvalidConfiguration for an empty catalogue, a product twice, or one without a truth.
    """
    ids = tuple(catalogue)
    if not ids:
        raise InvalidConfiguration("the bank's catalogue is empty: name at least one product")
    if len(set(ids)) < len(ids):
        raise InvalidConfiguration("the bank's catalogue names a product twice")
    if unknown := [product for product in ids if product not in TRUTHS]:
        raise InvalidConfiguration(f"the bank knows no product {unknown[0]!r}; it knows {', '.join(TRUTHS)}")
    products = tuple(TRUTHS[product] for product in ids)
    loading = TASTE * np.array([[truth.loading.get(trait, 0.0) for trait in TRAITS] for truth in products])
    worth = {truth.product_id: truth.points for truth in products} | dict(points or {})
    return Truths(
        ids=ids,
        products=products,
        click=np.array([truth.click for truth in products]) - 0.36 * (loading**2).sum(axis=1),
        convert=np.array([truth.convert for truth in products]),
        organic=np.array([truth.organic for truth in products]),
        points=np.array([float(worth[product]) for product in ids]),
        state=np.array([[truth.state.get(name, 0.0) for name in STATES] for truth in products]),
        loading=loading,
        adults_only=np.array([truth.adults_only for truth in products]),
        owned=np.array([truth.owned for truth in products]),
    )
