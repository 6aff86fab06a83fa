"""Words → vectors, for products, articles and queries, without anything to download.

Words and the character n-grams inside them are hashed into buckets, weighed by how rare they are (TF-IDF, Spärck
Jones 1972), and the (documents, buckets) matrix is cut to its main directions (LSA, Deerwester et al. 1990). Numpy
alone: a request that is a search reads vectors here.
Character n-grams make "savngs" near "savings"; the directions make "pot" near "saver" where texts use
them together. A sentence-transformers model directory may stand in its place (`Sentences`), as an extra.

    texts ─ hashed counts (n, B) ─ × idf ─ unit ─ @ directions (B, D) ─ unit (n, D)
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Floats, Vector

BUCKETS = 1 << 15  # of hashed words and n-grams: a catalogue's few thousand hardly ever meet
DIM = 64
_LEARNED_ON = 1000  # documents that the directions are learned on, evenly spread
_AT_ONCE = 1000  # texts encoded at once: some 40 MB
_GRAMS = (3, 4)  # characters; shorter ones say little, longer ones are the words
_GRAM_WORTH = 0.3  # weight of an n-gram beside its word: a word is about eight of them
_KNOWN = 0.05  # of a text's unit length, what must lie along the directions: less is a chance meeting of hashes
_WORD = re.compile(r"[^\W_]+")


class TextEncoder(Protocol):
    """Texts → unit vectors in one space."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, D) float32 of unit length; zeros where a text says nothing that is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Lexical:
    """The default. Fit it on the documents with `of`; the arrays are all that it is.

    >>> texts = ["easy access savings account", "instant savings pot", "credit card", "travel credit card"]
    >>> encoder = Lexical.of(texts, dim=3)
    >>> vectors, [asked] = encoder.encode(texts), encoder.encode(["savngs"])
    >>> int((vectors @ asked).argmax()) in {0, 1}
    True
    """

    rarity: Vector  # (B,) idf
    directions: Vector  # (B, D)

    @classmethod
    def of(cls, documents: Sequence[str], *, dim: int = DIM) -> Lexical:
        """Learn which words are rare, and the main directions.

        Raises:
            InvalidTable: no document says anything.
        """
        counts = hashed(documents)
        if not len(counts.columns):
            raise InvalidTable("no text holds a word, so there is nothing to tell documents apart by", where="texts")
        met = np.bincount(counts.columns, minlength=BUCKETS)  # documents that hold a bucket
        rarity = np.log((1.0 + len(documents)) / (1.0 + met)) + 1.0
        spread = np.unique(np.linspace(0, len(documents) - 1, num=_LEARNED_ON).astype(np.int64))
        some = hashed([documents[row] for row in spread.tolist()]).weighed(rarity)
        rank = max(1, min(dim, len(spread) - 1))
        return cls(rarity.astype(np.float32), _directions(some, rank=rank))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.directions.shape[1])

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, D) float32 of unit length; zeros where a text says nothing that is known."""
        parts = [self._projected(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        vectors = np.concatenate(parts) if parts else np.empty((0, self.dim), dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.where(lengths > _KNOWN, vectors / np.maximum(lengths, _KNOWN), 0.0), dtype=np.float32)

    def _projected(self, texts: Sequence[str]) -> Vector:
        """(n, D) of the texts' unit vectors."""
        weighed = hashed(texts).weighed(self.rarity)
        found = np.zeros((len(texts), self.dim), dtype=np.float32)
        filled = np.flatnonzero(np.diff(weighed.starts))
        if len(filled):
            pieces = weighed.values.astype(np.float32)[:, None] * self.directions[weighed.columns]  # (pieces, D)
            found[filled] = np.add.reduceat(pieces, weighed.starts[filled], axis=0)
        return found

    def arrays(self) -> Mapping[str, Vector]:
        """All that it is, by name."""
        return {"rarity": self.rarity, "directions": self.directions}


