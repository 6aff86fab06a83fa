"""What follows from facts and the calendar, defined once for rules and features alike.

The calendar is London's: a birthday and the end of a tax year come at midnight there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from recsys.vocabulary import Fact

LONDON = ZoneInfo("Europe/London")
ADULT_AGE = 18
LOW_BALANCE_SHARE = 0.1
"""A balance below this share of a month's income or spending is low (CRD-4) [A]."""


def london_day(at: datetime) -> date:
    """The calendar day in London.

    >>> from datetime import UTC
    >>> london_day(datetime(2026, 6, 30, 23, 0, tzinfo=UTC))
    datetime.date(2026, 7, 1)
    """
    return at.astimezone(LONDON).date()


def age_on(day: date, *, born: date) -> int:
    """Completed years of life on `day` (AGE-1).

    Who was born on 29 February has the birthday on 1 March in common years: 28 February is not yet
    an anniversary, and of the two days the later one never takes a minor for an adult.

    >>> age_on(date(2026, 2, 28), born=date(2008, 2, 29)), age_on(date(2026, 3, 1), born=date(2008, 2, 29))
    (17, 18)
    """
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def known_adult(facts: Mapping[str, Fact], *, at: datetime) -> bool:
    """Whether somebody is verified to be of age; an unknown or unverified age is a minor's (AGE-2).

    >>> known_adult({}, at=datetime.fromisoformat("2026-05-12T12:00:00Z"))
    False
    """
    born, verified = facts.get("date_of_birth"), facts.get("age_verified")
    if born is None or not isinstance(born.value, str) or verified is None or verified.value is not True:
        return False
    return age_on(london_day(at), born=date.fromisoformat(born.value)) >= ADULT_AGE


def tax_year(day: date) -> int:
    """The year in which the tax year of `day` began, on 6 April.

    >>> tax_year(date(2027, 4, 5)), tax_year(date(2027, 4, 6))
    (2026, 2027)
    """
    return day.year - ((day.month, day.day) < (4, 6))


def months_of_spend(*, balance_pence: float, savings_pence: float, monthly_spend_pence: float) -> float | None:
    """Months of spending that the money within reach would cover; None where spending is not positive (SAV-4).

    >>> months_of_spend(balance_pence=50_000, savings_pence=250_000, monthly_spend_pence=100_000)
    3.0
    """
    if monthly_spend_pence <= 0:
        return None
    return (max(balance_pence, 0) + savings_pence) / monthly_spend_pence


def low_balance(*, balance: float, income: float, spend: float) -> bool:
    """Whether a balance is negative, or low beside a month's income or spending (all in one unit; CRD-4).

    >>> low_balance(balance=99.99, income=1_000, spend=900)
    True
    """
    return balance < 0 or balance < LOW_BALANCE_SHARE * max(income, spend)
