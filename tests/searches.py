"""The judged queries of the bank's catalogue and articles, and how well a ranking answers them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from embeddings.searching import How, Search
from recsys.bank.offers import articles_of, offers_of, words_of
from recsys.bank.truth import TRUTHS
from recsys.bank.wording import catalogue_text
from recsys.catalogue import Catalogue, parse
from recsys.vocabulary import Floats, ProductId

QUERIES = Path(__file__).parent / "data" / "search_queries.toml"
OFFERS, ARTICLES = 20, 36


@dataclass(frozen=True, slots=True)
class Judged:
    """A query and the gain of each product that answers it, 1 to 3; `held` was never tuned on."""

    query: str
    gains: Mapping[ProductId, int]
    held: bool


@cache
def searched_catalogue() -> Catalogue:
    """The bank's products with articles and offers."""
    extra = (*offers_of(OFFERS, seed=1), *articles_of(ARTICLES))
    return parse(catalogue_text((*TRUTHS, *(each.product_id for each in extra))), where="test")


def judged() -> list[Judged]:
    """Every query of the file, in order."""
    sections = tomllib.loads(QUERIES.read_text(encoding="utf-8"))
    asked = [(query, wanted) for section in sections.values() for query, wanted in section.items()]
    return [Judged(query, _gains(wanted), number % 2 == 1) for number, (query, wanted) in enumerate(asked)]


def _gains(wanted: Mapping[str, int]) -> dict[ProductId, int]:
    """Products by what they are about: a subject or a category stands for all that speak of it."""
    catalogue = searched_catalogue()
    found: dict[ProductId, int] = {}
    for name, gain in wanted.items():
        kind, _, about = name.partition(": ")
        if kind == "about":
            meant = [p for p in catalogue.ids if p.startswith("article-") and f"about {about}," in words_of(p)[1]]
        elif kind == "offers":
            words = {"all": "", "groceries": "your weekly shop", "children": "children's things"}[about]
            meant = [p for p in catalogue.ids if p.startswith("offer-") and words in words_of(p)[1]]
        else:
            meant = [catalogue.product(ProductId(name)).product_id]
        assert meant, name
        found.update(dict.fromkeys(meant, gain))
    return found


def ndcg(ranking: Sequence[ProductId], *, gains: Mapping[ProductId, int], k: int = 10) -> float:
    """NDCG@k with gains 2^g − 1 (Järvelin and Kekäläinen 2002)."""
    found = [gains.get(product, 0) for product in ranking[:k]]
    ideal = sorted(gains.values(), reverse=True)[:k]
    return _dcg(found) / _dcg(ideal)


def _dcg(gains: Sequence[int]) -> float:
    return float(((2.0 ** np.array(gains, dtype=np.float64) - 1) / np.log2(np.arange(len(gains)) + 2)).sum())


def qualities(engine: Search, *, how: How) -> Floats:
    """(queries,) NDCG@10 of each judged query."""
    ids = searched_catalogue().ids
    return np.array(
        [ndcg([p for p, _ in engine.find(each.query, among=ids, how=how)], gains=each.gains) for each in judged()]
    )