class Sentences:
    """A sentence-transformers model from a directory; nothing is fetched (`pip install recsys[sentences]`).

    Measured on the 70 judged queries of the bank (NDCG@10): all-MiniLM-L6-v2 alone .708 against .641 of the
    lexical vectors, but .897 beside .897 once either is fused with words, which is why it is an extra.
    """

    def __init__(self, directory: Path) -> None:
        """Load the model. Raises as `checked_model`."""
        checked_model(directory)
        package: Any = importlib.import_module("sentence_transformers")
        self._model = package.SentenceTransformer(str(directory), device="cpu", local_files_only=True)
        self._dim = int(np.shape(self._model.encode([""], show_progress_bar=False))[1])

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, D) float32 of unit length."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        found = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)


def checked_model(directory: Path) -> Path:
    """A directory from which `Sentences` can be made, told without loading anything.

    Raises:
        InvalidConfiguration: no such directory, or the package is not installed.
    """
    if not (directory / "modules.json").is_file():
        raise InvalidConfiguration(f"{directory} is no directory of a sentence-transformers model")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise InvalidConfiguration("sentence models need an extra: pip install 'recsys[sentences]'")
    return directory


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """A sparse (n, B) matrix by rows: row i holds `columns[starts[i]:starts[i + 1]]`, and the values beside."""

    starts: NDArray[np.int64]  # (n + 1,)
    columns: NDArray[np.int64]  # (pieces,) sorted within a row
    values: Floats  # (pieces,)

    def weighed(self, rarity: NDArray[np.floating]) -> Counts:
        """The same times (B,) `rarity`, each row of unit length."""
        values = self.values * rarity[self.columns]
        rows = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        lengths = np.sqrt(np.bincount(rows, weights=values**2, minlength=len(self.starts) - 1))
        return Counts(self.starts, self.columns, values / np.maximum(lengths, 1e-9)[rows])


def hashed(texts: Sequence[str]) -> Counts:
    """(n, B) weights of the words of each text and of the n-grams inside them; a repeat counts half."""
    starts = np.zeros(len(texts) + 1, dtype=np.int64)
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        found: dict[int, float] = {}
        for word in _WORD.findall(text.lower()):
            for piece, weight in _pieces(word):
                before = found.get(piece, 0.0)
                found[piece] = weight if before == 0.0 else before + 0.5 * weight  # said twice is not twice as much
        for column in sorted(found):
            columns.append(column)
            values.append(found[column])
        starts[row + 1] = len(columns)
    return Counts(starts, np.array(columns, dtype=np.int64), np.array(values, dtype=np.float64))


@lru_cache(maxsize=16_384)
def _pieces(word: str) -> tuple[tuple[int, float], ...]:
    """Buckets of a word and of its n-grams, with their weights."""
    marked = f"<{word}>"
    grams = (marked[start : start + size] for size in _GRAMS for start in range(len(marked) - size + 1))
    return ((_bucket(word), 1.0), *((_bucket(gram), _GRAM_WORTH) for gram in grams))


def _bucket(piece: str) -> int:
    return crc32(piece.encode()) % BUCKETS


def _directions(weighed: Counts, *, rank: int) -> Vector:
    """(B, rank) main directions of a few documents, from the eigenvectors of their inner products; signs fixed."""
    met, columns = np.unique(weighed.columns, return_inverse=True)
    rows = np.repeat(np.arange(len(weighed.starts) - 1), np.diff(weighed.starts))
    dense = np.zeros((len(weighed.starts) - 1, len(met)))
    dense[rows, columns] = weighed.values
    squares, left = np.linalg.eigh(dense @ dense.T)
    squares, left = squares[::-1][:rank], left[:, ::-1][:, :rank]
    told = squares > 1e-10 * squares[0]  # what lies beyond the documents' own rank is noise
    right = (dense.T @ left) / np.sqrt(np.where(told, squares, 1.0)) * told  # (met, rank)
    found = np.zeros((BUCKETS, rank), dtype=np.float32)
    found[met] = right * np.sign(right[np.abs(right).argmax(axis=0), np.arange(rank)])
    return found
