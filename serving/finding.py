"""What a customer searches for, among what is on offer: one search engine a catalogue, made when first needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from bandits.relevance import RelevancePolicy
from embeddings.searching import Search
from embeddings.text import Sentences
from recsys.catalogue import Catalogue
from recsys.vocabulary import ProductId
from serving.ladder import Rung

SURFACE = "search"
MODE = "search"
"""How a decision is logged that was asked for in words: it teaches nobody, and judges no policy."""

_KEPT = 2  # catalogues whose engines are held: the one in force, and the one just replaced

_engines: OrderedDict[tuple[str, Path | None], Search] = OrderedDict()
_making = Lock()


def engine_of(catalogue: Catalogue, *, model: Path | None = None) -> Search:
    """The search engine of a catalogue, its text vectors from a sentence-transformers directory where one is named.

    Making one takes a fraction of a second, or with a `model` some seconds, so make it in a thread.
    """
    key = (catalogue.digest, model)
    if (found := _engines.get(key)) is not None:
        return found
    with _making:
        if key not in _engines:
            _engines[key] = Search(catalogue.products, encoder=None if model is None else Sentences(model))
            while len(_engines) > _KEPT:
                _engines.popitem(last=False)
        return _engines[key]


def sought(
    query: str, *, eligible: Sequence[ProductId], catalogue: Catalogue, model: Path | None = None
) -> Mapping[ProductId, float]:
    """Eligible products that fit the words, with their relevance, the best first."""
    return dict(engine_of(catalogue, model=model).find(query, among=eligible)) if eligible else {}


def rung_of(relevance: Mapping[ProductId, float]) -> Rung:
    """Who orders what was found. Nothing moves it: no pin and no boost (domain 3.2)."""
    return Rung(RelevancePolicy(relevance), MODE)
