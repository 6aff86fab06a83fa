"""How well the judged queries are answered by words, by vectors and by both, and how long one search takes.

Every second query is held out: nothing was chosen by looking at it. RECSYS_SEARCH_MODEL names a directory of a
sentence-transformers model, which is then judged too (`pip install 'recsys[sentences]'`).
Run: python -m tests.benchmarks.search
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from bandits.relevance import RelevancePolicy
from embeddings.searching import Search
from embeddings.text import Sentences
from recsys.vocabulary import Candidate, Context
from tests.searches import judged, ndcg, qualities, searched_catalogue


def main() -> None:
    """Print NDCG@10 of the three ways, and the time of one query."""
    catalogue, queries = searched_catalogue(), judged()
    began = time.perf_counter()
    engine = Search(catalogue.products)
    built = time.perf_counter() - began
    held = np.array([each.held for each in queries])
    print(f"{len(queries)} judged queries over {len(catalogue.products)} products; made in {built:.2f} s")
    for how in ("lexical", "vector", "fused"):
        found = qualities(engine, how=how)
        error = found.std(ddof=1) / np.sqrt(len(found))
        print(f"  {how:<8} NDCG@10 {found.mean():.3f} ± {error:.3f}   held out {found[held].mean():.3f}")
    if directory := os.environ.get("RECSYS_SEARCH_MODEL"):
        modelled = Search(catalogue.products, encoder=Sentences(Path(directory)))
        for how in ("vector", "fused"):
            found = qualities(modelled, how=how)
            print(
                f"  {how:<8} NDCG@10 {found.mean():.3f}   held out {found[held].mean():.3f}, by {Path(directory).name}"
            )
    dice = np.random.default_rng(0)
    personal = []
    for each in queries:
        found_ = engine.find(each.query, among=catalogue.ids)
        liked = [Candidate(product, affinity=float(dice.normal())) for product, _ in found_]
        order = np.argsort(-RelevancePolicy(dict(found_)).scores(Context(), liked), kind="stable")
        personal.append(ndcg([found_[row][0] for row in order.tolist()], gains=each.gains))
    print(f"  fused, then affinities that are noise: {np.mean(personal):.3f}")
    times = np.empty(len(queries) * 10)
    for place in range(len(times)):
        began = time.perf_counter()
        engine.find(queries[place % len(queries)].query, among=catalogue.ids)
        times[place] = time.perf_counter() - began
    print(f"  one search: {np.median(times) * 1e3:.2f} ms p50, {np.quantile(times, 0.99) * 1e3:.2f} ms p99")


if __name__ == "__main__":
    main()
