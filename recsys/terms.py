"""How long records are kept, by the class of the product they are about (RET-1): one policy file, read strictly."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from types import MappingProxyType

from recsys.errors import Corrupt, InvalidConfiguration
from recsys.productfile import REGULATED_CLASSES
from recsys.tomls import Table, document, read_text

DEFAULT = Path(__file__).with_name("default_retention.toml")
"""The terms of a bank in Great Britain."""

_FORM = re.compile(r"([1-9][0-9]?)(y|mo)|indefinite")


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """So many calendar months, or for ever; the longer is the greater.

    >>> term_of("6y").before(datetime(2032, 2, 29)), term_of("3y") < term_of("37mo") < term_of("indefinite")
    (datetime.datetime(2026, 2, 28, 0, 0), True)
    """

    months: float  # inf for ever
    text: str

    def before(self, now: datetime) -> datetime | None:
        """What was recorded before then has been kept long enough; None where nothing ever has."""
        return None if self.months == inf else _moved(now, -int(self.months))

    def after(self, at: datetime) -> datetime | None:
        """Until when something of that time is kept; None for ever."""
        return None if self.months == inf else _moved(at, int(self.months))


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one installation."""

    decisions: Term
    activities: Term
    organic_outcomes: Term
    by_class: Mapping[str, Term]

    def of(self, classes: Iterable[str]) -> str:
        """The term of a decision that showed products of these regulated classes, as a record says it."""
        return max((self.by_class[each] for each in classes), default=self.decisions).text

    @property
    def distinct(self) -> list[Term]:
        """Every term that decisions may have, shortest first."""
        return sorted({self.decisions, *self.by_class.values()})


def load(path: Path = DEFAULT) -> Terms:
    """Read the terms; raises `InvalidConfiguration` naming the file and the key."""
    return parse(read_text(path, error=InvalidConfiguration), where=path.name)


def parse(text: str, *, where: str) -> Terms:
    """Read the terms from TOML text; raises as `load`."""
    top = document(text, where=where, error=InvalidConfiguration)
    inner = top.inside(top.take("by_class", dict, "a table [by_class]"), what="by_class")
    by_class = {name: _term(inner, name) for name in REGULATED_CLASSES}
    inner.done()
    terms = Terms(
        _term(top, "decisions"), _term(top, "activities"), _term(top, "organic_outcomes"), MappingProxyType(by_class)
    )
    top.done()
    return terms


def term_of(text: str) -> Term:
    """The term that a record names; raises `Corrupt` where it is none.

    >>> term_of("13mo").months, term_of("indefinite").after(datetime(2026, 3, 2)) is None
    (13, True)
    """
    if (found := _FORM.fullmatch(text)) is None:
        raise Corrupt(f'"{text}" says nothing of how long a record is kept')
    return Term(inf if found[1] is None else int(found[1]) * (12 if found[2] == "y" else 1), text)


def _term(table: Table, key: str) -> Term:
    text = table.text(key)
    if not _FORM.fullmatch(text):
        raise table.fail(f'{key} is "{text}"; say "6y", "13mo" or "indefinite"', key=key)
    return term_of(text)


def _moved(at: datetime, months: int) -> datetime:
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))
