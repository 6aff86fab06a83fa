"""What may happen to the bank's world besides ordinary life: each item of domain 3.7 can be turned on or off.

    Switches()                                  # the usual world: seasons, rates and faults of delivery
    Switches.none()                             # a world in which nothing but customers changes
    Switches.parsed(with_=["dud"], without=["late"])

Every item draws its dice under a purpose of its own, so turning one on or off leaves the luck of all
others as it was. Seasons, rates and faults are on, since every bank lives with them; the others are
experiments, each on a day that is written here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from recsys.errors import InvalidConfiguration
from recsys.facts import nearest

NEW_PRODUCT_DAY, DUD_DAY, RETIRED_DAY = 120, 180, 150
CREATIVE_SWAP_DAY, UI_CHANGE_DAY, DRIFT_DAY, RATE_CUT_DAY = 75, 135, 100, 150
CAMPAIGN_DAYS = range(60, 74)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """One field for each item; the order is that of `--help`."""

    payday: bool = True  # needs, spending and log-ins follow payday
    weekday: bool = True  # spending and log-ins follow the day of the week
    december: bool = True  # Christmas spending
    holidays: bool = True  # travel and restaurants in July and August
    black_friday: bool = True  # shopping in the last week of November
    january: bool = True  # saving challenges are wanted in January
    isa_season: bool = True  # ISAs are wanted towards 5 April
    isa_reset: bool = True  # the ISA allowance begins anew on 6 April
    isa_cap: bool = True  # from 6 April 2027 those under 65 may put £12,000 a year into cash ISAs
    rates: bool = True  # Bank Rate steps, their pass-through, and competitors' jumps
    duplicates: bool = True  # .5 % of outcomes are told twice
    late: bool = True  # 2 % of outcomes are told more than a day late
    lost: bool = True  # .1 % of outcomes are never told
    new_product: bool = False  # day 120: `rainy-day`, good for one persona and poor on average
    dud: bool = False  # day 180: `metal-card`, tapped out of curiosity and hardly opened
    retired: bool = False  # day 150: `fixed-6m` is no longer on offer
    creative_swap: bool = False  # day 75: half of the products get new wording, better or worse
    campaign: bool = False  # days 60 to 73: advertising outside the app moves 30 % of customers
    ui_change: bool = False  # day 135: the second place of a carousel gains, the first loses
    rate_cut: bool = False  # day 150: our savings pay a point less than before, competitors' do not
    drift: bool = False  # day 100: a fifth of customers want other things than before
    growth: bool = False  # 5 % new customers a month, younger

    def rate_cut_on(self, start: int) -> int | None:
        """The ordinal of the day from which our savings pay less, of a bank that starts on `start`; None for never."""
        return start + RATE_CUT_DAY if self.rate_cut else None

    @classmethod
    def none(cls) -> Switches:
        """Everything off."""
        return cls(**dict.fromkeys(cls.names(), False))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """What can be turned on or off."""
        return tuple(each.name for each in fields(cls))

    @classmethod
    def parsed(cls, *, with_: Iterable[str] = (), without: Iterable[str] = ()) -> Switches:
        """The usual world with some items turned on and some off; a dash in a name may stand for `_`.

        Raises InvalidConfiguration, in one sentence, for a name that is no item or is on both lists.

        >>> Switches.parsed(with_=["new-product"], without=["lost"]).new_product
        True
        """
        on, off = ({name.replace("-", "_") for name in names} for names in (with_, without))
        if unknown := sorted((on | off) - set(cls.names())):
            close = nearest(unknown[0], among=dict.fromkeys(cls.names()))
            raise InvalidConfiguration(f"the bank has no switch {unknown[0]!r}{close}; it has {', '.join(cls.names())}")
        if both := sorted(on & off):
            raise InvalidConfiguration(f"the switch {both[0]!r} is asked to be on and off at once")
        return replace(cls(), **(dict.fromkeys(on, True) | dict.fromkeys(off, False)))
