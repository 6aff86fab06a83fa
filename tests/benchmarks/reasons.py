"""What reasons add to a decision of three slots, beside scoring its candidates and the whole decision, in one run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bandits.drawing import Drawn
from recsys.vocabulary import Decision
from serving.bootstrap import Installation
from tests.reason_worlds import taught

ROUNDS = 7
BUDGET_US = 100.0


def main() -> None:
    """Print microseconds a decision for each recipe: explaining, scoring, and all of it."""
    with tempfile.TemporaryDirectory() as folder, taught(Path(folder), customers=300, days=18) as world:
        print(f"{'recipe':>12} {'reasons µs':>11} {'scores µs':>10} {'decision µs':>12} {'reasons a slot':>15}")
        for name in ("linear", "vowpal", "popularity", "uniform"):
            home = world.home(name)
            made = [each for each in world.live(home, days=2) if len(each.shown) == 3 and each.mode == "live"][:300]
            explaining, scoring = _timed(_explain(home, made), made), _timed(_score(home, made), made)
            whole = float(np.median([each.latency_us for each in made]))
            given = np.mean([len(slot.reasons) for each in made for slot in each.shown])
            verdict = "" if explaining <= BUDGET_US else f"  above the budget of {BUDGET_US:g}"
            print(f"{name:>12} {explaining:>11.1f} {scoring:>10.1f} {whole:>12.0f} {given:>15.2f}{verdict}")


def _timed(work: Callable[[Decision], object], made: list[Decision]) -> float:
    """Microseconds a decision, the best of a few rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for decision in made:
            work(decision)
        best = min(best, time.perf_counter() - started)
    return best / len(made) * 1e6


def _explain(home: Installation, made: list[Decision]) -> Callable[[Decision], object]:
    live = home.live.policy(home.settings.champion)
    assert live is not None
    catalogue = home.offers.current.catalogue
    drawn = {each.decision_id: _drawn(each) for each in made}
    return lambda each: home.explainer.reasons(
        drawn[each.decision_id],
        policy=live.policy,
        context=each.context,
        candidates=each.candidates,
        catalogue=catalogue,
        facts=each.facts,
        path="personalised",
    )


def _score(home: Installation, made: list[Decision]) -> Callable[[Decision], object]:
    live = home.live.policy(home.settings.champion)
    assert live is not None
    return lambda each: live.policy.scores(each.context, each.candidates)


def _drawn(decision: Decision) -> Drawn:
    products = [each.product_id for each in decision.candidates]
    rows = tuple(products.index(slot.product_id) for slot in decision.slots)
    return Drawn(decision.scores, decision.pmfs, rows, tuple(slot.propensity for slot in decision.slots))


if __name__ == "__main__":
    main()
