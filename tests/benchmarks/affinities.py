"""What a bundle's affinity is worth to the default bandit: lives of the same bank under the same dice.

    without     no affinity at all
    a bundle's  two towers, trained and published from the taps of the first log, standardised by the bundle's reference
    page views  the stand-in of `recsys simulate`: how much a customer looked at the product's topic lately

The first log is uniform choice, in all three; from its end on each life is served by its own learner. Points are of
1,000 visits in the second half, on the states that each life came to; relative is 0 for the best fixed list and 1 for
the best that can be learnt from what a bank sees. RECSYS_BENCH_AFFINITY=2000x180x3 is customers x days x seeds.

Run: python -m tests.benchmarks.affinities
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bandits.recipe import parse_recipes
from bandits.trial_verdicts import judged
from bandits.trials import Life, Trial
from embeddings import bundle as bundles
from embeddings.encoding import encoder_of
from embeddings.nightly import BundleRefused, train_bundle
from embeddings.product_facts import ProductFacts
from recsys.bank.logs import log_of
from recsys.bank.slates import ArrayPolicy
from recsys.bank.wording import catalogue_text
from recsys.bank.world import Bank
from recsys.catalogue import parse
from recsys.rewards import load
from recsys.tracking import MemoryTracker
from recsys.vocabulary import Floats
from serving.settings import PACKAGE
from tests.benchmarks.choices import even, positives, spread

FIRST_LOG = 45  # days


def main() -> None:
    """A line for each life, then means over seeds."""
    customers, days, seeds = map(int, os.environ.get("RECSYS_BENCH_AFFINITY", "2000x180x2").split("x"))
    worlds = os.environ.get("RECSYS_BENCH_WORLDS", "plain").split(",")
    [recipe] = [each for each in parse_recipes((PACKAGE / "recipes.toml").read_text()) if each.name == "bandit"]
    print(f"{customers:,} customers x {days} days, of which {FIRST_LOG} are the first log; recipe {recipe.name}")
    for world in worlds:
        told: dict[str, list[tuple[float, float]]] = {}
        for seed in range(1, seeds + 1):
            trial = Trial(
                recipe=recipe, rewards=load(), world=world, seed=seed, customers=customers, days=days,
                first_log=FIRST_LOG,
            )  # fmt: skip
            lives: dict[str, Callable[[Floats], Floats] | None] = {
                "without": lambda visible, trial=trial: np.zeros((len(visible), len(trial.products))),
                "a bundle's": _near(trial),
                "page views": None,
            }
            for name, near in lives.items():
                began = time.process_time()
                life = Life(trial, near=near)
                for _ in life.days():
                    pass
                found = judged(life, since=days // 2)
                told.setdefault(name, []).append((found.relative, found.earned))
                earned, fixed, learnable = (1000 * each for each in (found.earned, found.fixed, found.learnable))
                print(
                    f"  {world:<11} seed {seed}  {name:<11} relative {found.relative:6.3f}   earned {earned:6.2f}   "
                    f"(best fixed {fixed:.2f}, best learnable {learnable:.2f})   {time.process_time() - began:.0f} s"
                )
        for name, rows in told.items():
            relative, earned = np.array(rows).mean(axis=0)
            more = np.array(rows)[:, 1] / np.array(told["without"])[:, 1] - 1
            print(
                f"  {world:<11} mean    {name:<11} relative {relative:6.3f}   earned {1000 * earned:6.2f}   "
                f"{more.mean():+.1%} beside none (by seed {', '.join(f'{each:+.1%}' for each in more)})"
            )


def _near(trial: Trial) -> Callable[[Floats], Floats]:
    """Train a bundle on the first log of a trial's bank; what is visible of customers → their affinities."""
    catalogue = trial.products
    bank = Bank.create(
        customers=trial.customers, seed=trial.seed, start=trial.start, catalogue=catalogue, world=trial.world,
        switches=trial.switches, surfaces=("home",), days=trial.days,
    )  # fmt: skip
    log = log_of(bank, days=FIRST_LOG, policy=ArrayPolicy("uniform@1", even, spread))
    products = ProductFacts.of_products(parse(catalogue_text(catalogue), where="bench").products)
    chosen = np.argwhere(log.tapped)  # (taps, 2) decision, slot
    decisions, rows = chosen[:, 0], log.columns[chosen[:, 0], chosen[:, 1]]
    data = positives(log, decisions, rows=rows, products=products).choosing_among(log.eligible[decisions])
    with tempfile.TemporaryDirectory() as home:
        try:
            artefact = train_bundle(
                data, products=products, root=Path(home), features_version="f", tracker=MemoryTracker(), seed=trial.seed
            )
        except BundleRefused as error:
            raise SystemExit(f"{trial.world}, seed {trial.seed}: {error}") from None
        bundle = bundles.opened(artefact, features_version="f")
        encoder = encoder_of(bundle)
    notes = artefact.manifest["notes"]
    print(
        f"  {trial.world:<11} seed {trial.seed}  bundle of {len(data):,} taps: recall@5 {notes['recall_at_5']:.3f} "
        f"against {notes['popularity_recall_at_5']:.3f} for popularity"
    )

    def near(visible: Floats) -> Floats:
        vectors = encoder.encode(visible, [()] * len(visible))
        return bundle.reference.affinities((vectors @ bundle.index.vectors.T).ravel()).reshape(len(visible), -1)

    return near


if __name__ == "__main__":
    main()
