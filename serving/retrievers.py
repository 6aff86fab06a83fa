"""Retrievers by the digest of their bundle: each is loaded once, and kept while anybody serves with it."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakValueDictionary

from embeddings import bundle as bundles
from embeddings.retrieval import Retriever
from recsys import features


class Retrievers:
    """What the bundle in force and the snapshots that are paired with one share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: WeakValueDictionary[str, Retriever] = WeakValueDictionary()

    def of(self, digest: str) -> Retriever:
        """The retriever over a bundle; "" names none, whose retriever knows no affinity.

        Raises as `embeddings.bundle.load`.
        """
        found = self._kept.get(digest)
        if found is None:
            bundle = bundles.load(self._root, features_version=features.VERSION, digest=digest) if digest else None
            found = self._kept[digest] = Retriever(bundle)
        return found
