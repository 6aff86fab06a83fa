"""Off-policy estimates: their speed against the plainest numpy of the same sums, and the gate's error rates.

Run: python -m tests.benchmarks judging; parts of it with JUDGING=speed,stream,gate.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator

import numpy as np

from bandits import estimators
from bandits.batches import Batch
from bandits.evaluation import ESTIMATORS, Panel, chosen
from bandits.gate import Terms, ruled
from recsys.vocabulary import Floats
from tests.gate_worlds import CHAMPION, Log, candidate_worth, green

ROUNDS, PRODUCTS = 1_000_000, 10
STREAMED = (1_000_000, 10_000_000, 100_000_000)
BATCH = 250_000
NAMES = ("ips", "snips", "dr")
TERMS = Terms(margin=0.05)


def main() -> None:
    """Print one table a part."""
    wanted = os.environ.get("JUDGING", "speed,stream,gate").split(",")
    for name, part in (("speed", speed), ("stream", stream), ("gate", gate)):
        if name in wanted:
            part()


def speed() -> None:
    """IPS, SNIPS and DR with their clustered intervals, against sums alone, over full pmfs."""
    batch, model = _batch(np.random.default_rng(1), n=ROUNDS)
    assert batch.logged_pmf is not None
    assert batch.target_pmf is not None
    assert batch.shown is not None
    shown, rows = batch.shown.astype(np.int64), np.arange(ROUNDS)

    def plain() -> tuple[float, ...]:
        weight = batch.target_pmf[rows, shown] / batch.logged_pmf[rows, shown]  # type: ignore[index]
        q, q_target = model[rows, shown], (batch.target_pmf * model).sum(axis=1)  # type: ignore[operator]
        ips, total = (weight * batch.reward).mean(), weight.sum()
        return float(ips), float(ips * ROUNDS / total), float((q_target + weight * (batch.reward - q)).mean())

    def ours() -> tuple[float, ...]:
        target, q = batch.target_pmf[rows, shown], model[rows, shown]  # type: ignore[index]
        propensity = batch.logged_pmf[rows, shown]  # type: ignore[index]
        q_target = (batch.target_pmf * model).sum(axis=1)  # type: ignore[operator]
        weighing = {"reward": batch.reward, "propensity": propensity, "target": target}
        return (
            float(estimators.ips(**weighing).mean()),
            float(estimators.snips(**weighing).mean()),
            float(estimators.dr(**weighing, q_logged=q, q_target=q_target).mean()),
        )

    def panelled() -> tuple[float, ...]:
        panel = Panel("target@1", chosen(ESTIMATORS, names=NAMES))
        panel.add(batch)
        return tuple(verdict.interval.estimate for verdict in panel.verdicts())

    np.testing.assert_allclose(plain(), ours(), rtol=1e-9)
    np.testing.assert_allclose(plain(), panelled(), rtol=1e-9)
    base = _seconds(plain)
    print(f"{ROUNDS:,} rounds × {PRODUCTS} products; IPS, SNIPS and DR")
    print(f"{'':44} {'s':>7} {'rounds/s':>12} {'speed':>6}")
    for name, work in (
        ("the plainest numpy of the sums", plain),
        ("checked contributions", ours),
        ("a panel: clustered intervals, diagnostics", panelled),
    ):
        took = _seconds(work)
        print(f"{name:44} {took:>7.3f} {ROUNDS / took:>12,.0f} {base / took:>6.2f}")
    print(f"peak memory {_peak():,.0f} MiB\n")


def stream() -> None:
    """A panel over generated batches: cost by round, and memory that stays."""
    print(f"batches of {BATCH:,} rounds of 200,000 units, streamed through one panel (generation not counted)")
    print(f"{'rounds':>12} {'s':>8} {'rounds/s':>12} {'peak MiB':>9}")
    rng = np.random.default_rng(2)
    made = [_batch(rng, n=BATCH)[0] for _ in range(4)]  # met again and again: a log as long as one likes
    for rounds in STREAMED:
        panel = Panel("target@1", chosen(ESTIMATORS, names=NAMES))
        started = time.perf_counter()
        for batch in _again(made, times=rounds // BATCH):
            panel.add(batch)
        verdicts = panel.verdicts()
        took = time.perf_counter() - started
        assert verdicts[0].diagnostics.n == rounds
        print(f"{rounds:>12,} {took:>8.1f} {rounds / took:>12,.0f} {_peak():>9,.0f}")
    print()


def gate() -> None:
    """How often the gate lets pass what lies exactly at its margin, and what is better by 15 %."""
    rng, diagnostics = np.random.default_rng(3), (green(),)

    def passes(log: Log, *, share: float, towards: int, look: int) -> bool:
        value = log.measured(candidate_worth(share, towards=towards), CHAMPION)
        return ruled(value, guardrails=(), diagnostics=diagnostics, look=look, terms=TERMS).passed

    def told(what: str, passed: int, tried: int) -> None:
        share = passed / tried
        print(f"{what:60} {passed:>5} of {tried:,}: {share:.2%} ± {1.96 * np.sqrt(share * (1 - share) / tried):.2%}")

    margin = 1.0 - TERMS.margin
    alone = sum(passes(Log.of(rng, n=4_000), share=margin, towards=0, look=1) for _ in range(2_000))
    told("candidates exactly at the margin pass", alone, 2_000)
    families = 0
    for _ in range(500):
        log = Log.of(rng, n=4_000)
        families += any(passes(log, share=margin, towards=k % 2, look=k) for k in range(1, 11))
    told("of ten at the margin on one split, at least one passes", families, 500)
    for n in (1_000, 2_000, 5_000):
        better = sum(passes(Log.of(rng, n=n), share=1.15, towards=3, look=1) for _ in range(300))
        told(f"better by 15 % and much alike, taken 17 %, {n:,} rounds", better, 300)
    for n in (20_000, 50_000, 100_000, 200_000):
        told(f"better by 15 % and all different, taken 2 %, {n:,} rounds", _rare(rng, n=n, tried=200), 200)


def _rare(rng: np.random.Generator, *, n: int, tried: int) -> int:
    """How many of candidates that show another product nine times in ten pass, at a bank's base rates."""
    rates = np.array([0.02, 0.02 * 1.169, 0.01, 0.01, 0.01])  # 1.169 in nine of ten is 15 % in all
    champion, candidate = (np.full(5, 0.02) + 0.9 * np.eye(5)[row] for row in (0, 1))
    assert abs(candidate @ rates / (champion @ rates) - 1.15) < 0.01
    passed = 0
    for _ in range(tried):
        value = Log.of(rng, n=n, rates=rates).measured(candidate, champion)
        passed += ruled(value, guardrails=(), diagnostics=(green(),), look=1, terms=TERMS).passed
    return passed


