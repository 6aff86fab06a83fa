"""One day of the bank's money, as whatever draws on it needs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from recsys.bank.dice import Keys, normals, uniforms
from recsys.vocabulary import Floats


@dataclass(frozen=True, slots=True)
class Today:
    """Whose dice (`seed`), which day of the bank (`number`, from 0) and of the calendar (`ordinal`)."""

    seed: int
    number: int
    ordinal: int

    @property
    def date(self) -> date:
        """The day of the calendar."""
        return date.fromordinal(self.ordinal)

    def uniforms(self, purpose: str, *, keys: Keys) -> Floats:
        """One number in (0, 1) for each key, today's for this purpose of money."""
        return uniforms(self.seed, purpose=f"money/{purpose}", day=self.number, keys=keys)

    def normals(self, purpose: str, *, keys: Keys) -> Floats:
        """One standard normal for each key, today's for this purpose of money."""
        return normals(self.seed, purpose=f"money/{purpose}", day=self.number, keys=keys)
