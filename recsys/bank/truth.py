"""What is true of each product: how easily it is tapped, opened, or opened without us.

Source: domain 3.2, 3.6 and 3.8 (all home-made constants there). Need is linear,

    need = state · x + TASTE · loading · theta + taste

(in the plain world; `worlds` has others), so one table holds the whole response. Where this departs
from domain 3.6, and why:

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

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from recsys.bank.delays import INSTANT, LONG, PENSION, SLOW, TOGGLE
from recsys.bank.dice import Ints, Keys
from recsys.bank.intercepts import shift_of
from recsys.bank.offers import named_truth
from recsys.bank.product import ERRAND, EXAMINATION, STATES, TOPICS, TRAITS, Truth
from recsys.bank.switches import DUD_DAY, NEW_PRODUCT_DAY, RETIRED_DAY, Switches
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Bools, Floats, ProductId

__all__ = ["DISMISS_COST", "ERRAND", "EXAMINATION", "STATES", "TASTE", "TOPICS", "TRAITS", "Truth", "Truths"]

TASTE = 1.35
DISMISS_COST = 0.12

# fmt: off
TRUTHS: Mapping[ProductId, Truth] = MappingProxyType({truth.product_id: truth for truth in (
    Truth("pot", "savings", "saving", -5.0, -0.5, .0100, 6, INSTANT,
          {"surplus": .9, "payday": 1.0, "savings": -.4}, {"thrift": .8, "tinkering": .3, "borrowing": -.3}),
    Truth("fixed-6m", "savings", "saving", -5.9, -1.5, .0009, 9, SLOW,
          {"savings": .9, "one": -1.1}, {"thrift": 1.0, "risk": -.7}, adults_only=True,
          retire_day=RETIRED_DAY, switch="retired"),
    Truth("fixed-1y", "savings", "saving", -5.9, -1.6, .0009, 9, SLOW,
          {"savings": 1.0, "one": -1.3}, {"thrift": 1.1, "risk": -.8}, adults_only=True),
    Truth("cash-isa", "savings", "saving", -5.6, -1.1, .0030, 9, SLOW,
          {"savings": .75, "one": -.8, "isa": 1.2}, {"thrift": 1.0, "risk": -.5}, adults_only=True),
    Truth("ss-isa", "investing", "investing", -5.8, -1.7, .0015, 10, LONG,
          {"savings": .7, "one": -1.0, "isa": .6}, {"risk": 1.4, "thrift": .3}, adults_only=True),
    Truth("pension", "investing", "investing", -6.2, -2.2, .0008, 12, PENSION,
          {"years": .04, "one": -.3}, {"home": .9, "social": -.5, "risk": .4}, adults_only=True),
    Truth("overdraft", "credit", "borrowing", -5.9, -1.8, .0020, 2, SLOW,
          {"low": 1.5, "one": -.3}, {"borrowing": 1.0, "thrift": -.6}, adults_only=True),
    Truth("loan", "credit", "borrowing", -6.1, -2.2, .0016, 4, LONG,
          {"low": .6, "savings": -.25}, {"borrowing": 1.1, "home": .4}, adults_only=True),
    Truth("flex", "credit", "borrowing", -5.6, -1.2, .0030, 2, INSTANT,
          {"low": .7, "payday": .5}, {"borrowing": 1.1, "bargains": .5}, adults_only=True),
    Truth("card", "credit", "borrowing", -6.0, -1.8, .0016, 4, SLOW,
          {"surplus": .4}, {"borrowing": .7, "bargains": .7}, adults_only=True),
    Truth("joint", "accounts", "accounts", -6.0, -1.2, .0016, 4, LONG,
          {"family": 2.0, "one": -.6}, {"home": 1.1}, adults_only=True),
    Truth("business", "accounts", "accounts", -8.2, -1.8, .0004, 8, LONG,
          {"sole": 2.6, "one": -.5}, {"enterprise": 1.2}, adults_only=True, only="sole_trader"),
    Truth("teen-account", "accounts", "accounts", -7.0, -1.6, .0006, 4, SLOW,
          {"parent": 2.4, "one": -.5}, {"home": .9}, adults_only=True, only="parent_of_teen"),
    Truth("salary-sorter", "features", "tools", -5.6, -0.9, .0030, 5, TOGGLE,
          {"payday": 1.7, "one": -.3}, {"tinkering": .9, "thrift": .5}),
    Truth("bill-split", "features", "tools", -5.6, -0.3, .0040, 2, TOGGLE,
          {"young": .4, "one": -.1}, {"social": 1.3}),
    Truth("round-ups", "features", "tools", -5.4, -0.2, .0050, 3, TOGGLE,
          {"young": .4, "one": .1, "savings": -.1}, {"social": .5, "thrift": .6, "tinkering": .4}),
    Truth("penny-challenge", "features", "tools", -5.6, -0.3, .0030, 3, TOGGLE,
          {"january": 1.6, "one": -.8}, {"bargains": .8, "thrift": .6}),
    Truth("budgeting", "features", "tools", -4.8, 0.6, .0160, 2, TOGGLE,
          {"low": 1.1, "one": -.4}, {"tinkering": 1.2, "bargains": .3}, owned=False),
    Truth("cashback", "offers", "tools", -4.2, 0.9, .0300, 1, TOGGLE,
          {"payday": .4}, {"bargains": 1.2, "social": .3}, owned=False),
    Truth("help", "help", "tools", -5.0, 0.8, .0160, 1, TOGGLE,
          {}, {"tinkering": -.8, "home": .3}, owned=False),
    Truth("debt-help", "help", "borrowing", -6.6, 1.0, .0016, 6, TOGGLE,
          {"arrears": 2.6, "low": 1.2, "one": -1.0}, {"borrowing": .6, "thrift": -.5}, owned=False),
)})
# fmt: on


# fmt: off
NEWCOMERS: Mapping[ProductId, Truth] = MappingProxyType({truth.product_id: truth for truth in (
    Truth("rainy-day", "savings", "saving", -7.2, -0.9, .0010, 8, INSTANT,
          {"low": 1.6, "payday": 1.4, "savings": -.7, "one": .2}, {"borrowing": .5, "bargains": .5, "thrift": .2},
          launch_day=NEW_PRODUCT_DAY, switch="new_product"),
    Truth("metal-card", "accounts", "accounts", -4.9, -4.6, .0001, 4, SLOW,
          {"surplus": .3}, {"social": .4, "tinkering": .4}, adults_only=True, launch_day=DUD_DAY, switch="dud"),
)})
# fmt: on
"""`rainy-day` is good for whoever lives from payday to payday; `metal-card` is tapped and hardly ever opened."""


@dataclass(frozen=True, slots=True, eq=False)
class Truths:
    """The catalogue's truths as columns, in the catalogue's order."""

    ids: tuple[ProductId, ...]
    products: tuple[Truth, ...]
    click: Floats  # (P,) lowered by half the variance that taste brings, so that base rates hold
    convert: Floats  # (P,)
    organic: Floats  # (P,)
    points: Floats  # (P,)
    state: Floats  # (P, STATES)
    loading: Floats  # (P, TRAITS), scaled by TASTE
    adults_only: Bools  # (P,)
    owned: Bools  # (P,)
    topics: Ints  # (P,) index in TOPICS
    salts: Keys  # (P,) of the product's name: with a customer's number, a key for dice

    def where(self, *, family: str) -> Bools:
        """(P,) the products of one family."""
        return np.array([truth.family == family for truth in self.products])

    def isa(self) -> Bools:
        """(P,) products that use the ISA allowance."""
        return np.array([truth.product_id.endswith("-isa") for truth in self.products])

    def on_offer(self, number: int, *, switches: Switches) -> Bools:
        """(P,) products that the bank offers on its day `number`."""
        return np.array([_on_offer(truth, number=number, switches=switches) for truth in self.products])


def truths_of(
    catalogue: Sequence[ProductId], *, points: Mapping[ProductId, float] | None = None, world: str = "plain"
) -> Truths:
    """The truths of these products in a world; `points` replaces what an opening is worth, where it names one.

    Beside TRUTHS and NEWCOMERS it knows the offers and articles of `offers`, whose names tell all.
    Raises InvalidConfiguration for an empty catalogue, a product twice, or one without a truth.
    """
    ids = tuple(catalogue)
    if not ids:
        raise InvalidConfiguration("the bank's catalogue is empty: name at least one product")
    if len(set(ids)) < len(ids):
        raise InvalidConfiguration("the bank's catalogue names a product twice")
    products = tuple(truth_of(product) for product in ids)
    loading = TASTE * np.array([[truth.loading.get(trait, 0.0) for trait in TRAITS] for truth in products])
    worth = {truth.product_id: truth.points for truth in products} | dict(points or {})
    shifts = np.array([shift_of(product, world=world) for product in ids])
    return Truths(
        ids=ids,
        products=products,
        click=np.array([truth.click for truth in products]) - 0.36 * (loading**2).sum(axis=1) + shifts[:, 0],
        convert=np.array([truth.convert for truth in products]) + shifts[:, 1],
        organic=np.array([truth.organic for truth in products]) * np.exp(shifts[:, 2]),
        points=np.array([float(worth[product]) for product in ids]),
        state=np.array([[truth.state.get(name, 0.0) for name in STATES] for truth in products]),
        loading=loading,
        adults_only=np.array([truth.adults_only for truth in products]),
        owned=np.array([truth.owned for truth in products]),
        topics=np.array([TOPICS.index(truth.topic) for truth in products]),
        salts=np.array([_salt(product) for product in ids], dtype=np.uint64),
    )


def truth_of(product_id: ProductId) -> Truth:
    """The truth of one product; InvalidConfiguration if the bank knows none of this name."""
    found = TRUTHS.get(product_id) or NEWCOMERS.get(product_id) or named_truth(product_id)
    if found is None:
        raise InvalidConfiguration(f"the bank knows no product {product_id!r}; it knows {', '.join(TRUTHS)}")
    return found


def _on_offer(truth: Truth, *, number: int, switches: Switches) -> bool:
    if truth.switch and not getattr(switches, truth.switch):
        return truth.launch_day is None  # what is only ever launched by a switch stays away without it
    launched = truth.launch_day is None or truth.launch_day <= number
    return launched and (truth.retire_day is None or number < truth.retire_day)


def _salt(product_id: ProductId) -> int:
    return int.from_bytes(hashlib.sha256(product_id.encode()).digest()[:8], "little")
