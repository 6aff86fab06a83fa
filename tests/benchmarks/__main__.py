"""`make bench`: every benchmark, one after another, or those named (`make bench ARGS=log`)."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `recsys` does, before numpy is imported

from tests.benchmarks import (
    affinities,
    bank,
    choosing,
    clusters,
    coverage,
    embeddings,
    experiments,
    feast,
    hostile,
    importing,
    index,
    judging,
    kills,
    ladder,
    learners,
    log,
    million,
    open_loop,
    pages,
    poison,
    postgres_size,
    publishing,
    reasons,
    rules,
    search,
    simulate,
    sizing,
    starting,
    states,
    throughput,
)

ALL = {
    "affinities": affinities.main,
    "bank": bank.main,
    "choosing": choosing.main,
    "coverage": coverage.main,
    "embeddings": embeddings.main,
    "experiments": experiments.main,
    "feast": feast.main,
    "hostile": hostile.main,
    "importing": importing.main,
    "index": index.main,
    "judging": judging.main,
    "kills": kills.main,
    "ladder": ladder.main,
    "learners": learners.main,
    "log": log.main,
    "million": million.main,
    "open-loop": open_loop.main,
    "pages": pages.main,
    "poison": poison.main,
    "postgres-size": postgres_size.main,
    "publish": publishing.main,
    "ray": clusters.main,
    "reasons": reasons.main,
    "rules": rules.main,
    "search": search.main,
    "simulate": simulate.main,
    "sizing": sizing.main,
    "start": starting.main,
    "states": states.main,
    "throughput": throughput.main,
}

for name in sys.argv[1:] or ALL:
    if name not in ALL:
        sys.exit(f"no benchmark is called {name}: choose from {', '.join(ALL)}")
    print(f"\n== {name}")
    ALL[name]()
