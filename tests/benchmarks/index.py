"""Masked search through our index against raw FAISS, and proposals of a retriever, in one run.

The last column is ours over raw FAISS doing the same under the same mask.
Run: python -m tests.benchmarks.index
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from embeddings import bundle as bundles
from embeddings.bundle import Blueprint, Reference
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from embeddings.retrieval import Retriever
from recsys.vocabulary import Bools, Vector

SIZES = ((21, 32, 21), (500, 64, 50), (2000, 64, 50), (50_000, 32, 50))  # products, D, k
SHARES = (1.0, 0.5, 0.05)  # eligible
ROUNDS = 1000


def main() -> None:
    """Print one line for each catalogue size and mask; times are medians over single queries, on one thread."""
    faiss.omp_set_num_threads(1)
    print(
        f"{'products':>9} {'D':>3} {'k':>3} {'eligible':>9} {'ours µs':>8} {'raw µs':>8} {'masked raw µs':>14} {'×':>5}"
    )
    for n, dim, k in SIZES:
        vectors = _unit(n, dim=dim)
        index = ExactIndex(vectors, ids=IdMap(tuple(map(str, range(n)))))
        raw = faiss.IndexFlatIP(dim)
        raw.add(vectors)
        query = _unit(1, dim=dim, seed=1)
        plain = _microseconds(lambda raw=raw, query=query, k=k: raw.search(query, k))
        for share in SHARES:
            mask = np.random.default_rng(2).random(n) < share
            mask[0] = True
            ours = _microseconds(lambda index=index, query=query, mask=mask, k=k: index.search(query, mask=mask, k=k))
            masked = _microseconds(lambda raw=raw, query=query, mask=mask, k=k: _raw_masked(raw, query, mask=mask, k=k))
            shape = f"{n:>9,} {dim:>3} {k:>3} {share:>9.0%}"
            print(f"{shape} {ours:>8.1f} {plain:>8.1f} {masked:>10.1f} {ours / masked:>5.2f}")
    for n, dim, k in SIZES:
        print(f"propose: {n:>6,} eligible products, k {k:>2}: {_proposing(n, dim=dim, k=k):8.1f} µs")


def _raw_masked(raw: faiss.IndexFlatIP, query: Vector, *, mask: Bools, k: int) -> object:
    if mask.all():
        return raw.search(query, k)
    bits = np.packbits(mask, bitorder="little")
    parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
    return raw.search(query, k, params=parameters)


def _proposing(n: int, *, dim: int, k: int) -> float:
    ids = IdMap(tuple(f"product-{row}" for row in range(n)))
    with tempfile.TemporaryDirectory() as home:
        artefact = bundles.publish(
            Path(home),
            features_version="f",
            index=ExactIndex(_unit(n, dim=dim), ids=ids),
            n_chosen=np.zeros(n, dtype=np.int64),
            reference=Reference(0.0, 0.2),
            blueprint=Blueprint("two_tower", {}, (), IdMap(), 0, (), ids),
            weights={},
        )
        retriever = Retriever(bundles.opened(artefact, features_version="f"))
    vector = _unit(1, dim=dim, seed=1)[0]
    return _microseconds(lambda: retriever.propose(vector, eligible=ids.ids, k=k), rounds=ROUNDS if n < 10_000 else 50)


def _unit(n: int, *, dim: int, seed: int = 0) -> Vector:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _microseconds(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    times = np.empty(rounds)
    for place in range(rounds):
        started = time.perf_counter()
        work()
        times[place] = time.perf_counter() - started
    return float(np.median(times) * 1e6)


if __name__ == "__main__":
    main()
