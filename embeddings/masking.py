"""Subjects that no encoder may see: they tell of health, belief, love, death, addiction or hardship (VUL-2).

They are taken out of histories before vocabularies are made, so no row, weight or vector can stand for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from recsys.bank.merchants import SENSITIVE

_PARTS = re.compile(r"[^a-z_]+")
_ALSO = frozenset(
    {"charity", "fertility", "health", "hospital", "doctor", "religion", "political", "casino", "betting"}
)


@lru_cache(maxsize=65_536)
def sensitive(subject: str) -> bool:
    """Whether a subject names a masked category, alone or among its parts.

    >>> sensitive("pharmacy"), sensitive("card:Gambling"), sensitive("groceries")
    (True, True, False)
    """
    parts = set(_PARTS.split(subject.lower()))
    words = parts | {word for part in parts for word in part.split("_")}
    return not words.isdisjoint(SENSITIVE | _ALSO)


def unmasked(history: Iterable[str]) -> tuple[str, ...]:
    """The subjects that may be seen, in their order."""
    return tuple(subject for subject in history if not sensitive(subject))
