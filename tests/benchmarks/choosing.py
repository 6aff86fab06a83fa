"""How long choosing and learning take, beside one raw prediction of VowpalWabbit; and what 10,000 snapshots leave.

Run: make bench ARGS=choosing (RECSYS_BENCH_SWAPS=N swaps fewer snapshots)
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from vowpal_wabbit_next import CBLabel, Example, Workspace

from bandits.crossing import Crossing
from bandits.drawing import draw_slate, everything_open
from bandits.exploration import Exploration
from bandits.learner import load_policy, make_learner
from bandits.recipe import Learner, Recipe
from recsys import rewards
from recsys.shelves import Candidates, Shelf
from recsys.vocabulary import Candidate, Context, Decision, Lesson, Slot
from tests import builders
from tests.benchmarks.timing import microseconds

FEATURES, CANDIDATES, SLOTS = 34, 50, 3
NAMES = tuple(f"fact-{i}" for i in range(FEATURES))
OPTIMISM = Exploration("squarecb", epsilon=0.02, bonus=0.3, unit="earned")
RECIPES = (
    Recipe("linear", learner="linear", exploration=Exploration(epsilon=0.02)),
    Recipe("vowpal", learner="vowpal", exploration=Exploration(epsilon=0.02)),
    Recipe("linear-hopeful", learner="linear", exploration=OPTIMISM),
    Recipe("vowpal-hopeful", learner="vowpal", exploration=OPTIMISM),
)
REWARDS = rewards.load()


def main() -> None:
    """Print the ratios, lessons a second, and the memory."""
    rng = np.random.default_rng(0)
    contexts = [Context(NAMES, tuple(rng.normal(size=FEATURES).tolist())) for _ in range(100)]
    families = tuple(f"family_{i}" for i in range(4))
    candidates = [
        Candidate(
            f"product-{i}", f"creative-{i}", families, tuple(np.eye(4)[i % 4].tolist()), 0.1 * (i % 7), float(i % 3)
        )
        for i in range(CANDIDATES)
    ]
    shelf = Shelf([replace(each, affinity=None, seen_lately=0.0) for each in candidates])
    rows = np.arange(CANDIDATES)
    affinities, seen = np.array([[each.affinity or 0.0, each.seen_lately] for each in candidates]).T.copy()
    raw = microseconds(raw_prediction(contexts, candidates))
    print(f"one raw VW prediction of {CANDIDATES} candidates, examples reused, features pushed as arrays: {raw:.0f} µs")
    for recipe in RECIPES:
        learner = taught(recipe, contexts, candidates, n=2_000)
        policy, turn = learner.snapshot(1), iter(range(10**9))

        def choose(asked: Sequence[Candidate], policy: Any = policy, turn: Any = turn) -> object:
            number = next(turn)
            return draw_slate(
                policy,
                contexts[number % 100],
                asked,
                length=SLOTS,
                decision_id=f"d-{number}",
                mask_of=everything_open(CANDIDATES),
            )

        arrays = microseconds(lambda choose=choose: choose(Candidates(shelf, rows, affinities=affinities, seen=seen)))
        records = microseconds(lambda choose=choose: choose(candidates))
        print(
            f"{recipe.name:16} choosing {SLOTS} of {CANDIDATES}: {arrays:6.0f} µs from arrays, as served, "
            f"{arrays / raw:.2f} × raw; {records:.0f} µs from records, {records / raw:.2f} ×",
            flush=True,
        )
    for recipe in RECIPES[:2]:
        for told in (contexts, [Context(NAMES[:10], each.values[:10]) for each in contexts]):
            learner, n = taught(recipe, told, candidates, n=2_000), 10_000
            started = time.process_time()
            teach(learner, told, candidates, n=n)
            values = time.process_time() - started
            lessons = lessons_of(told, candidates, n=n)
            started = time.process_time()
            learner.learn(lessons)
            logged = time.process_time() - started
            print(
                f"{recipe.name:16} lessons a CPU second, {len(told[0].names)} facts: {n / values:,.0f} from values, "
                f"{n / logged:,.0f} from records with their checks",
                flush=True,
            )
    soak(contexts, candidates, swaps=int(os.environ.get("RECSYS_BENCH_SWAPS", 10_000)))


def raw_prediction(contexts: list[Context], candidates: list[Candidate]) -> Callable[[], object]:
    """VW's own contextual bandit over the features that ours cross."""
    workspace = Workspace(["--quiet", "--cb_explore_adf", "--epsilon", "0.02", "-b", "18", "--noconstant"])
    crossing, examples = Crossing(bits=18), [Example() for _ in candidates]
    for example in examples:
        example.set_label(CBLabel())
    made = []
    for context in contexts[:20]:
        table = crossing.table(context, candidates)
        ends = [*table.starts[1:].tolist(), table.indices.size]
        pieces = [slice(start, end) for start, end in zip(table.starts.tolist(), ends, strict=True)]
        made.append([(table.indices[p].astype(np.uint64), table.values[p].astype(np.float32)) for p in pieces])
    turn = iter(range(10**9))

    def predict() -> object:
        for example, (indices, values) in zip(examples, made[next(turn) % len(made)], strict=True):
            group: Any = example["f"]
            group.truncate_to(0)
            group.push_many_features(indices, values)
        return workspace.predict_one(examples)

    return predict


