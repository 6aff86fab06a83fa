"""How often intervals hold the truth, and whether planted faults of a log are seen: on the synthetic bank.

Run: python -m tests.benchmarks coverage; parts of it with COVERAGE=intervals,sequences,faults,lives, other numbers of
replications with REPLICATIONS=500. The table of the last full run lies beside this file (coverage.txt).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from bandits import sequences
from bandits.evaluation import ESTIMATORS, Panel, chosen
from recsys.bank.logged import true_value
from recsys.bank.logs import log_of
from recsys.bank.slates import ArrayPolicy
from tests.judged_bank import CELLS, LOGGING, Population, bank_of, lived, population
from tests.planted import FAULTS, seen_of

REPLICATIONS = int(os.environ.get("REPLICATIONS", "5000"))
NAMES = ("ips", "snips", "dr", "sndr")
LEVEL = 0.95
BINS = ((0.0, 50.0), (50.0, 200.0), (200.0, np.inf))  # effective conversions: no interval, no promotion, both


def main() -> None:
    """Print one table a part."""
    wanted = os.environ.get("COVERAGE", "intervals,sequences,faults,lives").split(",")
    parts = {"intervals": of_intervals, "sequences": of_sequences, "faults": of_faults, "lives": of_lives}
    for name, part in parts.items():
        if name in wanted:
            part()


def of_intervals() -> None:
    """Nominal 95 % intervals, clustered by customer, of four estimators on three targets."""
    log = lived(customers=4_000, days=14)
    print(f"{REPLICATIONS:,} replications a row; share of {LEVEL:.0%} intervals that hold the true value of the target")
    print(
        f"(standard error of a share of 95 %: {_error(REPLICATIONS):.2%}); taps in the first slot of the home screen\n"
    )
    print(f"{'target':8} {'customers':>9} {'visits':>8} {'n_eff_conv':>10} " + " ".join(f"{n:>7}" for n in NAMES))
    cells = [(name, n) for name, n in (("mild", 7_500), ("greedy", 8_500), ("sharp", 10_000))]
    told: dict[tuple[float, float], list[np.ndarray]] = {each: [] for each in BINS}
    for name, customers in (("mild", 1_000), ("mild", 2_500), *cells):
        people, rng = population(log, CELLS[name]), np.random.default_rng(100 + customers)
        evidence, held, rounds = _covered(people, rng, customers=customers)
        shares = " ".join(f"{share:>7.2%}" for share in held.mean(axis=0))
        print(f"{name:8} {customers:>9,} {rounds:>8,.0f} {evidence.mean():>10,.0f} {shares}", flush=True)
        for low, high in BINS:
            told[low, high].append(held[(evidence >= low) & (evidence < high)])
    print("\nby the effective conversions that each log said it had")
    for (low, high), parts in told.items():
        held = np.concatenate(parts)
        if len(held):
            span = f"{low:,.0f} and more" if np.isinf(high) else f"{low:,.0f} to {high:,.0f}"
            print(f"{span:>28} {len(held):>9,} " + " ".join(f"{share:>7.2%}" for share in held.mean(axis=0)))
    print()


def _covered(people: Population, rng: np.random.Generator, *, customers: int) -> tuple[np.ndarray, np.ndarray, float]:
    """(R,) effective conversions, (R, estimators) whether the truth was held, mean rounds."""
    evidence, held, rounds = np.zeros(REPLICATIONS), np.zeros((REPLICATIONS, len(NAMES)), dtype=np.bool_), 0
    asked = chosen(ESTIMATORS, names=NAMES)
    for row in range(REPLICATIONS):
        panel = Panel("target", asked, level=LEVEL)
        panel.add(people.replication(rng, customers=customers))
        verdicts = panel.verdicts()
        evidence[row] = verdicts[0].diagnostics.effective_conversions
        held[row] = [each.interval.low <= people.truth <= each.interval.high for each in verdicts]
        rounds += verdicts[0].diagnostics.n
    return evidence, held, rounds / REPLICATIONS


def of_sequences() -> None:
    """Confidence sequences, wrong at a single one of all looks counted as wrong."""
    log, n = lived(customers=4_000, days=14), 20_000
    print(
        f"{REPLICATIONS:,} replications a row; share of {LEVEL:.0%} sequences that hold the truth at every look at once"
    )
    print(f"{'sequence':50} {'looks':>7} {'held':>7} {'width at the end, of the truth':>30}")
    for name, target in CELLS.items():
        people, rng = population(log, target), np.random.default_rng(7)
        kept = np.zeros((REPLICATIONS, 3))
        widths = np.zeros((REPLICATIONS, 3))
        for row in range(REPLICATIONS):
            batch = people.visits(rng, n=n)
            bound = sequences.empirical_bernstein(**batch.weighing, level=LEVEL)
            contributions = batch.q_target + batch.target / batch.propensity * (batch.reward - batch.q_logged)  # type: ignore[operator]
            soft = sequences.asymptotic(contributions, planned=n, level=LEVEL)
            weighed = batch.target / batch.propensity * batch.reward
            enough = np.cumsum(weighed) ** 2 >= 50.0 * np.maximum(np.cumsum(weighed**2), 1e-300)
            kept[row] = (_held(bound, people.truth), _held(soft, people.truth, enough), _held(soft, people.truth))
            widths[row] = (bound.high[-1] - bound.low[-1], *[soft.high[-1] - soft.low[-1]] * 2)
        said = ("empirical Bernstein", "asymptotic, from 50 effective conversions", "asymptotic, from the first row")
        for column, what in enumerate(said):
            width = widths[:, column].mean() / people.truth
            print(f"{name + ': ' + what:50} {n:>7,} {kept[:, column].mean():>7.2%} {width:>30.2f}", flush=True)
    held, looks = _learning_logger(population(log, CELLS["mild"]))
    print(f"{'a logger that learns: empirical Bernstein':50} {looks:>7,} {held:>7.2%}\n")


def _held(bounds: sequences.Sequence, truth: float, looks: np.ndarray | None = None) -> bool:
    wrong = (bounds.low > truth) | (bounds.high < truth)
    return not bool((wrong if looks is None else wrong & looks).any())


def _learning_logger(people: Population, *, looks: int = 2_000) -> tuple[float, int]:
    """Each log is drawn by a policy that turns greedy on what it has itself seen; propensities stay known."""
    rng, r = np.random.default_rng(8), np.arange(REPLICATIONS)
    choices = people.logged.shape[1]
    counts, sums = np.ones((REPLICATIONS, choices)), np.full((REPLICATIONS, choices), 0.02)
    rows = np.zeros((3, REPLICATIONS, looks))
    for look in range(looks):
        visit = rng.integers(0, len(people.logged), REPLICATIONS)
        open_ = people.logged[visit] > 0.0
        pmf = 0.3 * open_ / open_.sum(axis=1, keepdims=True)
        pmf[r, np.where(open_, sums / counts, -1.0).argmax(axis=1)] += 0.7
        shown = (pmf.cumsum(axis=1)[:, :-1] < rng.random((REPLICATIONS, 1))).sum(axis=1)
        reward = (rng.random(REPLICATIONS) < people.chance[visit, shown]).astype(np.float64)
        counts[r, shown] += 1.0
        sums[r, shown] += reward
        rows[:, :, look] = reward, pmf[r, shown], people.target[visit, shown]
    held = [
        _held(sequences.empirical_bernstein(reward=a, propensity=b, target=c, level=LEVEL), people.truth)
        for a, b, c in zip(*rows, strict=True)
    ]
    return float(np.mean(held)), looks


def of_faults(seeds: Sequence[int] = range(40)) -> None:
    """Each fault of domain 3.11 (S-3) planted in logs of several banks: how often a diagnostic sees it, and which."""
    print(f"{len(seeds)} banks of 3,000 customers and 10 days a row; how many logs had a finding (evidence apart)")
    print(f"{'fault':16} {'logs seen':>9}  by")
    for fault in (None, *FAULTS):
        seen = [seen_of(fault, seed=seed, customers=3_000, days=10) for seed in seeds]
        which = sorted({about for each in seen for about in each})
        print(f"{fault or 'none':16} {sum(map(bool, seen)):>9}  {', '.join(which)}", flush=True)
    print()


def of_lives(seeds: Sequence[int] = range(3), *, customers: int = 1_500, days: int = 28) -> None:
    """What a judgement at logged states cannot see: fatigue, ownership and consent as the target would leave them.

    The logging policy's bank and the target's meet the same dice; both values are exact expectations.
    """
    print(f"{len(seeds)} banks of {customers:,} customers and {days} days; points a visit to the home screen, exact")
    print(
        f"{'target':8} {'at logged states':>16} {'lived itself':>13} {'gap':>8} {'of what it gains on the logger':>31}"
    )
    for name, target in CELLS.items():
        judged, whole = np.array([_lives(target, seed=seed, customers=customers, days=days) for seed in seeds]).mean(
            axis=0
        )
        print(f"{name:8} {judged:>16.5f} {whole:>13.5f} {judged / whole - 1.0:>8.1%}", flush=True)
    print()


def _lives(target: ArrayPolicy, *, seed: int, customers: int, days: int) -> tuple[float, ...]:
    lives = [log_of(bank_of(customers, seed=seed), days=days, policy=each) for each in (LOGGING, target)]
    return tuple(true_value(target, log=log).mean for log in lives)


def _error(n: int) -> float:
    return float(np.sqrt(LEVEL * (1.0 - LEVEL) / n))


if __name__ == "__main__":
    main()
