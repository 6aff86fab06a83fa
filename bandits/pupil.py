"""What every learner does with a lesson before it learns: all are checked before the first one teaches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bandits.chain import Chain
from bandits.recipe import Recipe
from bandits.teaching import Taught, checked, checked_values
from recsys.vocabulary import Candidate, Context, Lesson


class Pupil(ABC):
    """A learner but for what it makes of a checked lesson, which `_learn` says."""

    def __init__(self, recipe: Recipe, *, chain: Chain, taught: int = 0) -> None:
        self.recipe = recipe
        self.chain = chain
        self._taught = taught

    @property
    def taught(self) -> int:
        """Lessons learned from so far."""
        return self._taught

    def learn(self, lessons: Sequence[Lesson]) -> int:
        """Check every lesson, then learn from each; how many taught. Raises `Misuse` before learning any."""
        for one in [checked(lesson, chain=self.chain) for lesson in lessons]:
            self._learn(one)
        return len(lessons)

    def teach(
        self,
        context: Context,
        candidate: Candidate,
        *,
        stage: str,
        label: float,
        weight: float = 1.0,
        importance: float = 1.0,
        day: int | None = None,
    ) -> None:
        """One lesson without its decision; raises `Misuse` for poison."""
        self._learn(
            checked_values(
                context,
                candidate,
                stage=stage,
                label=label,
                weight=weight,
                importance=importance,
                chain=self.chain,
                day=day,
            )
        )

    @abstractmethod
    def _learn(self, one: Taught) -> None:
        """Learn from a lesson, and count it in `_taught`."""
