"""What a customer typed → the products that it may mean: words and vectors, fused.

    query ─┬─ BM25 with spelling and synonyms ─ / best ──┬─ 0.7 + 0.3 → relevance in [0, 1]
           └─ text vector ─ masked index ─ cosine ≥ 0 ───┘

A weighted sum of normalised scores beats fusing ranks, which throws away by how much one is better (Bruch, Gai
and Ingber 2023). Nothing here knows the customer; what may be shown is decided before, and the order among
equally relevant products afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from embeddings.approximate import Index, index_of
from embeddings.identifiers import IdMap
from embeddings.lexical import Field, Lexicon
from embeddings.synonyms import BANKING_WORDS, Synonyms, load
from embeddings.text import Lexical, TextEncoder
from embeddings.wording import said
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats, Product, ProductId

MOST = 100
"""Products that one search gives back, at most: every one of them is then a candidate."""

How = Literal["fused", "lexical", "vector"]
Found = tuple[ProductId, float]

_LEXICAL_SHARE = 0.7
_LEAST_COSINE = 0.5  # a text nearer than this speaks of the same thing, without a word in common
_LEAST = 0.2  # of the best one's relevance: what is further off only dilutes the answer
_NAME, _KIND, _TEXT, _SAYING = 3.0, 1.0, 1.0, 0.5  # what a word counts by where it stands


class Search:
    """The products of one catalogue, to be found by words; immutable, safe to share between threads."""

    def __init__(self, products: Sequence[Product], *, encoder: TextEncoder | None = None) -> None:
        """`encoder` stands in for the lexical text vectors, such as `text.Sentences`."""
        synonyms = load(BANKING_WORDS)
        self.ids = IdMap(tuple(product.product_id for product in products))
        self._lexicon = Lexicon([_fields(product) for product in products], synonyms=synonyms)
        texts = [" ".join([*2 * said(product.name), *said(product.text)]) for product in products]
        self._encoder = encoder or _encoder(texts, synonyms=synonyms)
        self._index: Index | None = None
        vectors = self._encoder.encode(texts)  # (P, D)
        self._rows = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0.5)  # whose texts say anything
        if len(self._rows):
            self._index = index_of(vectors[self._rows], ids=IdMap(tuple(self.ids.ids[row] for row in self._rows)))

    def find(self, query: str, *, among: Sequence[ProductId], k: int = MOST, how: How = "fused") -> tuple[Found, ...]:
        """At most `k` of the products `among` that a query may mean, with relevance in (0, 1], the best first.

        Equal ones in catalogue order. Products that are not in the catalogue are passed over. Empty where
        nothing fits: better no answer than any.

        Raises:
            InvalidTable: k below 1.
        """
        if k < 1:
            raise InvalidTable(f"k must be at least 1, got {k}", where="search")
        rows = [row for row in map(self.ids.row, among) if row is not None]
        open_ = np.zeros(len(self.ids), dtype=np.bool_)
        open_[rows] = True
        if how == "lexical":
            relevance = self._lexical(query, open_=open_)
        elif how == "vector":
            relevance = self._cosines(query, open_=open_)
        else:
            relevance = self._fused(query, open_=open_)
        best = float(relevance.max(initial=0.0))
        order = np.argsort(-relevance, kind="stable")[:k]
        return tuple(
            (self.ids.ids[row], min(1.0, float(relevance[row])))
            for row in order.tolist()
            if relevance[row] > 0.0 and relevance[row] >= _LEAST * best
        )

    def _fused(self, query: str, *, open_: Bools) -> Floats:
        words, cosines = self._lexical(query, open_=open_), self._cosines(query, open_=open_)
        met = (words > 0.0) | (cosines >= _LEAST_COSINE)
        return np.where(met, _LEXICAL_SHARE * words + (1.0 - _LEXICAL_SHARE) * cosines, 0.0)

    def _lexical(self, query: str, *, open_: Bools) -> Floats:
        """(P,) in [0, 1]; the best open product has 1 where any word is met."""
        scores = np.where(open_, self._lexicon.scores(query), 0.0)
        return scores / (float(scores.max(initial=0.0)) or 1.0)

    def _cosines(self, query: str, *, open_: Bools) -> Floats:
        """(P,) in [0, 1]; 0 for what is further off than the nearest `MOST`."""
        found = np.zeros(len(self.ids))
        if self._index is None:
            return found
        [near] = self._index.search(self._encoder.encode([query]), mask=open_[self._rows], k=MOST)
        found[self._rows[near.rows]] = np.clip(near.cosines, 0.0, 1.0)
        return found


def _fields(product: Product) -> list[Field]:
    kind = f"{product.family} {' '.join(product.tags).replace('_', ' ')}"
    sayings = [Field(creative.text, _SAYING) for creative in product.creatives if creative.text != product.text]
    return [Field(product.name, _NAME), Field(kind, _KIND), Field(product.text, _TEXT), *sayings]


def _encoder(texts: Sequence[str], *, synonyms: Synonyms) -> TextEncoder:
    """Vectors that know the catalogue's words, and which everyday words mean them."""
    return Lexical.of([*texts, *synonyms.lines])
