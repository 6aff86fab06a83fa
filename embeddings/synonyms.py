"""What customers call things and how a bank's texts say it: everyday banking words, from `banking_words.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from embeddings.wording import stem, words_of
from recsys.errors import InvalidConfiguration

BANKING_WORDS = Path(__file__).parent / "banking_words.toml"


@dataclass(frozen=True, slots=True, eq=False)
class Synonyms:
    """Phrases of stems → the stems that mean it too. Read one with `load`."""

    means: Mapping[tuple[str, ...], tuple[str, ...]]
    lines: tuple[str, ...]  # each phrase beside its meaning, as small texts to learn words from
    longest: int  # words of the longest phrase

    @property
    def words(self) -> Iterator[str]:
        """Every word of the file, as it is spelled there."""
        return chain.from_iterable(map(words_of, self.lines))

    def phrases(self, stems: Sequence[str]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """(start, end, what it means too) of the phrases in a query, the longest first, none within another.

        >>> list(load(BANKING_WORDS).phrases(["my", "nest", "egg"]))
        [(1, 3, ('sav', 'pot'))]
        """
        start = 0
        while start < len(stems):
            ends = range(min(len(stems), start + self.longest), start, -1)
            end = next((end for end in ends if tuple(stems[start:end]) in self.means), None)
            if end is not None:
                yield start, end, self.means[tuple(stems[start:end])]
            start = end or start + 1


@cache
def load(path: Path) -> Synonyms:
    """Read a file of synonyms.

    Raises:
        InvalidConfiguration: it is missing, no TOML, or a line of it says nothing.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        means, alike = dict(content.pop("means")), list(content.pop("alike"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidConfiguration(
            f"{path.name}: expected a table [means] and a list `alike` ({type(error).__name__})"
        ) from None
    if content or not all(isinstance(each, str) and words_of(each) for each in (*means, *means.values(), *alike)):
        raise InvalidConfiguration(f"{path.name}: [means] and `alike` hold texts of words, and nothing stands beside")
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for phrase, meaning in means.items():
        found.setdefault(_stems(phrase), {}).update(dict.fromkeys(_stems(meaning)))
    for line in alike:
        stems = _stems(line)
        for one in stems:
            found.setdefault((one,), {}).update(dict.fromkeys(each for each in stems if each != one))
    table = {phrase: tuple(each for each in meaning if each not in phrase) for phrase, meaning in found.items()}
    lines = (*(f"{phrase} {meaning}" for phrase, meaning in means.items()), *alike)
    return Synonyms(MappingProxyType(table), lines, max(map(len, table), default=1))


def _stems(text: str) -> tuple[str, ...]:
    return tuple(map(stem, words_of(text)))
