"""How often a customer's standing changes: the rates behind `standing`, and what they come to rest at.

Shares that have a source: consent in app 72 % (domain 3.4), push iOS 56 % and Android 67 % (Batch
2025), persistent debt 5 % (FCA), arrears by persona and pre-eligibility 62 % (domain 3.4). How long
anything lasts is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from recsys.bank.dice import Ints
from recsys.vocabulary import Bools, Floats


@dataclass(frozen=True, slots=True)
class Spell:
    """Something that comes and goes, and lasts so many days on average each time."""

    days: float

    def lived(self, on: Bools, *, share: Floats | float, luck: Floats) -> Bools:
        """One day of it, so that at rest `share` of customers have it at any time; all are (n,).

        One number decides either change.
        """
        ends = 1.0 / self.days
        begins = ends * share / (1.0 - share)
        now: Bools = np.where(on, luck >= ends, luck < begins)
        return now


# Consent. Minors allow less; together 72 %, as 3 % are minors.
IN_APP_ADULTS, IN_APP_MINORS, IN_APP = 0.733, 0.30, Spell(3_300)
PUSH_BY_PLATFORM, PUSH = np.array([0.56, 0.67]), Spell(1_000)  # of those who allow marketing in the app
EMAIL_SHARE, EMAIL = 0.60, Spell(1_000)  # of those who allow marketing in the app
SUPPORT_SHARE, SUPPORT = 0.25, Spell(1_500)  # of adults
OBJECTIONS = 0.00002  # a day, out of the blue; for good

# Credit standing. Arrears begin sooner after a week below zero; their share is the persona's.
ARREARS = Spell(50)
PRESSED_AFTER_DAYS, PRESSURE = 7, 5.5  # so many times likelier than for others of the same persona
FORBEARANCE_AFTER_DAYS, FORBEARANCE = 14, 0.006  # a day in arrears, until they end
BREATHING_SPACE, BREATHING_SPACE_DAYS = 0.002, 60  # a day in arrears; the moratorium lasts 60 days
INSOLVENT_SHARE, INSOLVENT = 0.004, Spell(365)
PERSISTENT_DEBT_SHARE, PERSISTENT_DEBT = 0.05, Spell(300)
LIMIT_OPT_OUT_SHARE, LIMIT_OPT_OUT = 0.05, Spell(730)
DECLINED = 0.0004  # a day

# Decisions on credit: 62 % of adults out of arrears, most of the products, anew every month.
PRE_ELIGIBLE, EACH_PRODUCT, DECISION_DAYS, RETHOUGHT = 0.62, 0.8, 30, 0.15

# How to treat a customer, never why: no credit, no push, plain language.
TREATMENT_SHARES, TREATMENTS = np.array([0.02, 0.03, 0.08]), (Spell(180), Spell(120), Spell(365))

# Status, by `standing.STATUSES`: where the active go in a day; the dormant and the held come back.
STATUS_SHARES = np.array([0.95, 0.04, 0.002, 0.005, 0.003])
WAKES, RELEASED = 1 / 200, 1 / 150
LEAVES = np.array([WAKES * 0.04 / 0.95, 0.00001, 0.0001, RELEASED * 0.003 / 0.95])


def arrears_begin(share: Floats, *, often_pressed: Floats, pressed: Bools) -> Floats:
    """(n,) the chance that arrears begin today.

    `pressed` are those below zero for a week, `often_pressed` is how large their part of the persona
    is, so that on average the persona keeps its `share`.
    """
    even = share / (1.0 - share) / ARREARS.days
    return even * np.where(pressed, PRESSURE, 1.0) / (1.0 + (PRESSURE - 1.0) * often_pressed)


def arrears_so_far(luck: Floats) -> Ints:
    """(n,) for how many days those in arrears have been so, at any time: geometric, from 1."""
    days: Ints = 1 + (np.log(luck) / np.log1p(-1.0 / ARREARS.days)).astype(np.int64)
    return days


def in_forbearance(arrears_days: Ints) -> Floats:
    """(n,) the share in forbearance of those so long in arrears."""
    share: Floats = 1.0 - np.power(1.0 - FORBEARANCE, np.maximum(arrears_days - FORBEARANCE_AFTER_DAYS, 0))
    return share


def in_breathing_space(arrears_days: Ints) -> Floats:
    """(n,) the share in a breathing space of those so long in arrears."""
    turnover = BREATHING_SPACE + 1.0 / BREATHING_SPACE_DAYS
    share: Floats = BREATHING_SPACE / turnover * (1.0 - np.power(1.0 - turnover, arrears_days))
    return share


GAMBLING = MappingProxyType({"gambling block": 0.02, "gambling spike at the start": 0.005})
"""Shares who block gambling payments, which lasts, and who gamble far more than they used to."""
SPIKE, SPIKE_ENDS = 0.0005, 0.1  # a day
