"""Forms of the reward over worlds and seeds, and what the acceptance tests S-4 to S-8 ask of learning.

RECSYS_BENCH_SIMULATE=6000x365x3 is the standard size (customers x days x seeds; default 1000x120x1);
RECSYS_BENCH_WORLDS names the worlds, RECSYS_BENCH_FORMS the forms, and RECSYS_BENCH_PARTS the tables (forms, S-4, S-5,
slices, S-6, S-7), with commas. Points are of 1,000 visits in the second half, on the states that each life came to.
Every life begins with a first log of even slates: 60 days, or a sixth of them where there are fewer than 360.

Run: python -m tests.benchmarks.simulate
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bandits.exploration import Exploration
from bandits.recipe import Recipe
from bandits.trial_verdicts import judged
from bandits.trials import Life, Trial
from recsys.bank.personas import PERSONAS
from recsys.bank.switches import DUD_DAY, NEW_PRODUCT_DAY, RATE_CUT_DAY, Switches
from recsys.rewards import FORMS, load, parse
from recsys.vocabulary import ProductId
from serving.simulating import in_order, run, summary, table, trials_of

WORLDS = ("plain", "thresholds", "types")
WANTED = 0.5
RECIPE = Recipe(
    "linear",
    "linear",
    exploration=Exploration("epsilon_greedy", epsilon=0.02, quota=0.2, new_until=2_000.0),
    reward="incremental",
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
    """Print every table, or those asked for."""
    customers, days, seeds = map(int, os.environ.get("RECSYS_BENCH_SIMULATE", "1000x120x1").split("x"))
    worlds = tuple(os.environ.get("RECSYS_BENCH_WORLDS", ",".join(WORLDS)).split(","))
    trial = Trial(recipe=RECIPE, rewards=load(), customers=customers, days=days, first_log=_first_log(days))
    parts: dict[str, Callable[[], None]] = {
        "forms": lambda: _forms(customers, days, seeds, worlds=worlds),
        "S-4": lambda: _positions(trial),
        "S-5": lambda: _delays(trial),
        "slices": lambda: _slices(trial),
        "S-6": lambda: _newcomers(trial),
        "S-7": lambda: _cut(trial, seeds=seeds),
    }
    for name in os.environ.get("RECSYS_BENCH_PARTS", ",".join(parts)).split(","):
        parts[name]()


def _first_log(days: int) -> int:
    return min(60, days // 6)


def _forms(customers: int, days: int, seeds: int, *, worlds: tuple[str, ...]) -> None:
    started = time.process_time()
    forms = os.environ.get("RECSYS_BENCH_FORMS", ",".join(FORMS)).split(",")
    recipes = [replace(RECIPE, reward=form) for form in forms]
    trials = trials_of(
        recipes, rewards=load(), worlds=worlds, seeds=range(1, seeds + 1), customers=customers, days=days,
        slice_share=0.0, first_log=_first_log(days),
    )  # fmt: skip
    rows = summary(in_order(run(trials, jobs=1), trials=trials))
    spent = time.process_time() - started
    print(f"{customers:,} customers x {days} days x {seeds} seeds; {spent / len(trials):.0f} CPU s a trial")
    print(table(rows), flush=True)
    relative = {form: np.mean([row["relative"] for row in rows if row["policy"].endswith(form)]) for form in forms}
    earned = {form: np.mean([row["earned"] for row in rows if row["policy"].endswith(form)]) for form in forms}
    print(f"relative, mean over worlds (wanted of incremental: {WANTED}): ", end="")
    print(", ".join(f"{form} {value:.2f}" for form, value in relative.items()))
    if {"incremental", "attributed"} <= earned.keys():
        print(f"S-8 incremental earns {earned['incremental'] / earned['attributed']:.3f} of attributed", flush=True)


def _lived(trial: Trial) -> tuple[Life, float]:
    """A life, and what it earned in 1,000 visits of its second half."""
    life = Life(trial)
    days = list(life.days())
    return life, 1000 * float(np.mean([day.earned for day in days[trial.days // 2 :]]))


def _positions(trial: Trial) -> None:
    aware, blind = _lived(trial)[1], _lived(replace(trial, blind=True))[1]
    print(
        f"S-4 position-aware earns {aware:.2f}, position-blind {blind:.2f}: ratio {aware / blind:.3f} (wanted above 1)"
    )


def _delays(trial: Trial) -> None:
    """Of visits to whom a slow product is truly worth more than a pot: how often the learner says so too."""
    trial = replace(trial, recipe=replace(RECIPE, reward="attributed"))
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
    """S-6: shares of first slots on days 10 to 14 after a launch, beside the oracle's, and what 15 days earn.

    Of the good product among the persona that it is good for, of the dud among everybody; by a quota for what is new,
    and by a smaller one before optimism about whatever is not known well.
    """
    hopeful = replace(RECIPE, exploration=replace(RECIPE.exploration, quota=0.1, bonus=1.0))
    for product, launch, switches, persona, wanted in (
        ("rainy-day", NEW_PRODUCT_DAY, Switches(new_product=True), "payday to payday", "at least .8 of the oracle's"),
        ("metal-card", DUD_DAY, Switches(dud=True), None, "below .05"),
    ):
        days = range(launch, launch + 15)
        for how, recipe in (("quota .2", RECIPE), ("quota .1, bonus 1", hopeful)):
            life, _ = _lived(
                replace(trial, recipe=recipe, days=days.stop, switches=switches, sights=days, first_log=_first_log(365))
            )
            earned = 1000 * float(np.concatenate([each.earned for each in life.sights]).mean())
            ours, oracle = _first_shares(life, product, persona=persona, since=launch + 10)
            print(
                f"S-6 {product:<10} by {how:<17} {ours:.3f} of first slots of {persona or 'everybody'}, {oracle:.3f} "
                f"of the oracle's (wanted: {wanted}); earns {earned:.2f} since the launch",
                flush=True,
            )


def _first_shares(life: Life, product: ProductId, *, persona: str | None, since: int) -> tuple[float, float]:
    """How often a product stood first, and how often it would have in the best slates, of a persona or everybody."""
    kept, column = [sight for sight in life.sights if sight.number >= since], life.products.index(product)
    rows, first, values, suited = (
        np.concatenate([getattr(each, name) for each in kept]) for name in ("rows", "first", "values", "suited")
    )
    whom = np.ones(len(rows), dtype=np.bool_)
    if persona is not None:
        whom = life.bank.customers.persona[rows] == [each.name for each in PERSONAS].index(persona)
    worth = np.where(suited, values, -np.inf)
    best = np.where(worth.max(axis=1) > 0.0, worth.argmax(axis=1), -1)
    return float((first[whom] == column).mean()), float((best[whom] == column).mean())


def _cut(trial: Trial, *, seeds: int) -> None:
    """S-7: relative value before our savings pay a point less, in the first days after it, and on days 10 to 14."""
    day = RATE_CUT_DAY
    spans = {"before": (day - 10, day), "days 0 to 4": (day, day + 5), "days 10 to 14": (day + 10, day + 15)}
    for switched in (True, False):
        found: dict[str, list[float]] = {name: [] for name in spans}
        for seed in range(1, seeds + 1):
            life, _ = _lived(
                replace(
                    trial,
                    days=day + 15,
                    switches=Switches(rate_cut=switched),
                    sights=range(day - 10, day + 15),
                    first_log=_first_log(365),
                    seed=seed,
                )
            )
            for name, (since, until) in spans.items():
                found[name].append(judged(life, since=since, until=until).relative)
        told = {name: float(np.mean(each)) for name, each in found.items()}
        ratio = told["days 10 to 14"] / told["before"]
        print(
            f"S-7 {'rates cut' if switched else 'no cut':<10} relative "
            + ", ".join(f"{name} {value:.3f}" for name, value in told.items())
            + f": {ratio:.2f} of before{' (wanted: .9)' if switched else ''}",
            flush=True,
        )


if __name__ == "__main__":
    main()
