"""The known words that a mistyped one may stand for.

Every known word is filed under what is left of it when one letter is struck, or two of a long one; a mistyped word
that is struck in the same way meets it there (Garbe 2012, "SymSpell"). Whoever meets is measured: letters wrong,
missing, too many, or two that changed places (Damerau 1964).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

_SHORTEST = 4  # a letter wrong in a shorter word makes another word
_LONG = 7  # from here two may be wrong
_LONGEST = 24  # whatever is longer is no word, and striking its letters would take long


class Spelling:
    """Known words, to be found by words that are nearly they.

    >>> spelling = Spelling(["savings", "pension", "loan"])
    >>> spelling.near("savngs"), spelling.near("penshun"), spelling.near("laon"), spelling.near("zebra")
    (('savings',), ('pension',), ('loan',), ())
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._filed: dict[str, list[str]] = {}
        for word in sorted(set(words)):
            if word.isalpha() and len(word) <= _LONGEST:
                for part in _struck(word):
                    self._filed.setdefault(part, []).append(word)

    def near(self, word: str) -> tuple[str, ...]:
        """The known words with the fewest mistakes between, within one, or two of a long word; in order."""
        most = 2 if len(word) >= _LONG else 1
        if not (_SHORTEST <= len(word) <= _LONGEST and word.isalpha()):
            return ()
        met = {each for part in _struck(word) for each in self._filed.get(part, ()) if len(each) >= _SHORTEST}
        measured = [(mistakes(word, each), each) for each in sorted(met)]
        best = min((n for n, _ in measured), default=most + 1)
        return tuple(each for n, each in measured if n == best <= most)


def _struck(word: str) -> set[str]:
    """The word, and what is left of it without one letter, or two of a long one."""
    found = {word}
    for n in range(1, 3 if len(word) >= _LONG - 1 else 2):
        found |= {"".join(letters) for letters in combinations(word, len(word) - n)}
    return found


def mistakes(one: str, other: str) -> int:
    """Letters wrong, missing, too many, or neighbours that changed places.

    >>> mistakes("acount", "account"), mistakes("laon", "loan"), mistakes("pot", "pot")
    (1, 1, 0)
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        last, row = row, [i] + [0] * len(other)
        for j, wanted in enumerate(other, start=1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                row[j] = min(row[j], before[j - 2] + 1)
        before = last
    return row[-1]
