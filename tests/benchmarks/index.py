"""Masked search through our index against raw FAISS, proposals of a retriever, and 100,000 products, in one run.

The column × is ours over raw FAISS doing the same under the same mask. The last table has recall@50 against the exact
answer, and its time, of our index, of a plain HNSW by inner products and of one by distances over the norm-augmented
vectors, on products in groups whose lengths differ, as trained ones do; and says what our index decides where there
are no groups. (Where a few products are much longer than the rest, the added coordinate is all that most vectors have
in common, and the augmented graph finds less than the plain one.)
Run: python -m tests.benchmarks.index
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from embeddings import bundle as bundles
from embeddings.approximate import ApproximateIndex, index_of
from embeddings.bundle import Blueprint, Reference
from embeddings.identifiers import IdMap
from embeddings.index import ExactIndex
from embeddings.retrieval import Retriever
from embeddings.spectral import as_cosines, as_queries
from recsys.vocabulary import Bools, Vector
from tests.benchmarks.timing import microseconds

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
        plain = microseconds(lambda raw=raw, query=query, k=k: raw.search(query, k))
        for share in SHARES:
            mask = np.random.default_rng(2).random(n) < share
            mask[0] = True
            ours = microseconds(lambda index=index, query=query, mask=mask, k=k: index.search(query, mask=mask, k=k))
            masked = microseconds(lambda raw=raw, query=query, mask=mask, k=k: _raw_masked(raw, query, mask=mask, k=k))
            shape = f"{n:>9,} {dim:>3} {k:>3} {share:>9.0%}"
            print(f"{shape} {ours:>8.1f} {plain:>8.1f} {masked:>10.1f} {ours / masked:>5.2f}")
    many()
    for n, dim, k in SIZES:
        print(f"propose: {n:>6,} eligible products, k {k:>2}: {_proposing(n, dim=dim, k=k):8.1f} µs")


def many(n: int = 100_000, dim: int = 63) -> None:
    """100,000 products under masks of 100 %, 10 % and 1 %."""
    dice = np.random.default_rng(0)
    centres = dice.normal(size=(300, dim))
    raw = centres[dice.integers(0, 300, size=n)] + 0.6 * dice.normal(size=(n, dim))
    raw = (raw * dice.lognormal(0.0, 0.4, size=(n, 1)) / np.sqrt(dim)).astype(np.float32)  # lengths differ
    customers = (centres[dice.integers(0, 300, size=400)] + 0.6 * dice.normal(size=(400, dim))).astype(np.float32)
    vectors, queries = as_cosines(raw), as_queries(customers)
    began = time.perf_counter()
    index = index_of(vectors, ids=IdMap(tuple(map(str, range(n)))), queries=queries[:200])
    told = index.measured if isinstance(index, ApproximateIndex) else "exact"
    print(f"\n{n:,} products, D {dim} and one, k 50: {told}, built and measured in {time.perf_counter() - began:.1f} s")
    exact = ExactIndex(vectors, ids=index.ids)
    graphs: dict[str, tuple[Any, Vector]] = {
        "HNSW, plain": (_graph(raw, metric=faiss.METRIC_INNER_PRODUCT), customers),
        "HNSW, augmented": (_graph(vectors, metric=faiss.METRIC_L2), queries),
    }
    for share in (1.0, 0.1, 0.01):
        mask = dice.random(n) < share
        bits = np.packbits(mask, bitorder="little")
        wanted = [found.rows for found in exact.search(queries[200:], mask=mask, k=50)]
        lines = {"exact": lambda row, mask=mask: exact.search(queries[row : row + 1], mask=mask, k=50)[0].rows}
        lines["ours"] = lambda row, mask=mask: index.search(queries[row : row + 1], mask=mask, k=50)[0].rows
        for name, (graph, asked) in graphs.items():
            for effort in (64, 512):
                only = faiss.SearchParametersHNSW(efSearch=effort, sel=faiss.IDSelectorBitmap(bits))
                lines[f"{name}, ef {effort}"] = lambda row, graph=graph, asked=asked, only=only: graph.search(
                    asked[row : row + 1], 50, params=only
                )[1][0]
        for name, work in lines.items():
            times, hits = [], []
            for row in range(200, 400):
                began = time.perf_counter()
                found = work(row)
                times.append(time.perf_counter() - began)
                hits.append(len(set(found.tolist()) & set(wanted[row - 200].tolist())) / 50)
            print(
                f"  eligible {share:>4.0%}  {name:<24} recall@50 {np.mean(hits):.4f}   {np.median(times) * 1e6:8.1f} µs"
            )
    even = index_of(_unit(n, dim=dim), ids=index.ids)
    print(f"  the same without any groups: {type(even).__name__}, as no list would keep the bound")


def _graph(vectors: Vector, *, metric: int) -> Any:
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, metric)
    graph.hnsw.efConstruction = 80
    graph.add(vectors)
    return graph


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
    return microseconds(lambda: retriever.propose(vector, eligible=ids.ids, k=k), rounds=ROUNDS if n < 10_000 else 50)


def _unit(n: int, *, dim: int, seed: int = 0) -> Vector:
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
