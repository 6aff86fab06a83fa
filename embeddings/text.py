"""Words → vectors, for products, articles and queries, without anything to download.

Words and the character n-grams inside them are hashed into buckets, weighed by how rare they are (TF-IDF, Spärck
Jones 1972), and the (documents, buckets) matrix is cut to its main directions (LSA, Deerwester et al. 1990).
Character n-grams make "savngs" near "savings"; the directions make "pot" near "saver" where texts use
them together. A sentence-transformers model directory may stand in its place (`Sentences`), as an extra.

    texts ─ hashed counts (n, B) ─ × idf ─ unit ─ @ directions (B, D) ─ unit (n, D)
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import numpy as np
from scipy import sparse

from embeddings.spectral import directions
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Vector

BUCKETS = 1 << 15  # of hashed words and n-grams: a catalogue's few thousand hardly ever meet
DIM = 64
_GRAMS = (3, 4)  # characters; shorter ones say little, longer ones are the words
_GRAM_WORTH = 0.3  # weight of an n-gram beside its word: a word is about eight of them
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
        if not counts.nnz:
            raise InvalidTable("no text holds a word, so there is nothing to tell documents apart by", where="texts")
        met = np.bincount(counts.indices, minlength=BUCKETS)  # documents that hold a bucket
        rarity = np.log((1.0 + len(documents)) / (1.0 + met)) + 1.0
        weighed = _unit_rows(sparse.csr_matrix(counts @ sparse.diags(rarity)))
        rank = max(1, min(dim, min(weighed.shape) - 1, len(documents)))
        found = directions(weighed.astype(np.float32), rank=rank)
        return cls(rarity.astype(np.float32), found)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.directions.shape[1])

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, D) float32 of unit length; zeros where a text says nothing that is known."""
        weighed = _unit_rows(sparse.csr_matrix(hashed(texts) @ sparse.diags(self.rarity)))
        vectors = np.asarray(weighed.astype(np.float32) @ self.directions, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0.0), dtype=np.float32)

    def arrays(self) -> Mapping[str, Vector]:
        """All that it is, by name."""
        return {"rarity": self.rarity, "directions": self.directions}


class Sentences:
    """A sentence-transformers model from a directory; nothing is fetched (`pip install recsys[sentences]`)."""

    def __init__(self, directory: Path) -> None:
        """Load the model.

        Raises:
            InvalidConfiguration: no such directory, or the package is not installed.
        """
        if not directory.is_dir():
            raise InvalidConfiguration(f"{directory} is no directory of a sentence-transformers model")
        try:
            package: Any = importlib.import_module("sentence_transformers")
        except ImportError:
            raise InvalidConfiguration("sentence models need an extra: pip install 'recsys[sentences]'") from None
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


def hashed(texts: Sequence[str]) -> sparse.csr_matrix:
    """(n, B) weights of the words of each text and of the n-grams inside them; 1 + log of repeats."""
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, text in enumerate(texts):
        found: dict[int, float] = {}
        for word in _WORD.findall(text.lower()):
            _add(found, word, weight=1.0)
            marked = f"<{word}>"
            for size in _GRAMS:
                for start in range(len(marked) - size + 1):
                    _add(found, marked[start : start + size], weight=_GRAM_WORTH)
        rows += [row] * len(found)
        columns += list(found)
        values += list(found.values())
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), BUCKETS), dtype=np.float64)
    matrix.sort_indices()
    return matrix


def _add(found: dict[int, float], piece: str, *, weight: float) -> None:
    bucket = crc32(piece.encode()) % BUCKETS
    before = found.get(bucket, 0.0)
    found[bucket] = weight if before == 0.0 else before + 0.5 * weight  # said twice is not twice as much


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.maximum(lengths, 1e-9)) @ matrix)
