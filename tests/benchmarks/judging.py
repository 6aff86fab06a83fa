"""Off-policy estimates: their speed against the plainest numpy of the same sums, and the gate's error rates.

Run: python -m tests.benchmarks judging; parts of it with JUDGING=speed,stream,gate, and streams of other lengths
with MILLIONS=1,10,100. The tables of the last full run lie beside this file (judging.txt).
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from bandits import estimators
from bandits.batches import Batch
from bandits.evaluation import ESTIMATORS, Panel, chosen
from bandits.gate import Terms, ruled
from recsys.vocabulary import Floats
from serving.judged_table import judge_table
from tests.gate_worlds import CHAMPION, Log, candidate_worth, green

ROUNDS, PRODUCTS = 1_000_000, 10
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
    ways = (
        ("the plainest numpy of the sums", plain),
        ("checked contributions", ours),
        ("a panel: clustered intervals, diagnostics", panelled),
    )
    took = _in_turn([work for _, work in ways], times=9)
    print(f"{ROUNDS:,} rounds × {PRODUCTS} products; IPS, SNIPS and DR")
    print(f"{'':44} {'s':>7} {'rounds/s':>12} {'speed':>6}")
    for (name, _), seconds in zip(ways, took, strict=True):
        print(f"{name:44} {seconds:>7.3f} {ROUNDS / seconds:>12,.0f} {took[0] / seconds:>6.2f}")
    print(f"peak memory {_peak():,.0f} MiB\n")


def stream() -> None:
    """Parquet files of a million rounds, read again and again: cost by round, and memory that stays."""
    sizes = [int(each) for each in os.environ.get("MILLIONS", "1,10").split(",")]
    print("Parquet files of 1,000,000 rounds of 200,000 units, judged as `recsys evaluate --log` does; peak by process")
    print(f"{'rounds':>12} {'':44} {'s':>8} {'rounds/s':>12} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        plain, full = Path(folder) / "plain.parquet", Path(folder) / "full.parquet"
        write(np.random.default_rng(2), plain=plain, full=full)
        for path, what in (
            (plain, "weights alone: IPS, SNIPS"),
            (full, "distributions, a reward model in a first pass"),
        ):
            for millions in sizes:
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
                    took, peak = aside.submit(_streamed, path, millions).result()
                rounds = millions * ROUNDS
                print(f"{rounds:>12,} {what:44} {took:>8.1f} {rounds / took:>12,.0f} {peak:>9,.0f}", flush=True)
    print()


def _streamed(path: Path, millions: int) -> tuple[float, float]:
    """(seconds, peak MiB) of judging a file so many times over."""
    started = time.perf_counter()
    found = judge_table([path] * millions, policies=["new"])
    took = time.perf_counter() - started
    assert found.rounds == millions * ROUNDS
    return took, _peak()


def write(rng: np.random.Generator, *, plain: Path | None = None, full: Path | None = None) -> None:
    """A million rounds, with weights alone and with full distributions, to whichever file is named."""
    batch, _ = _batch(rng, n=ROUNDS)
    columns = {"unit": batch.unit, "reward": batch.reward, "propensity": batch.propensity}
    if plain is not None:
        pl.DataFrame(columns | {"new": batch.target}).write_parquet(plain)
    if full is None:
        return
    start = datetime(2026, 3, 2, tzinfo=UTC)
    made = pl.datetime_range(start, start + timedelta(days=60), interval="5s", eager=True)[:ROUNDS]
    more = {"made_at": made, "shown": batch.shown, "logged_pmf": batch.logged_pmf, "new": batch.target_pmf}
    pl.DataFrame(columns | more).with_columns(pl.col("shown").cast(pl.Int64)).write_parquet(full)


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
    for _ in range(2_000):
        log = Log.of(rng, n=4_000)
        families += any(passes(log, share=margin, towards=k % 2, look=k) for k in range(1, 11))
    told("of ten at the margin on one split, at least one passes", families, 2_000)
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


def _in_turn(works: Sequence[Callable[[], object]], *, times: int) -> list[float]:
    """The fastest run of each; in turn, so that a slow moment of the machine strikes all alike."""
    found = [float("inf")] * len(works)
    for _ in range(times):
        for row, work in enumerate(works):
            started = time.perf_counter()
            work()
            found[row] = min(found[row], time.perf_counter() - started)
    return found


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
