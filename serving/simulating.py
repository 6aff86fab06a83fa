"""Many trials side by side: which cells there are, how they are run, and what is told of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from bandits.recipe import Recipe
from bandits.trial_verdicts import Judged, judged
from bandits.trials import Life, Trial
from recsys.rewards import Rewards

_SMOOTH = 7  # days of which a curve's point is the mean


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One trial and what it came to; points are of a visit."""

    world: str
    seed: int
    policy: str
    verdict: Judged  # over the second half
    earned: tuple[float, ...]  # by day
    oracle: tuple[float, ...]
    explored: float  # share of slots in the second half
    lessons: int

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON values; points of 1,000 visits."""
        per = {
            name: round(1000 * getattr(self.verdict, name), 4) for name in ("earned", "fixed", "learnable", "oracle")
        }
        head = {"world": self.world, "seed": self.seed, "policy": self.policy, "relative": self.verdict.relative}
        return {**head, **per, "explored": self.explored, "lessons": self.lessons}


def name_of(recipe: Recipe) -> str:
    """What tells a recipe apart in a table."""
    return f"{recipe.name}, {recipe.exploration.kind}, {recipe.reward}"


def trials_of(
    recipes: Sequence[Recipe],
    *,
    rewards: Rewards,
    worlds: Sequence[str],
    seeds: Iterable[int],
    customers: int,
    days: int,
    slice_share: float,
    first_log: int = 0,
) -> list[Trial]:
    """Every recipe in every world under every seed."""
    return [
        Trial(recipe=recipe, rewards=rewards, world=world, seed=seed, customers=customers, days=days,
              slice_share=slice_share, first_log=first_log)
        for world, seed, recipe in product(worlds, seeds, recipes)
    ]  # fmt: skip


def lived_through(trial: Trial) -> Cell:
    """Live a trial to its end."""
    life = Life(trial)
    days = list(life.days())
    half = trial.days // 2
    return Cell(
        trial.world, trial.seed, name_of(trial.recipe), judged(life, since=half),
        tuple(day.earned for day in days), tuple(day.oracle for day in days),
        float(np.mean([day.explored for day in days[half:]])), life.learner.taught,
    )  # fmt: skip


def run(trials: Sequence[Trial], *, jobs: int) -> Iterator[Cell]:
    """Every trial's cell, as they end; with more than one job in processes of their own."""
    if jobs == 1:
        yield from map(lived_through, trials)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(lived_through, trial) for trial in trials]):
            yield done.result()


def in_order(cells: Iterable[Cell], *, trials: Sequence[Trial]) -> list[Cell]:
    """Cells in the order of their trials, however they ended."""
    place = {(each.world, each.seed, name_of(each.recipe)): number for number, each in enumerate(trials)}
    return sorted(cells, key=lambda cell: place[cell.world, cell.seed, cell.policy])


def summary(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """A row for each world and policy: means over seeds, and the spread of what is relative."""
    rows = []
    for world, policy in dict.fromkeys((cell.world, cell.policy) for cell in cells):
        own = [cell.plain for cell in cells if (cell.world, cell.policy) == (world, policy)]
        names = ("earned", "fixed", "learnable", "oracle", "relative", "explored")
        means = {name: float(np.mean([row[name] for row in own])) for name in names}
        lows, highs = min(row["relative"] for row in own), max(row["relative"] for row in own)
        rows.append({"world": world, "policy": policy, "seeds": len(own), **means, "lowest": lows, "highest": highs})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The summary for a terminal; points of 1,000 visits in the second half."""
    head = f"{'world':<12}{'policy':<44}{'earned':>8}{'fixed':>8}{'learnable':>11}{'oracle':>8}{'relative':>10}  seeds"
    lines = [
        f"{row['world']:<12}{row['policy']:<44}{row['earned']:>8.2f}{row['fixed']:>8.2f}{row['learnable']:>11.2f}"
        f"{row['oracle']:>8.2f}{row['relative']:>10.2f}  {row['lowest']:.2f} to {row['highest']:.2f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def regrets(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Rows of the picture: regret by day, weekly means; the band spans the seeds."""
    rows = []
    for world, policy in dict.fromkeys((cell.world, cell.policy) for cell in cells):
        own = [cell for cell in cells if (cell.world, cell.policy) == (world, policy)]
        lost = 1000 * (np.array([cell.oracle for cell in own]) - np.array([cell.earned for cell in own]))
        for day in range(_SMOOTH - 1, lost.shape[1], _SMOOTH):
            week = lost[:, day - _SMOOTH + 1 : day + 1].mean(axis=1)
            band = {"regret": float(week.mean()), "low": float(week.min()), "high": float(week.max())}
            rows.append({"world": world, "policy": policy, "day": day + 1, **band})
    return rows