def taught(recipe: Recipe, contexts: list[Context], candidates: list[Candidate], *, n: int) -> Learner:
    """A learner after n lessons."""
    learner = make_learner(recipe, REWARDS)
    teach(learner, contexts, candidates, n=n)
    return learner


def teach(learner: Learner, contexts: list[Context], candidates: list[Candidate], *, n: int) -> None:
    """n lessons over all stages and products."""
    stages = [stage.name for stage in REWARDS.stages]
    for i in range(n):
        label = float(i % 7 == 0)
        learner.teach(contexts[i % 100], candidates[i % len(candidates)], stage=stages[i % len(stages)], label=label)


def lessons_of(contexts: list[Context], candidates: list[Candidate], *, n: int) -> list[Lesson]:
    """The same as they come from the log."""
    stages, made = [stage.name for stage in REWARDS.stages], []
    decisions: list[Decision] = []
    for number in range(100):
        row, pmf = number % CANDIDATES, np.full(CANDIDATES, 1.0 / CANDIDATES)
        decisions.append(builders.decision(f"d-{number}"))
        decisions[-1] = _with(decisions[-1], contexts[number], candidates, row=row, pmf=pmf)
    for i in range(n):
        decision = decisions[i % 100]
        at = datetime(2026, 3, 9, tzinfo=UTC)
        made.append(Lesson(decision, decision.slots[0], i % CANDIDATES, stages[i % len(stages)], i % 7 == 0, at, i))
    return made


def _with(decision: Decision, context: Context, candidates: list[Candidate], *, row: int, pmf: Any) -> Decision:
    kept = {name: getattr(decision, name) for name in Decision.__dataclass_fields__}
    slot = Slot(1, candidates[row].product_id, candidates[row].creative_id, float(pmf[row]))
    changed = {"context": context, "candidates": tuple(candidates), "pmfs": pmf[None], "slots": (slot,)}
    return Decision(**(kept | changed))


def soak(contexts: list[Context], candidates: list[Candidate], *, swaps: int) -> None:
    """Load a snapshot, predict a hundred times, let it go; and again. Memory after a tenth, and at the end."""
    for recipe in RECIPES[:2]:
        state = taught(recipe, contexts, candidates[:10], n=300).state()
        grown = swapped(recipe, state, contexts, candidates[:10], swaps=swaps)
        print(
            f"{recipe.name:16} {swaps:,} snapshots swapped, {100 * swaps:,} predictions: {grown / 1e6:+.2f} MB",
            flush=True,
        )


def swapped(recipe: Recipe, state: bytes, contexts: list[Context], candidates: list[Candidate], *, swaps: int) -> int:
    """Bytes of resident memory that swapping added after the first tenth."""
    before = 0
    for number in range(swaps):
        policy = load_policy(recipe, state, number)
        for context in contexts:
            policy.scores(context, candidates)
        if number == swaps // 10:
            gc.collect()
            before = resident()
    gc.collect()
    return resident() - before


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
