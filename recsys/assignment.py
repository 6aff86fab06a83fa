"""Assignment: unit → variant, a pure function of a salt (EXP-1).

Nothing is stored: who is in which variant can be computed again at any time, by anybody who has the
salt. Linked customers are one unit, so that a household never sees two variants (EXP-5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate

from recsys.vocabulary import Token


def dice(unit: str, *, salt: str) -> float:
    """The unit's fixed place in [0, 1) under a salt: 53 bits of sha256.

    >>> dice("u-1", salt="home-bandit") == dice("u-1", salt="home-bandit")
    True
    """
    digest = hashlib.sha256(f"{salt}\x00{unit}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") >> 11) / float(1 << 53)


def assign(unit: str, *, salt: str, shares: Sequence[float]) -> int:
    """Row of the variant `unit` is in; `shares` sum to 1 (EXP-1). Pure, sticky, independent across salts.

    >>> assign("u-1", salt="home-bandit", shares=[0.5, 0.5]) in (0, 1)
    True
    """
    place = dice(unit, salt=salt)
    return next((row for row, edge in enumerate(accumulate(shares)) if place < edge), len(shares) - 1)


def in_holdout(unit: str, *, salt: str, share: float) -> bool:
    """Whether `unit` is in the always-on hold-out (EXP-2); a larger share keeps those already in it."""
    return dice(unit, salt=salt) < share


def unit_of(token: Token, *, unit: str, household: str | None, salt: str) -> str:
    """What an experiment assigns: the customer's token, or a pseudonym of the household where linked (EXP-5).

    >>> unit_of(Token("t-1"), unit="customer", household="h-9", salt="s")
    't-1'
    >>> unit_of(Token("t-1"), unit="household", household="h-9", salt="s").startswith("household-")
    True
    """
    if unit == "customer" or household is None:
        return str(token)
    return "household-" + hashlib.sha256(f"{salt}\x00household\x00{household}".encode()).hexdigest()[:24]
