"""Which bank, and which slice of its customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.personas import Mix
from recsys.errors import InvalidConfiguration


@dataclass(frozen=True, slots=True)
class Scope:
    """`founders` customers on the first day, `size` in all; the slice [first, last) is made.

    Raises `InvalidConfiguration` with one sentence.
    """

    founders: int
    seed: int
    start: datetime  # aware UTC midnight
    first: int
    last: int
    size: int
    surfaces: tuple[str, ...]
    mix: Mix

    def __post_init__(self) -> None:
        if self.founders < 1:
            raise InvalidConfiguration(f"a bank needs at least one customer, got {self.founders}")
        if self.seed < 0:
            raise InvalidConfiguration(f"the seed must not be negative, got {self.seed}")
        if self.start.utcoffset() != timedelta(0):
            raise InvalidConfiguration("the bank's start must be an aware UTC time, for example 2026-01-05T00:00:00Z")
        if (self.start.hour, self.start.minute, self.start.second, self.start.microsecond) != (0, 0, 0, 0):
            raise InvalidConfiguration(f"the bank starts at midnight, got {self.start.isoformat()}")
        if not 0 <= self.first < self.last <= self.size:
            raise InvalidConfiguration(
                f"a slice of {self.size:,} customers is 0 <= first < last <= {self.size}, "
                f"got first {self.first} and last {self.last}"
            )

    @property
    def numbers(self) -> Ints:
        """(n,) of the customers that are made."""
        return np.arange(self.first, self.last)
