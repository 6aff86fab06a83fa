"""Experiments: how often the methods cry wolf, what they find, and what a page costs.

Every rate is over simulated experiments with its binomial standard error; nominal rates are the reference.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.counting import Counting, Counts, Day
from recsys.differences import Difference, adjusted, of_means
from recsys.effects import watched
from recsys.looks import bounds
from recsys.metrics import default_metrics
from recsys.moments import Moments, Paired
from recsys.scorecards import scorecard_from, scorecard_of
from recsys.tails import normal_quantile
from recsys.vocabulary import Body, Floats
from tests.builders import at, decision, events, experiment, outcome

RUNS, DAYS, SIDE, BASE = 5_000, 28, 20_000, 0.04


def main() -> None:
    """Print every table."""
    rng = np.random.default_rng(20_261_127)
    print(f"{RUNS:,} experiments each, {DAYS} days, {SIDE:,} units a side, {BASE:.0%} base; ± is a standard error")
    print(f"{'method':44} {'A/A':>13} {'+10 %':>13} {'+15 %':>13} {'days to +15 %':>14}")
    by_lift = [_z(rng, lift) for lift in (0.0, 0.10, 0.15)]
    fractions = [k / DAYS for k in range(1, DAYS + 1)]
    fixed = np.full(DAYS, np.inf)
    fixed[-1] = normal_quantile(0.975)
    four = np.full(DAYS, np.inf)
    four[[6, 13, 20, 27]] = bounds([0.25, 0.5, 0.75, 1.0])
    methods = {
        "fixed, one look at the end": fixed,
        "group sequential, 4 looks": four,
        "group sequential, 28 looks": np.array(bounds(fractions)),
        "confidence sequence, looked at daily": _widths(2 * SIDE),
        "(trap) the fixed test, looked at daily": np.full(DAYS, normal_quantile(0.975)),
    }
    for name, edges in methods.items():
        crossed = [np.abs(z) > edges for z in by_lift]
        rates = [_rate(each.any(axis=1)) for each in crossed]
        found = crossed[2].any(axis=1)
        days = np.where(found, crossed[2].argmax(axis=1) + 1, DAYS).mean()
        print(f"{name:44} {rates[0]:>13} {rates[1]:>13} {rates[2]:>13} {days:>14.1f}")
    _bandit(rng, edges=np.array(bounds(fractions)))
    _cuped(rng)
    _turnout()
    _pages(rng)
    _rolling()


def _z(rng: np.random.Generator, lift: float) -> Floats:
    """(runs, days): the standardised difference at the close of each day."""
    control, variant = (_wins(rng, BASE), _wins(rng, BASE * (1.0 + lift)))
    return _standardised(control, variant)


def _wins(rng: np.random.Generator, rate: float) -> Floats:
    sizes = np.diff(np.round(np.linspace(0, SIDE, DAYS + 1))).astype(int)
    return np.asarray(rng.binomial(sizes, rate, size=(RUNS, DAYS)).cumsum(axis=1), dtype=np.float64)


def _standardised(control: Floats, variant: Floats) -> Floats:
    n = np.round(np.linspace(0, SIDE, DAYS + 1))[1:]
    c, v = control / n, variant / n
    error = np.sqrt((c * (1 - c) + v * (1 - v)) / (n - 1))
    return np.asarray((v - c) / np.maximum(error, 1e-12))


def _widths(planned: int) -> Floats:
    """(days,) half-widths of the confidence sequence in standard errors."""
    n = np.round(np.linspace(0, SIDE, DAYS + 1))[1:]
    return np.array([watched(Difference(0.0, 1.0, None, 0.0, int(k), int(k)), planned=planned).high for k in n])


def _rate(found: Sequence[bool] | np.ndarray) -> str:
    share = float(np.mean(found))
    return f"{share:.1%} ± {math.sqrt(share * (1 - share) / len(found)):.1%}"


def _bandit(rng: np.random.Generator, *, edges: Floats) -> None:
    """A learner that draws among five equal arms by Thompson sampling, day by day, against a fixed hold-out (S-11)."""
    arms, per_day = 5, SIDE // DAYS
    wins, losses = np.ones((RUNS, arms)), np.ones((RUNS, arms))
    total = np.zeros((RUNS, DAYS))
    for day in range(DAYS):
        draws = rng.beta(wins[:, None, :], losses[:, None, :], size=(RUNS, 40, arms)).argmax(axis=2)
        shares = np.stack([(draws == arm).mean(axis=1) for arm in range(arms)], axis=1)
        counts = rng.multinomial(per_day, shares)
        won = rng.binomial(counts, BASE)
        wins, losses, total[:, day] = wins + won, losses + counts - won, won.sum(axis=1)
    hold_out = rng.binomial(per_day, BASE, size=(RUNS, DAYS)).cumsum(axis=1)
    n = per_day * np.arange(1, DAYS + 1)
    c, v = hold_out / n, total.cumsum(axis=1) / n
    z = (v - c) / np.maximum(np.sqrt((c * (1 - c) + v * (1 - v)) / n), 1e-12)
    print("\nA/A under a learning bandit (Thompson, five equal arms):")
    print(f"  policy against hold-out, group sequential, 28 looks   {_rate((np.abs(z) > edges).any(axis=1))}")
    print(
        f"  policy against hold-out, confidence sequence, daily   {_rate((np.abs(z) > _widths(2 * SIDE)).any(axis=1))}"
    )
    rate = (wins - 1) / np.maximum(wins + losses - 2, 1)
    best, rest = rate.max(axis=1), rate.min(axis=1)
    more = np.median(best[rest > 0] / rest[rest > 0]) - 1
    print(f"  (trap) inside the bandit the best arm looks {more:.0%} better than the worst; none is")


def _cuped(rng: np.random.Generator) -> None:
    before, plain, found, truth = rng.normal(size=(400, 2, 2_000)), [], [], 0
    after = before + rng.normal(size=before.shape)  # the time before explains half
    for x, y in zip(before, after, strict=True):
        c, v = Paired.of_arrays(y[0], x[0]), Paired.of_arrays(y[1], x[1])
        plain.append(of_means(c.alone, variant=v.alone).absolute)
        with_before = adjusted(c, variant=v)
        found.append(with_before.absolute)
        truth += abs(with_before.absolute) <= 1.96 * with_before.error
    ratio = float(np.var(found) / np.var(plain))
    print(f"\nCUPED where the time before explains half: variance × {ratio:.3f}; covers {truth / 400:.1%}")


def _turnout() -> None:
    """The published field experiment on voting (Gerber, Green and Larimer 2008), where its table is at hand."""
    path = Path(os.environ.get("SOCIAL_PRESSURE", "/work/shared/data/social_pressure_gotv.parquet"))
    if not path.exists():
        print("\nTurnout: set SOCIAL_PRESSURE to the experiment's Parquet file to reproduce the published shares")
        return
    table = pl.read_parquet(path)
    sides = {
        str(name): Paired.of_arrays(rows["primary2006"].to_numpy(), rows["primary2004"].to_numpy())
        for (name,), rows in table.group_by("messages")
    }
    control = sides.pop("Control")
    print(f"\nTurnout of {len(table):,} people; published 29.7 / 31.5 / 32.2 / 37.8 %")
    print(f"  {'Control':12} {control.alone.mean:.1%}")
    for name, side in sorted(sides.items(), key=lambda pair: pair[1].alone.mean):
        plain, with_before = of_means(control.alone, variant=side.alone), adjusted(control, variant=side)
        ratio = (with_before.error / plain.error) ** 2
        print(
            f"  {name:12} {side.alone.mean:.1%}   {plain.absolute:+.2%} ± {plain.error:.2%}; with the vote of 2004 "
            f"{with_before.absolute:+.2%} ± {with_before.error:.2%} (variance × {ratio:.3f})"
        )


def _pages(rng: np.random.Generator) -> None:
    """Fifty experiments, two million exposures each, from daily sums."""
    metrics = default_metrics({"pot": 1.0})
    seconds = []
    for number in range(50):
        counts = _counts(rng, n=2_000_000, metrics=[m.name for m in metrics])
        one = replace(experiment(f"e-{number}"), planned_units=2_000_000)
        started = time.perf_counter()
        scorecard_from(counts, experiment=one, metrics=metrics).to_json()
        seconds.append(time.perf_counter() - started)
    print("\nScorecards of 50 experiments over 100 million exposures, from daily sums (bound: 1 s each):")
    print(f"  first {seconds[0]:.3f} s, median {np.median(seconds):.3f} s, slowest {max(seconds):.3f} s")


def _counts(rng: np.random.Generator, *, n: int, metrics: Sequence[str]) -> Counts:
    days, so_far = [], {v: Moments() for v in ("popularity", "bandit")}
    for k in range(42):
        read, closing = {}, {}
        for variant in so_far:
            units = n // 56 if k < 28 else 0
            won = int(rng.binomial(units, BASE)) if units else 0
            so_far[variant] += Moments(units, won, won)
            closing[variant] = dict.fromkeys(metrics, so_far[variant])
            ready = n // 56 if k >= 14 else 0
            good = int(rng.binomial(ready, BASE)) if ready else 0
            read[variant] = dict.fromkeys(metrics, Paired(ready, good, good, good, good, good // 2))
        days.append(Day(date(2026, 3, 2) + timedelta(days=k), closing, read))
    return Counts(tuple(days), n, 0, 0, at(45))


def _rolling() -> None:
    """The same log counted in one go, and counted half way, put aside, taken up and counted on."""
    metrics, n = default_metrics({"pot": 1.0}), 20_000
    bodies: list[Body] = []
    for k in range(n):
        variant = ("popularity", "bandit")[k % 2]
        bodies.append(decision(f"d{k}", token=f"t{k}", made_at=at(k / n * 20), experiments={"home-bandit": variant}))
        if k % 7 == 0:
            bodies.append(outcome(f"o{k}", token=f"t{k}", kind="opened", happened_at=at(k / n * 20 + 0.1)))
    log = events(bodies)
    whole = Counting(experiment(), metrics=metrics)
    started = time.perf_counter()
    for event in log:
        whole.feed(event)
    card = scorecard_of(whole, as_of=at(45))
    seconds = time.perf_counter() - started
    half = Counting(experiment(), metrics=metrics)
    for event in log[: len(log) // 2]:
        half.feed(event)
    scorecard_of(half)
    resumed = Counting(experiment(), metrics=metrics)
    started = time.perf_counter()
    resumed.resume(half.state())
    again = time.perf_counter() - started
    for event in log[len(log) // 2 :]:
        resumed.feed(event)
    same = scorecard_of(resumed, as_of=at(45)).to_json() == card.to_json()
    print(f"\nRoll-up of {len(log):,} events: {len(log) / seconds:,.0f} a second; taken up half way in {again:.2f} s, "
          f"and then {'equal' if same else 'NOT EQUAL'} to a recount, to the last digit")  # fmt: skip
