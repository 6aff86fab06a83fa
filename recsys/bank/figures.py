"""The public figures the bank is held against, each with the one band that everything checks it by.

A band is from what was published (domain 3.3), not from what the bank does: where sources agree, the
figure and the spread between their definitions; where a source is of another population, half of it to
twice of it.

**Taps on the home screen.** "About 1 % of visits" is of websites, and a visit is one coming: here a
log-in, of which the bank has 264 a year. The app keeps one slate for all log-ins of a day, so a day's
arrival on the home screen stands for one and a half of them, and the figure is taps a log-in: .013
(`make bench ARGS=bank`, 60 days, slates may end in nothing) to .018 (`--describe`, 30 days, they never
do; .016 and more under twenty seeds), that is .020 to .028 of a day's arrivals. It lies above the .009
of the sketch in 3.10, since whoever is in the market taps more (`intent.EAGER`) and the sketch had no
markets. Other rows of 3.3 bracket it: three cards at ZOZO's .0046 a card (uniform choice) are .014, at
Deezer's .007 they are .021.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Band:
    """Where a figure should lie, both ends included, and who says so."""

    low: float
    high: float
    source: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number beside its band; the name is one of BANDS."""

    name: str
    value: float

    @property
    def band(self) -> Band:
        """Where it should lie."""
        return BANDS[self.name]

    @property
    def inside(self) -> bool:
        """Whether it does."""
        return self.band.low <= self.value <= self.band.high

    def __str__(self) -> str:
        """One line of a table; a figure outside its band is marked."""
        mark, band = " " if self.inside else "!", f"{self.band.low:g} to {self.band.high:g}"
        return f"{self.name:44}{self.value:9.4g}{mark} {band:<18}{self.band.source}"


HEAD = f"{'':44}{'here':>9}  {'band':<18}source"

BANDS: Mapping[str, Band] = MappingProxyType({
    "log-ins a customer and year": Band(220, 300, "275 (UK Finance)"),
    "home visits a customer and year": Band(120, 220, "first log-ins of a day"),
    "home taps a log-in, uniform": Band(.005, .02, "about .01 (ND.edu)"),
    "share of taps on the first place": Band(.5, .7, "half or more (York)"),
    "organic core openings a customer and month": Band(.02, .06, ".03 to .04 (Santander)"),
    "organic use of tools a customer and month": Band(.05, .3, "assumed"),
    "in the market for something": Band(.2, .6, "assumed"),
    "page views a customer and month": Band(1, 12, "assumed"),
    "card payments a customer and month": Band(25, 45, "25 to 45 (domain 3.5)"),
    "spent a customer and week, £": Band(330, 623, "330 an adult, 623 a household (ONS)"),
    "restaurants and hotels, share of spending": Band(.055, .085, ".07 (ONS)"),
    "no savings": Band(.08, .13, ".10 (FCA)"),
    "less than £1,000 saved": Band(.27, .36, ".31 (FCA)"),
    "at least £25,000 saved": Band(.10, .25, ".20 (FCA)"),
    "median savings, £": Band(3_500, 7_000, "5,000 to 6,000 (FCA)"),
    "saved a customer and month, mean £": Band(190, 290, "237 (Opinium)"),
    "saved a customer and month, median £": Band(50, 110, "76 (Opinium)"),
    "savings deposits a customer and year": Band(11, 19, "15.5 (Opinium)"),
    "drawn from savings a customer and month, £": Band(0, 200, "not published"),
    "overdrawn in the year": Band(.16, .26, ".21 (FCA)"),
    "usually overdrawn by payday": Band(.05, .11, ".08 (FCA)"),
    "low-balance share of days": Band(.10, .19, ".145 (domain 3.10)"),
    "declined share of payments": Band(0, .06, "not published"),
})  # fmt: skip
