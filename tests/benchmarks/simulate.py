"""Forms of the reward over worlds and seeds, and what the acceptance tests S-4, S-5, S-6 and S-8 ask of learning.

RECSYS_BENCH_SIMULATE=6000x365x3 is the standard size (customers x days x seeds; default 1000x120x1);
RECSYS_BENCH_WORLDS names the worlds, with commas. Points are of 1,000 visits in the second half,
on the states that each life came to.

Run: python -m tests.benchmarks.simulate
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np

from bandits.exploration import Exploration
from bandits.recipe import Recipe
from bandits.trials import Life, Trial, judged
from recsys.bank.switches import DUD_DAY, NEW_PRODUCT_DAY, Switches
from recsys.rewards import FORMS, load, parse
from recsys.vocabulary import ProductId
from serving.simulating import in_order, run, summary, table, trials_of

WORLDS = ("plain", "thresholds", "types")
WANTED = 0.5
RECIPE = Recipe(
    "linear", "linear", exploration=Exploration("epsilon_greedy", epsilon=0.02, quota=0.2, new_until=2_000.0)
)
EARLY = """
low = -1.0
high = 12.0
[[stage]]
name = "tapped"
window = "1d"
grace = "1d"
worth = 0.0
[[stage]]
name = "opened"
given = "tapped"
window = "1d"
grace = "1d"
worth = "value"
[[stage]]
name = "dismissed"
window = "1d"
grace = "1d"
worth = -0.12
"""
CORRECTED = EARLY.replace('worth = "value"', 'worth = "value"\nhorizon = "60d"')
WHOLE = EARLY.replace('given = "tapped"\nwindow = "1d"', 'given = "tapped"\nwindow = "30d"')


def main() -> None:
    """Print every table."""
    customers, days, seeds = map(int, os.environ.get("RECSYS_BENCH_SIMULATE", "1000x120x1").split("x"))
    worlds = tuple(os.environ.get("RECSYS_BENCH_WORLDS", ",".join(WORLDS)).split(","))
    _forms(customers, days, seeds, worlds=worlds)
    trial = Trial(recipe=RECIPE, rewards=load(), customers=customers, days=days)
    _positions(trial)
    _delays(trial)
    _slices(trial)
    _newcomers(trial)


def _forms(customers: int, days: int, seeds: int, *, worlds: tuple[str, ...]) -> None:
    started = time.process_time()
    recipes = [replace(RECIPE, reward=form) for form in FORMS]
    trials = trials_of(
        recipes, rewards=load(), worlds=worlds, seeds=range(1, seeds + 1), customers=customers, days=days,
        slice_share=0.0,
    )  # fmt: skip
    rows = summary(in_order(run(trials, jobs=1), trials=trials))
    spent = time.process_time() - started
    print(f"{customers:,} customers x {days} days x {seeds} seeds; {spent / len(trials):.0f} CPU s a trial")
    print(table(rows))
    relative = {form: np.mean([row["relative"] for row in rows if row["policy"].endswith(form)]) for form in FORMS}
    earned = {form: np.mean([row["earned"] for row in rows if row["policy"].endswith(form)]) for form in FORMS}
    print(f"relative, mean over worlds (wanted of incremental: {WANTED}): ", end="")
    print(", ".join(f"{form} {value:.2f}" for form, value in relative.items()))
    print(f"S-8 incremental earns {earned['incremental'] / earned['attributed']:.3f} of attributed")


def _lived(trial: Trial) -> tuple[Life, float]:
    life = Life(trial)
    for _ in life.days():
        pass
    return life, 1000 * judged(life, since=trial.days // 2).earned


def _positions(trial: Trial) -> None:
    aware, blind = _lived(trial)[1], _lived(replace(trial, blind=True))[1]
    print(
        f"S-4 position-aware earns {aware:.2f}, position-blind {blind:.2f}: ratio {aware / blind:.3f} (wanted above 1)"
    )


def _delays(trial: Trial) -> None:
    """Of visits to whom a slow product is truly worth more than a pot: how often the learner says so too."""
    for name, text in (("closed at 24 h", EARLY), ("24 h, corrected", CORRECTED), ("30 days", WHOLE)):
        life, earned = _lived(replace(trial, rewards=parse(text, where=name)))
        right = [_ranked(life, slow) for slow in ("cash-isa", "fixed-1y", "pension")]
        told = ", ".join(f"{slow} {share:.2f}" for slow, share in right)
        print(f"S-5 {name:<16} earns {earned:.2f}; ranks above the pot where it is worth more: {told}")


def _ranked(life: Life, slow: ProductId) -> tuple[ProductId, float]:
    kept = [sight for sight in life.sights if sight.number >= life.trial.days // 2]
    pot, other = life.products.index("pot"), life.products.index(slow)
    planted = [s.suited[:, pot] & s.suited[:, other] & (s.values[:, other] > s.values[:, pot]) for s in kept]
    told = [s.scores[each, other] > s.scores[each, pot] for s, each in zip(kept, planted, strict=True)]
    return slow, float(np.concatenate(told).mean())


def _slices(trial: Trial) -> None:
    """What exploring costs: a share of slots under a floor, or as large a share of visits."""
    greedy = replace(RECIPE, exploration=Exploration("greedy"))
    floor = replace(RECIPE, exploration=Exploration("epsilon_greedy", epsilon=0.05))
    for name, each in (
        ("5 % of slots", replace(trial, recipe=floor)),
        ("5 % of visits", replace(trial, recipe=greedy, slice_share=0.05)),
        ("2 % of slots", trial),
    ):
        print(f"exploration in {name:<14} earns {_lived(each)[1]:.2f}")


def _newcomers(trial: Trial) -> None:
    """S-6: shares of first slots among all visits, a fortnight after a launch."""
    days = DUD_DAY + 15
    life = Life(replace(trial, days=days, switches=replace(Switches(), new_product=True, dud=True)))
    lived = list(life.days())
    for product, launch, wanted in (
        ("rainy-day", NEW_PRODUCT_DAY, "at least .8 of its oracle's"), ("metal-card", DUD_DAY, "below .05"),
    ):  # fmt: skip
        column = life.products.index(product)
        last = lived[launch + 10 : launch + 15]
        ours, best = (float(np.mean([getattr(day, name)[column] for day in last])) for name in ("first", "first_best"))
        print(
            f"S-6 {product}: {ours:.3f} of first slots on days 10 to 14, {best:.3f} of the oracle's (wanted {wanted})"
        )


if __name__ == "__main__":
    main()
