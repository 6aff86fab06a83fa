"""A million random states, each answer held to what the requirements say: is anything forbidden ever shown?

RECSYS_BENCH_STATES asks for fewer, or for others: "20000" are the first, "500000-520000" a stretch of seeds.
Run: python -m tests.benchmarks.states
"""

from __future__ import annotations

import logging
import os
import time

from tests.state_watch import Watch, smallest, told
from tests.states import Engine, State, state_of

MANY = "1000000"
SHOWN = 10
"""Violations that are printed."""


def main() -> None:
    """Print how fast states went by, what occurred in them, and every violation, or the first ten."""
    logging.disable(logging.CRITICAL)  # broken policies say so at every state
    first, _, last = os.environ.get("RECSYS_BENCH_STATES", MANY).rpartition("-")
    seeds = range(int(first or 0), int(last))
    watch, started = Watch(Engine()), time.perf_counter()
    for n, seed in enumerate(seeds, start=1):
        watch.see(state_of(seed))
        if n % 100_000 == 0:
            print(f"{n:>9,} states, {len(watch.found):,} violations", flush=True)
    took = time.perf_counter() - started
    print(f"{len(seeds):,} states in {took:,.0f} s: {len(seeds) / took:,.0f} a second")
    for what, counts in watch.occurred.items():
        print(f"{what:>11}: " + ", ".join(f"{name} {n:,}" for name, n in counts.most_common()))
    print(f"{len(watch.found):,} violations")
    for violation in watch.found[:SHOWN]:
        print(f"  {violation.invariant} ({violation.door}), seed {violation.seed} {violation.why}")
    if watch.found:
        print(_smallest(watch))


def _smallest(watch: Watch) -> str:
    """The first violation's state, without all that it fails without."""
    first = watch.found[0]

    def fails(state: State) -> bool:
        return any(each.invariant == first.invariant for each in Watch(Engine()).see(state))

    return told(smallest(state_of(first.seed), fails))


if __name__ == "__main__":
    main()
