"""What is known of a product before anybody chose it: features and words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embeddings.identifiers import IdMap
from embeddings.interactions import checked_facts
from recsys.errors import InvalidTable
from recsys.features import product_features
from recsys.vocabulary import Product, Vector

WORDS_KEPT = 48  # words of a text that count, the first ones
WORD_BUCKETS = 4096  # words are hashed into so many rows, so no vocabulary has to be shipped
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, eq=False)
class ProductFacts:
    """P products as arrays, in the rows of `ids`. Make one with `of`."""

    ids: IdMap
    names: tuple[str, ...]  # (G,) of the features
    features: Vector  # (P, G)
    words: NDArray[np.int32]  # (P, W) word bucket + 1, 0 is padding
    texts: tuple[str, ...] = ()  # (P,) as they were

    @classmethod
    def of(
        cls, ids: Sequence[str], *, names: tuple[str, ...], features: ArrayLike, texts: Sequence[str]
    ) -> ProductFacts:
        """Build from rows side by side: ids, (P, G) features, and each product's words as one text.

        Raises:
            InvalidTable: an id twice, a feature that is not finite, columns that do not fit.
        """
        if len(texts) != len(ids):
            raise InvalidTable(f"{len(texts)} texts for {len(ids)} products", where="products")
        checked = checked_facts(features, n_rows=len(ids), n_facts=len(names), where="products")
        return cls(IdMap(tuple(ids)), names, checked, hashed_words(texts), tuple(texts))

    @classmethod
    def of_products(cls, products: Sequence[Product], *, names: tuple[str, ...] | None = None) -> ProductFacts:
        """Build from a catalogue's products: `recsys.features`, and the words of name and text.

        `names` are the features of an earlier training, which a product launched since is read by;
        without them the features are all that any of the products has.
        """
        parts = [dict(zip(*product_features(product), strict=True)) for product in products]
        kept = names if names is not None else tuple(sorted({name for part in parts for name in part}))
        return cls.of(
            [product.product_id for product in products],
            names=kept,
            features=np.array([[part.get(name, 0.0) for name in kept] for part in parts]).reshape(
                len(parts), len(kept)
            ),
            texts=[f"{product.name} {product.text}" for product in products],
        )

    def __len__(self) -> int:
        return len(self.ids)


def hashed_words(texts: Sequence[str]) -> NDArray[np.int32]:
    """(n, W) buckets of the distinct lower-case words of each text; W is the longest, at least 1.

    >>> hashed_words(["Round ups", ""]).shape
    (2, 2)
    """
    buckets = [
        [crc32(word.encode()) % WORD_BUCKETS + 1 for word in dict.fromkeys(_WORD.findall(text.lower()))][:WORDS_KEPT]
        for text in texts
    ]
    padded = np.zeros((len(texts), max([1, *map(len, buckets)])), dtype=np.int32)
    for row, words in enumerate(buckets):
        padded[row, : len(words)] = words
    return padded
