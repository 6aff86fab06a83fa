"""Ours and the peers' on labelled tables turned into bandits, in one run, with one setting of ours for all.

Run: make bench ARGS=learners. RECSYS_BENCH_ROWS=N plays at most N rows of a set, RECSYS_BENCH_SEEDS=N as many
seeds, RECSYS_BENCH_SETS=digits,letter those sets.

Each row of a table is a round: a label is drawn, pays 1 where it is the right one, and only that is learned from.
One pass, shuffled by a seed. Every probability of ours has a floor (1 % spread evenly); the peers have none and
are each reported at the best of their settings on each set, which flatters them. The thinned table pays a right
choice with probability 0.05 and goes through the rows five times, drawn anew. The tables of the last full run lie
beside this file (learners.txt).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from bandits.chain import one_stage
from bandits.exploration import Exploration
from bandits.learner import make_learner
from bandits.recipe import Recipe
from bandits.replay import RECIPE, STAGE, Seat
from recsys import datasets
from recsys.datasets import Labelled
from tests.benchmarks import peers

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = ("digits", "pendigits", "nursery", "letter", "segment", "shuttle")
REQUIREMENTS = ("contextualbandits==0.3.30", "mabwiser==2.7.4", "vowpal-wabbit-next==0.7.0", "numpy>=2")
PAYS, PASSES = 0.05, 5
THINNED_ROWS = 2_000  # at most, of a set: five passes of them
VOWPAL = Recipe(
    "vowpal",
    options=MappingProxyType({"loss": "squared", "knots": 5.0, "learning_rate": 0.5, "replays": 2.0}),
    exploration=Exploration("squarecb", gamma=1000.0, epsilon=0.01, unit="earned"),
)
OURS = {"ours, linear": RECIPE, "ours, vowpal": VOWPAL}


@dataclass(frozen=True, slots=True)
class Game:
    """Rows in the order in which they come, and whether the right choice pays in each."""

    table: Labelled
    order: NDArray[np.int64]
    pays: NDArray[np.bool_]


def main() -> None:
    """Print both tables."""
    rows = int(os.environ.get("RECSYS_BENCH_ROWS", 1_000_000))
    seeds = range(int(os.environ.get("RECSYS_BENCH_SEEDS", 3)))
    names = os.environ.get("RECSYS_BENCH_SETS", ",".join(SETS)).split(",")
    tables = {name: table_of(name) for name in names}
    print(f"mean reward, one pass of at most {rows:,} rows, {len(seeds)} seeds")
    told({name: means(table, rows=rows, seeds=seeds, passes=1, share=1.0) for name, table in tables.items()})
    thin = min(rows, THINNED_ROWS)
    print(
        f"\na right choice pays with probability {PAYS}: {PASSES} passes of at most {thin:,} rows, as a share of {PAYS}"
    )
    told({name: means(table, rows=thin, seeds=seeds, passes=PASSES, share=PAYS) for name, table in tables.items()})


def table_of(name: str) -> Labelled:
    """One of the public sets, read as `recsys replay` reads it."""
    if name != "digits":
        return datasets.classification(SHARED / f"bandit_{name}.parquet")
    x, y = load_digits(return_X_y=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.parquet"
        pl.DataFrame({f"pixel{i}": x[:, i] for i in range(x.shape[1])} | {"label": y}).write_parquet(path)
        return datasets.classification(path)


def means(table: Labelled, *, rows: int, seeds: Sequence[int], passes: int, share: float) -> dict[str, float]:
    """Mean reward of everybody on one set, as a share of what a right choice pays."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        game = game_of(table, rows=rows, seed=seed, passes=passes, share=share)
        for name, recipe in OURS.items():
            started = time.process_time()
            found.setdefault(name, []).append(played(game, recipe, seed=seed) / share)
            took = (time.process_time() - started) / len(game.order) * 1e6
            print(f"  {table.name} seed {seed}: {name} {found[name][-1]:.3f}, {took:.0f} µs a row", file=sys.stderr)
        answer = peers.run(
            "peers_of_learners.py",
            requirements=REQUIREMENTS,
            arrays={"x": table.contexts[game.order], "y": table.labels[game.order], "pays": game.pays},
            settings={"products": len(table.products), "seed": seed},
            environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        rivals = {name: one["mean"] / share for name, one in answer.settings.items()}
        print(f"  {table.name} seed {seed}: {_listed(best_settings(rivals))}", file=sys.stderr, flush=True)
        for name, mean in rivals.items():
            found.setdefault(name, []).append(mean)
    return best_settings({name: float(np.mean(each)) for name, each in found.items()})


def best_settings(found: Mapping[str, float]) -> dict[str, float]:
    """Of every peer the best of its settings (`name/number`)."""
    best: dict[str, float] = {}
    for name, mean in found.items():
        whose = name.partition("/")[0]
        best[whose] = max(mean, best.get(whose, -1.0))
    return best


def _listed(means: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())


def game_of(table: Labelled, *, rows: int, seed: int, passes: int, share: float) -> Game:
    """A pass, or several over the same rows, each in an order of its own."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(table))[:rows]
    order = np.concatenate([chosen, *(rng.permutation(chosen) for _ in range(passes - 1))])
    return Game(table, order, rng.random(order.size) < share)


def played(game: Game, recipe: Recipe, *, seed: int) -> float:
    """Mean reward of a recipe of ours."""
    table, earned = game.table, 0.0
    seat = Seat(make_learner(recipe, one_stage(STAGE)), table.candidates, run=f"{table.name}:{seed}")
    for number, (at, pays) in enumerate(zip(game.order.tolist(), game.pays.tolist(), strict=True)):
        context = table.context(at)
        row, pmf = seat.draw(context, number=number)
        reward = float(pays and row == table.labels[at])
        seat.learn(context, row, reward=reward, pmf=pmf)
        earned += reward
    return earned / len(game.order)


def told(found: Mapping[str, Mapping[str, float]]) -> None:
    """One line for everybody, and who is ahead."""
    whose = list(next(iter(found.values())))
    print(" " * 26 + "".join(f"{name:>11}" for name in found) + "       mean")
    for name in whose:
        row = [each[name] for each in found.values()]
        print(f"{name:26}" + "".join(f"{mean:11.3f}" for mean in row) + f"{np.mean(row):11.3f}", flush=True)
    rivals = [name for name in whose if name not in OURS]
    for ours in OURS:
        ahead = sum(each[ours] > max(each[rival] for rival in rivals) for each in found.values())
        best = max(float(np.mean([each[rival] for each in found.values()])) for rival in rivals)
        mean = float(np.mean([each[ours] for each in found.values()]))
        print(f"{ours}: above the best peer on {ahead} of {len(found)}; mean {mean:.3f} against {best:.3f}", flush=True)


if __name__ == "__main__":
    main()
