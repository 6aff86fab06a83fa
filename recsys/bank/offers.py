"""Products by the hundred: cashback offers that come and go, and help articles that stay.

Their names tell all, so a catalogue can be made of names alone and every slice of a bank agrees on
what they are: `offer-<seed>-<number>` and `article-<number>`. With them the catalogue has 60 to 500
products that retrieval can tell apart by text and by whom they suit.

    offers = offers_of(120, seed=1)
    catalogue = (*TRUTHS, *(each.product_id for each in offers))
    Bank.create(..., catalogue=catalogue); catalogue_text(catalogue)   # TOML for `recsys catalogue apply`
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from recsys.bank.delays import TOGGLE
from recsys.bank.dice import normals, uniforms
from recsys.bank.product import Truth
from recsys.vocabulary import ProductId

OFFER_DAYS = (14, 28)
SPAN = 180  # offers launch on some day of the bank's first half-year, a tenth of them before it begins

# fmt: off
MERCHANTS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "groceries": ("your weekly shop", {"home": .9, "bargains": .8}),
    "takeaway": ("takeaways", {"social": .6, "thrift": -.8}),
    "restaurant": ("eating out", {"social": 1.2}),
    "transport": ("train and bus tickets", {"social": .3, "enterprise": .4}),
    "fuel": ("fuel", {"home": .6, "enterprise": .4}),
    "clothing": ("clothes", {"bargains": .9, "borrowing": .5}),
    "discount_store": ("discount stores", {"bargains": 1.5}),
    "electronics": ("electronics", {"tinkering": 1.3}),
    "software": ("apps and software", {"tinkering": 1.4}),
    "gaming": ("games", {"tinkering": .9, "social": .6}),
    "children": ("children's things", {"home": 1.5}),
    "home_and_garden": ("home and garden", {"home": 1.3, "thrift": .3}),
    "trade_supplies": ("trade supplies", {"enterprise": 1.6}),
    "coworking": ("desk space", {"enterprise": 1.3, "tinkering": .4}),
    "second_hand": ("second-hand shops", {"thrift": 1.3}),
}
"""Category → its words and the traits of whom its offers suit; none that is age-restricted or sensitive."""

SUBJECTS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "your first budget": ("tools", {"tinkering": -.6, "bargains": .8}),
    "a rainy-day fund": ("saving", {"thrift": .9, "home": .4}),
    "how interest is taxed": ("saving", {"thrift": 1.1, "risk": -.3}),
    "ISA allowances": ("saving", {"thrift": 1.0, "risk": .4}),
    "what investing risk means": ("investing", {"risk": 1.4}),
    "fees on funds": ("investing", {"risk": 1.0, "thrift": .6}),
    "old workplace pensions": ("investing", {"home": .9, "risk": .4}),
    "your credit file": ("borrowing", {"borrowing": 1.2}),
    "paying an overdraft down": ("borrowing", {"borrowing": 1.0, "thrift": .4}),
    "paying in instalments": ("borrowing", {"borrowing": 1.0, "bargains": .6}),
    "sharing bills": ("accounts", {"social": 1.1, "home": .4}),
    "moving in together": ("accounts", {"home": 1.2}),
    "invoices and tax for sole traders": ("accounts", {"enterprise": 1.5}),
    "pocket money": ("accounts", {"home": 1.3}),
    "spotting scams": ("tools", {"tinkering": -.9, "home": .3}),
    "spending abroad": ("tools", {"social": .9}),
    "subscriptions you forgot": ("tools", {"bargains": .9, "tinkering": .4}),
    "moving your salary": ("tools", {"tinkering": .7, "thrift": .3}),
}
"""Subject → its topic and the traits of who reads about it."""

ANGLES = ("explained", "in five minutes", "step by step", "mistakes to avoid", "a checklist", "questions people ask",
          "for beginners", "what changes this year")
# fmt: on

_NAME = re.compile(r"offer-(\d{1,9})-(\d{1,6})|article-(\d{1,6})")


def offers_of(n: int, *, seed: int) -> tuple[Truth, ...]:
    """`n` cashback offers, each on offer for two to four weeks of the bank's first half-year."""
    return tuple(_offer(seed, number) for number in range(n))


def articles_of(n: int) -> tuple[Truth, ...]:
    """`n` help articles, always on offer: a subject from an angle."""
    return tuple(_article(number) for number in range(n))


def named_truth(product_id: ProductId) -> Truth | None:
    """The offer or article of this name, None when it is neither."""
    found = _NAME.fullmatch(product_id)
    if found is None:
        return None
    seed, offer, article = found.groups()
    return _article(int(article)) if article else _offer(int(seed), int(offer))


def words_of(product_id: ProductId) -> tuple[str, str]:
    """(name, text) of an offer or article, for customers and for retrieval."""
    found = _NAME.fullmatch(product_id)
    if found is None:
        raise KeyError(product_id)
    seed, offer, article = found.groups()
    if article:
        subject, angle = _subject(int(article)), ANGLES[int(article) // len(SUBJECTS) % len(ANGLES)]
        edition = int(article) // (len(SUBJECTS) * len(ANGLES))
        title = f"{subject[0].upper()}{subject[1:]}: {angle}" + (f" (part {edition + 1})" if edition else "")
        return title, f"A short read about {subject}, {angle}. Nothing to sign up for."
    category, percent = _category(int(seed), int(offer)), _percent(int(seed), int(offer))
    words = MERCHANTS[category][0]
    return (
        f"{percent} % back on {words}",
        f"Earn {percent} % back when you pay for {words} with your card.",
    )


def _offer(seed: int, number: int) -> Truth:
    category, percent = _category(seed, number), _percent(seed, number)
    length = OFFER_DAYS[0] + int(_luck(seed, "offer length", number) * (OFFER_DAYS[1] - OFFER_DAYS[0] + 1))
    launch = int(_luck(seed, "offer launch", number) * 1.1 * SPAN) - SPAN // 10
    return Truth(
        f"offer-{seed}-{number}",
        "offers",
        "tools",
        click=-5.4 + 0.05 * percent + 0.4 * _bell(seed, "offer click", number),
        convert=0.7,
        organic=0.002,
        points=1.0,
        delay=TOGGLE,
        state={"payday": 0.4},
        loading=MERCHANTS[category][1],
        owned=False,
        launch_day=launch,
        retire_day=launch + length,
    )


def _article(number: int) -> Truth:
    topic, loading = SUBJECTS[_subject(number)]
    return Truth(
        f"article-{number}",
        "help",
        topic,
        click=-5.8 + 0.4 * _bell(0, "article click", number),
        convert=0.8,
        organic=0.001,
        points=0.5,
        delay=TOGGLE,
        loading=loading,
        owned=False,
    )


def _subject(number: int) -> str:
    return tuple(SUBJECTS)[number % len(SUBJECTS)]


def _category(seed: int, number: int) -> str:
    return tuple(MERCHANTS)[int(_luck(seed, "offer category", number) * len(MERCHANTS))]


def _percent(seed: int, number: int) -> int:
    return (2, 3, 5, 8, 10)[int(_luck(seed, "offer percent", number) * 5)]


def _luck(seed: int, purpose: str, number: int) -> float:
    return float(uniforms(seed, purpose=purpose, day=0, keys=np.array([number], dtype=np.uint64))[0])


def _bell(seed: int, purpose: str, number: int) -> float:
    return float(normals(seed, purpose=purpose, day=0, keys=np.array([number], dtype=np.uint64))[0])
