"""What money is spent on: merchant categories, their codes (ISO 18245), and five thousand merchants.

Three lists of categories, numbered one after the other in `ALL_NAMES`:

- `CATEGORIES`: what a customer chooses to spend on, payment by payment. Traits lean their shares, so
  that tastes can be read off a spending mix. `NAMES`, `SENT` and `PRICES` are theirs, in this order.
- `BILLS` (`mandates.py`): what comes by itself every month.
- `MOVES`: money between accounts, with no merchant.

Every category but the moves has merchants; the r-th largest of K is visited with probability
log(1 + 1/r) / log(K + 1), which is Zipf's law with exponent one in a closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.bank.codes import CODES
from recsys.bank.dice import Ints
from recsys.vocabulary import Bools, Floats

SCHEMES = ("card", "fps", "dd", "so", "bacs", "internal")
MERCHANTS = 5_000
SENSITIVE = frozenset(
    {"gambling", "pharmacy", "clinic", "union", "faith", "dating", "hardship", "funeral", "union_dues"}
)
"""Categories never sent: they would tell of health, belief, love, death, addiction or hardship (VUL-2)."""


@dataclass(frozen=True, slots=True)
class Category:
    """What money is spent on: usual share of payments, relative price, and the traits that raise the share.

    `rhythm` and `season` name when (`rhythms.py`); `spread` is the standard deviation of log price;
    `merchants` weighs how many of all merchants are in the category.
    """

    name: str
    share: float
    price: float
    leans: Mapping[str, float] = field(default_factory=dict)
    rhythm: str = "daily"
    season: str = ""
    spread: float = 0.5
    merchants: float = 1.0
    scheme: str = "card"


@dataclass(frozen=True, slots=True)
class Bill:
    """A regular payment: who has it, what it costs a month, and how it is collected.

    `pounds` is the median; 0 is the housing cost, which takes the rest of what goes on bills. `offset` is
    the day after payday on which it is paid, 0 for a day of the month that is the customer's own.
    """

    name: str
    have: float
    pounds: float
    scheme: str = "dd"
    offset: int = 0
    spread: float = 0.35
    merchants: float = 0.3
    leans: Mapping[str, float] = field(default_factory=dict)


# fmt: off
CATEGORIES = (
    Category("groceries", .23, 1.0, {"home": .3}, merchants=3.0, spread=.7),
    Category("takeaway", .07, .7, {"social": .4, "thrift": -.7}, "night", "eating", merchants=6.0),
    Category("pub", .04, .7, {"social": 1.1}, "night", "eating", merchants=5.0),
    Category("restaurant", .045, 1.2, {"social": .9}, "night", "eating", merchants=6.0),
    Category("transport", .09, .4, {}, "work", "commute", merchants=1.0),
    Category("fuel", .045, 1.9, {"home": .3}, merchants=2.0, spread=.3),
    Category("motoring", .01, 4.0, {}, "work", merchants=2.0, spread=.9),
    Category("clothing", .045, 1.7, {"bargains": .5, "borrowing": .4}, "weekend", "gifts", merchants=3.0),
    Category("discount_store", .05, .6, {"bargains": 1.1}, "weekend", "gifts"),
    Category("voucher_site", .02, .5, {"bargains": 1.2}, "online", "gifts", merchants=.5),
    Category("marketplace", .06, .9, {"bargains": .2}, "online", "gifts", merchants=1.5, spread=.8),
    Category("electronics", .018, 4.0, {"tinkering": 1.0}, "weekend", "gifts", merchants=1.0, spread=.8),
    Category("software", .03, .5, {"tinkering": 1.1}, "online", merchants=1.0),
    Category("gaming", .03, .7, {"tinkering": .6, "social": .3}, "online", "gifts", merchants=.8),
    Category("brokerage", .015, 3.0, {"risk": 1.3}, "online", merchants=.3, spread=.8),
    Category("crypto", .01, 2.0, {"risk": 1.2}, "online", merchants=.3, spread=.9),
    Category("instalments", .02, 1.5, {"borrowing": 1.2}, "online", merchants=.2),
    Category("cash_withdrawal", .03, 2.0, {"borrowing": .7}, merchants=1.0, spread=.4),
    Category("children", .03, 1.2, {"home": 1.1}, "weekend", "gifts", merchants=1.0),
    Category("home_and_garden", .04, 2.2, {"home": .9}, "weekend", "gifts", merchants=2.5, spread=.8),
    Category("trade_supplies", .01, 3.0, {"enterprise": 1.3}, "work", merchants=1.5, spread=.7),
    Category("coworking", .01, 2.0, {"enterprise": 1.1}, "work", merchants=.8),
    Category("charity", .01, .6, {"thrift": .5}, merchants=.7),
    Category("second_hand", .02, .8, {"thrift": 1.0}, "weekend", merchants=1.0),
    Category("savings_club", .015, 1.0, {"thrift": 1.2}, "online", merchants=.2, spread=.3),
    Category("travel", .012, 8.0, {}, "online", "travel", merchants=2.0, spread=.9),
    Category("entertainment", .025, .9, {"social": .5}, "night", "eating", merchants=1.5),
    Category("sport", .015, 1.0, {"social": .2}, "weekend", merchants=1.5),
    Category("beauty", .02, 1.0, {"social": .2}, "work", merchants=3.0),
    Category("pets", .012, 1.3, {"home": .4}, "weekend", merchants=.8),
    Category("books", .015, .6, {}, "online", "gifts", merchants=.7),
    Category("education", .004, 2.5, {}, "work", merchants=.5, spread=.8),
    Category("friends", .02, 1.0, {"social": .4}, "night", merchants=.0, scheme="fps", spread=.7),
    Category("gambling", .01, 1.0, {}, "online", merchants=.5, spread=.9),
    Category("pharmacy", .02, .5, {}, "work", merchants=1.0),
    Category("clinic", .005, 2.0, {}, "work", merchants=.7, spread=.8),
    Category("union", .002, .8, {}, "work", merchants=.2), Category("faith", .003, .6, {}, "weekend", merchants=.4),
    Category("dating", .003, .8, {}, "online", merchants=.2), Category("funeral", .0003, 8.0, {}, "work", merchants=.2),
    Category("hardship", .003, 2.0, {"borrowing": .6}, "work", merchants=.4, spread=.8),
)
BILLS = (
    Bill("housing", 1.0, 0, "so", offset=1, merchants=2.0), Bill("council_tax", .80, 140, offset=2),
    Bill("energy", .92, 110, offset=3), Bill("water", .85, 32, offset=4), Bill("broadband", .85, 31, offset=5),
    Bill("mobile", .95, 18, spread=.5), Bill("tv_licence", .70, 14.5, spread=.0, merchants=.02),
    Bill("insurance", .70, 45, spread=.5), Bill("credit_repayment", .28, 110, spread=.6, leans={"borrowing": .8}),
    Bill("childcare", .0, 320, "so", offset=2, spread=.5), Bill("gym", .22, 28, merchants=.5),
    Bill("streaming", .68, 12, leans={"social": .2}), Bill("music", .42, 11, spread=.1, leans={"social": .3}),
    Bill("cloud", .25, 6, leans={"tinkering": .9}), Bill("giving", .15, 9, leans={"thrift": .3}, spread=.7),
    Bill("union_dues", .12, 15, spread=.2),
)
# fmt: on
MOVES: Mapping[str, str] = {
    "salary": "bacs",
    "bonus": "bacs",
    "trading": "fps",
    "partner": "fps",
    "repaid": "fps",
    "savings": "internal",
}
"""Money between accounts and the scheme that carries it; `repaid` is a friend's share of a meal."""

