"""The words in which the truth of one product is told: traits, states, topics, surfaces, and `Truth` itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from recsys.bank.delays import Delay
from recsys.vocabulary import ProductId

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

TOPICS = ("saving", "investing", "borrowing", "accounts", "tools")
"""What a customer may be in the market for, and look at in the app."""

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

ERRAND: Mapping[str, float] = MappingProxyType({"home": 0.0, "savings": 1.6, "search": 1.0, "push": 0.8, "inline": 0.3})
"""Added to the click index: people on the savings tab came for something."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One product. `click` and `convert` are logits, `organic` a 30-day chance, `points` per opening."""

    product_id: ProductId
    family: str
    topic: str
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
    launch_day: int | None = None  # of the bank, counted from 0; None: on offer before the bank began
    retire_day: int | None = None  # from that day on it is not on offer
    switch: str = ""  # launch and retirement happen only where this switch is on
