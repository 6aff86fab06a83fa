"""Words that were typed against words that texts say: BM25 over fields, forgiving of spelling and of other names.

Robertson and Zaragoza 2009, with a name's words counting more than a text's (BM25F). Each typed word is a
*need* with alternatives: itself, what it may be mistyped for, what it begins, what it means too. A document meets
a need by its best alternative, once, so that a word with many synonyms does not outshout the others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embeddings.spelling import Spelling
from embeddings.synonyms import Synonyms
from embeddings.wording import asked, said, stem, words_of
from recsys.vocabulary import Floats

_SATURATION, _LENGTH = 1.2, 0.5  # k1 and b of BM25F
_MISTYPED, _BEGUN, _MEANT, _PART = 0.9, 0.8, 0.7, 0.4  # worth of an alternative beside the word itself
_SHORTEST_BEGINNING = 3

Need = Mapping[str, float]
"""Stem → worth, of what satisfies one typed word or phrase."""


@dataclass(frozen=True, slots=True)
class Field:
    """One text of a document, and what a word in it counts."""

    text: str
    worth: float


class Lexicon:
    """Documents by their words; immutable.

    >>> from embeddings.synonyms import BANKING_WORDS, load
    >>> pot, loan = [Field("Instant access pot", 3.0)], [Field("Personal loan", 3.0)]
    >>> int(Lexicon([pot, loan], synonyms=load(BANKING_WORDS)).scores("nest egg").argmax())
    0
    """

    def __init__(self, documents: Sequence[Sequence[Field]], *, synonyms: Synonyms) -> None:
        self._synonyms = synonyms
        self.n_documents = len(documents)
        postings: dict[str, list[tuple[int, float]]] = {}
        spelled: set[str] = set()
        usual = _usual_lengths(documents)
        for row, fields in enumerate(documents):
            counts: dict[str, float] = {}
            for place, each in enumerate(fields):
                words = _words(each)
                spelled.update(words)
                worth = each.worth / (1 - _LENGTH + _LENGTH * len(words) / usual[place])
                for word in words:
                    counts[stem(word)] = counts.get(stem(word), 0.0) + worth
            for one, count in counts.items():
                postings.setdefault(one, []).append((row, count))
        self._postings = {one: self._weighed(found) for one, found in postings.items()}
        self._spelling = Spelling(word for word in (*spelled, *synonyms.words) if len(word) > 3)
        self._spelled = sorted(spelled)

    def _weighed(self, found: list[tuple[int, float]]) -> tuple[NDArray[np.int64], Floats]:
        """Documents that say a stem, and its BM25 weight in each."""
        rows = np.array([row for row, _ in found], dtype=np.int64)
        counts = np.array([count for _, count in found])
        rarity = np.log1p((self.n_documents - len(found) + 0.5) / (len(found) + 0.5))
        return rows, rarity * counts * (_SATURATION + 1) / (counts + _SATURATION)

    def scores(self, query: str) -> Floats:
        """(documents,) float64, at least 0; 0 where nothing that was typed is met."""
        total = np.zeros(self.n_documents)
        for need in self.needs(query):
            best = np.zeros(self.n_documents)
            for one, worth in need.items():
                if one in self._postings:
                    rows, weights = self._postings[one]
                    best[rows] = np.maximum(best[rows], worth * weights)
            total += best
        return total

    def needs(self, query: str) -> Iterator[Need]:
        """What the typed words ask for, one need after another."""
        words = asked(query)
        stems = [self._read(word) for word in words]
        covered = set[int]()
        for start, end, meaning in self._synonyms.phrases(stems):
            if end - start > 1:  # a phrase means another thing than its words
                covered.update(range(start, end))
                own = dict.fromkeys(stems[start:end], _PART)
                yield own | dict.fromkeys(meaning, 1.0)
            else:
                covered.add(start)
                meant = {each: _MEANT for each in meaning if each != stems[start]}
                yield {**meant, **self._alone(words[start], last=start == len(words) - 1)}
        for place, word in enumerate(words):
            if place not in covered:
                yield self._alone(word, last=place == len(words) - 1)

    def _read(self, word: str) -> str:
        """The stem of a word as it was probably meant."""
        one = stem(word)
        if one in self._postings or (one,) in self._synonyms.means:
            return one
        near = self._spelling.near(word)
        return stem(near[0]) if near else one

    def _alone(self, word: str, *, last: bool) -> Need:
        """A word itself, or what it may stand for where nobody says it."""
        one = stem(word)
        if one in self._postings:
            return {one: 1.0}
        found = dict.fromkeys(map(stem, self._spelling.near(word)), _MISTYPED)
        if last and len(word) >= _SHORTEST_BEGINNING:
            found = dict.fromkeys(map(stem, self._begun(word)), _BEGUN) | found
        return found

    def _begun(self, word: str) -> list[str]:
        """Words that texts say and that begin so: the last word may still be being typed."""
        start = bisect_left(self._spelled, word)
        end = bisect_left(self._spelled, word + "\U0010ffff")
        return self._spelled[start:end][:20]


def _words(field: Field) -> list[str]:
    return said(field.text) or words_of(field.text)


def _usual_lengths(documents: Sequence[Sequence[Field]]) -> list[float]:
    """Mean number of words of each place's field, over the documents that have one there."""
    most = max((len(fields) for fields in documents), default=0)
    lengths = [[len(_words(fields[place])) for fields in documents if place < len(fields)] for place in range(most)]
    return [max(sum(each) / len(each), 1.0) for each in lengths]