NAMES = tuple(category.name for category in CATEGORIES)
ALL_NAMES = (*NAMES, *(bill.name for bill in BILLS), *MOVES)
FIRST_BILL, FIRST_MOVE = len(NAMES), len(NAMES) + len(BILLS)
SALARY, BONUS, TRADING, PARTNER, REPAID, SAVINGS = range(FIRST_MOVE, len(ALL_NAMES))
MEALS = NAMES.index("restaurant")
SENT: Bools = np.array([name not in SENSITIVE for name in NAMES])
PRICES: Floats = np.array([category.price for category in CATEGORIES])
SPREADS: Floats = np.array([category.spread for category in CATEGORIES])
SCHEME_OF: Ints = np.array(
    [SCHEMES.index(each) for each in (*(c.scheme for c in CATEGORIES), *(b.scheme for b in BILLS), *MOVES.values())]
)
"""(ALL_NAMES,) index in SCHEMES of how each category is paid."""


def _sizes() -> Ints:
    """(ALL_NAMES,) merchants in each category, in all exactly MERCHANTS; what rounding leaves goes to the first."""
    weights = np.array([*(c.merchants for c in CATEGORIES), *(b.merchants for b in BILLS), *(0.0 for _ in MOVES)])
    sizes = np.where(weights > 0, np.maximum(np.round(MERCHANTS * weights / weights.sum()), 1), 0).astype(np.int64)
    sizes[0] += MERCHANTS - sizes.sum()
    return sizes


SIZES = _sizes()
FIRST_MERCHANT: Ints = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
"""(ALL_NAMES,) where each category's merchants begin, the largest first."""
CATEGORY_OF: Ints = np.repeat(np.arange(len(ALL_NAMES)), SIZES)
"""(MERCHANTS,) the category of each merchant."""
_RANKS = np.arange(MERCHANTS) - FIRST_MERCHANT[CATEGORY_OF]
MCC_OF: Ints = np.array(
    [
        CODES[ALL_NAMES[category]][rank % len(CODES[ALL_NAMES[category]])]
        for category, rank in zip(CATEGORY_OF.tolist(), _RANKS.tolist(), strict=True)
    ]
)
"""(MERCHANTS,) merchant category code."""
_LARGE = np.log1p(SIZES.astype(np.float64))


def merchant_names() -> tuple[str, ...]:
    """(MERCHANTS,) stable names, by category and rank: "groceries-0000" is the largest grocer."""
    return tuple(
        f"{ALL_NAMES[category]}-{rank:04d}"
        for category, rank in zip(CATEGORY_OF.tolist(), _RANKS.tolist(), strict=True)
    )


def merchant_groups() -> tuple[str, ...]:
    """(MERCHANTS,) the chain each belongs to: four neighbours in rank."""
    return tuple(
        f"{ALL_NAMES[category]}-group-{rank // 4:03d}"
        for category, rank in zip(CATEGORY_OF.tolist(), _RANKS.tolist(), strict=True)
    )


def merchants_at(luck: Floats, *, categories: Ints) -> Ints:
    """(t,) a merchant of each category by Zipf's law from numbers in (0, 1); -1 where a category has none.

    >>> merchants_at(np.array([0.01, 0.99]), categories=np.array([0, 0])).tolist()[0]
    0
    """
    ranks = np.exp(luck * _LARGE[categories]).astype(np.int64) - 1
    ranks += FIRST_MERCHANT[categories]
    ranks[SIZES[categories] == 0] = -1
    return ranks
