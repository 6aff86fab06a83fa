"""Declared audiences: whom an advice-sensitive product may be suggested to at all (ADV-2).

An audience is a dated line of the rule pack, coarse on purpose: a few conditions over named facts,
never a score. The engine takes the person from here and from nowhere else; what it has learned may
not pick who is told of investments and pensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from recsys.asking import Asked
from recsys.conditions import Condition, Question, question_of
from recsys.vocabulary import ProductId

ROUTES = ("coarse", "targeted_support")
"""A coarse audience rule, or a targeted-support segment, which needs its own permission (MKT-9)."""

MOST_CONDITIONS = 4
"""More conditions than this describe a person, not an audience [A]."""


@dataclass(frozen=True)  # no slots: its questions are made once
class Audience:
    """Whom some advice-sensitive products may be suggested to."""

    audience_id: str
    version: int
    route: str
    about: str
    products: tuple[ProductId, ...]
    require: tuple[Condition, ...]
    effective_from: date | None = None
    effective_to: date | None = None

    @property
    def name(self) -> str:
        """`id@version`, as decisions carry it."""
        return f"{self.audience_id}@{self.version}"

    def admits(self, asked: Asked) -> bool:
        """Whether the customer belongs to it; what is not known does not let anybody in."""
        begun = self.effective_from is None or self.effective_from <= asked.day
        ended = self.effective_to is not None and self.effective_to <= asked.day
        return begun and not ended and all(question(asked) is True for question in self._questions)

    @cached_property
    def _questions(self) -> tuple[Question, ...]:
        return tuple(map(question_of, self.require))