def _batch(rng: np.random.Generator, *, n: int) -> tuple[Batch, Floats]:
    """Rounds with full pmfs and a model; a fifth of 100 units' rounds."""
    logged = 0.05 / PRODUCTS + 0.95 * rng.dirichlet(np.ones(PRODUCTS), n)
    target = rng.dirichlet(np.ones(PRODUCTS), n)
    shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=PRODUCTS - 1)
    rates, rows = np.linspace(0.02, 0.3, PRODUCTS), np.arange(n)
    model = rates + 0.02 * rng.normal(size=(n, PRODUCTS))
    batch = Batch(
        unit=rng.integers(0, 200_000, n).astype(np.uint64) * np.uint64(11_400_714_819_323_198_485),
        reward=(rng.random(n) < rates[shown]).astype(np.float64),
        propensity=logged[rows, shown],
        target=target[rows, shown],
        q_logged=model[rows, shown],
        q_target=(target * model).sum(axis=1),
        logged_pmf=logged,
        target_pmf=target,
        shown=shown.astype(np.float64),
    )
    return batch, model


def _again(made: list[Batch], *, times: int) -> Iterator[Batch]:
    for number in range(times):
        yield made[number % len(made)]


def _seconds(work: Callable[[], object], *, times: int = 5) -> float:
    """The fastest of some runs."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
