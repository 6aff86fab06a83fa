"""Was the split as planned? Units lost on one side spoil every number (sample ratio mismatch, EXP-1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recsys.errors import Misuse
from recsys.tails import chi_square_tail

CONCENTRATION = 10_000.0


def srm(counts: Sequence[int], *, shares: Sequence[float]) -> float:
    """p-value of "units were split as planned" (sample ratio mismatch, chi-square; alarm below 0.001).

    Raises `Misuse` when a share is not positive or the lengths differ.

    >>> srm([500, 500], shares=[0.5, 0.5])
    1.0
    >>> srm([1000, 1200], shares=[0.5, 0.5]) < 0.001
    True
    """
    _check(counts, shares=shares)
    n, whole = sum(counts), math.fsum(shares)
    if not n:
        return 1.0
    expected = [n * share / whole for share in shares]
    distance = math.fsum((seen - e) ** 2 / e for seen, e in zip(counts, expected, strict=True))
    return chi_square_tail(distance, df=len(counts) - 1)


def sequential_srm(
    days: Sequence[Sequence[int]], *, shares: Sequence[float], concentration: float = CONCENTRATION
) -> list[float]:
    """The p-value of `srm` after each day, valid at every look at once (Lindon and Malek 2022).

    `days` are counts that each day added. 1/Bayes factor of a Dirichlet(c·shares) mixture against the planned
    multinomial, as a running minimum. Raises `Misuse` like `srm`.

    >>> [round(p, 3) for p in sequential_srm([[500, 500], [600, 400]], shares=[0.5, 0.5])]
    [1.0, 0.207]
    """
    whole = math.fsum(shares)
    plan = [share / whole for share in shares] if whole > 0 else list(shares)
    seen, least, found = [0] * len(shares), 1.0, []
    for day in days:
        _check(day, shares=shares)
        seen = [a + b for a, b in zip(seen, day, strict=True)]
        n = sum(seen)
        log_bf = math.lgamma(concentration) - math.lgamma(concentration + n)
        for count, share in zip(seen, plan, strict=True):
            prior = concentration * share
            log_bf += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
        least = min(least, math.exp(min(0.0, -log_bf)))
        found.append(least)
    return found


def _check(counts: Sequence[int], *, shares: Sequence[float]) -> None:
    if len(counts) != len(shares) or len(counts) < 2:
        raise Misuse(f"srm: expected one share for each of at least two counts, got {len(counts)} and {len(shares)}")
    if min(shares) <= 0.0 or min(counts) < 0:
        raise Misuse("srm: every share must be above 0 and every count at least 0")
