"""How fast a learner forgets: customers, seasons and prices change, and old lessons tell of a world that is gone.

`keep` is the share of what was learned that still counts after one step; a step is one day of business
time (of lessons that know theirs), or one lesson of whatever that lesson touches. 1 forgets nothing; a
share k remembers 1 / (1 − k) steps' worth. What it means is each learner's own: counts shrink by it,
precisions fall back to the prior's by it (a power prior: Ibrahim and Chen 2000; for bandits Russac,
Vernade and Cappé 2019), and VW's gradient sums shrink, so that its steps grow again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bandits.recipe import Options
from bandits.teaching import Taught
from recsys.errors import InvalidConfiguration

DAY, LESSON = "day", "lesson"
OPTIONS = ("keep", "keep_per")


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The options `keep` and `keep_per` of a recipe; raises `InvalidConfiguration` for nonsense.

    >>> Forgetting(0.9).share(3)
    0.729
    """

    keep: float = 1.0  # share of what was learned that counts after a step
    keep_per: str = DAY  # what a step is

    @classmethod
    def of(cls, options: Options) -> Forgetting:
        """From a recipe's options; those of the learner itself are not looked at."""
        try:
            return cls(float(options.get("keep", 1.0)), str(options.get("keep_per", DAY)))
        except ValueError:
            raise InvalidConfiguration("forgetting: keep is a number") from None

    def __post_init__(self) -> None:
        if not 0.0 < self.keep <= 1.0:
            raise InvalidConfiguration(f"forgetting: keep must be in (0, 1], got {self.keep}")
        if self.keep_per not in (DAY, LESSON):
            raise InvalidConfiguration(f'forgetting: keep_per is "day" or "lesson", not "{self.keep_per}"')

    @property
    def by_day(self) -> bool:
        """Whether every day ages all."""
        return self.keep < 1.0 and self.keep_per == DAY

    @property
    def by_lesson(self) -> bool:
        """Whether every lesson ages what it touches."""
        return self.keep < 1.0 and self.keep_per == LESSON

    def share(self, steps: int) -> float:
        """What is kept after so many steps."""
        return round(self.keep**steps, 15)


class Calendar:
    """The last business day that a learner heard of, where it minds; part of its state."""

    __slots__ = ("_forgetting", "_minds", "day")

    def __init__(self, forgetting: Forgetting, *, drifts: bool = False) -> None:
        """`drifts` says that days count though nothing be forgotten by them."""
        self._forgetting = forgetting
        self._minds = drifts or forgetting.by_day
        self.day: int | None = None

    def passed(self, one: Taught) -> int:
        """Days since the last that was heard of: above 0 on the first lesson of a later day."""
        if not self._minds or one.day is None:
            return 0
        passed = 0 if self.day is None else max(0, one.day - self.day)
        self.day = one.day if self.day is None else max(self.day, one.day)
        return passed

    def share(self, one: Taught) -> float:
        """What is kept of everything when this lesson comes."""
        return self._forgetting.share(self.passed(one))

    @property
    def plain(self) -> Mapping[str, Any]:
        """For a state's header; nothing where no day counts."""
        return {} if self.day is None else {"day": self.day}
