"""The bank beside the public figures, and how far policies lie apart in it, over seeds and worlds.

    python -m recsys.bank.describe                      # 2,000 customers, 30 days, seeds 1 to 3, all worlds
    python -m recsys.bank.describe 5000 60 plain        # customers, days, worlds

Measured with the first command; points per 1,000 home visits under seeds 1, 2 and 3, and the mean
share of the oracle:

    world       policy                     points               of the oracle
    plain       uniform                   1.81  1.68  1.68   .14
                popular                   3.11  3.40  3.31   .27
                best fixed list           5.78  5.08  5.29   .45
                best fixed by segment     6.54  5.81  6.02   .51
                tap-greedy, learnt        6.06  5.86  5.76   .49
                propensity, learnt        8.28  7.70  7.81   .66
                learnt from facts alone   8.09  7.12  7.34   .62
                best learnable            8.73  8.21  8.38   .70
                tap-greedy, knowing all   7.12  6.78  6.88   .57
                propensity, knowing all  10.62 10.14 10.15   .86
                oracle                   12.35 11.82 11.96   1
    thresholds  uniform                   1.91  1.80  1.85   .15
                popular                   2.61  2.93  2.73   .22
                best fixed list           5.83  4.84  5.49   .43
                best fixed by segment     6.61  5.80  6.33   .50
                tap-greedy, learnt        5.27  5.02  5.03   .41
                propensity, learnt        7.07  6.62  6.81   .55
                learnt from facts alone   7.24  6.22  6.86   .54
                best learnable            7.61  7.23  7.65   .60
                tap-greedy, knowing all   7.50  6.83  7.07   .57
                propensity, knowing all  10.81 10.01 10.26   .83
                oracle                   12.89 12.14 12.47   1
    types       uniform                   1.95  1.79  1.88   .16
                popular                   3.23  3.20  3.13   .27
                best fixed list           5.24  5.29  5.36   .44
                best fixed by segment     6.20  5.85  6.12   .51
                tap-greedy, learnt        5.00  4.62  4.62   .40
                propensity, learnt        7.00  6.69  6.80   .57
                learnt from facts alone   7.51  7.58  7.45   .63
                best learnable            7.83  7.69  7.60   .64
                tap-greedy, knowing all   6.28  6.22  6.10   .52
                propensity, knowing all  10.42 10.17 10.15   .85
                oracle                   12.20 11.90 11.90   1
    distances   uniform                   1.68  1.57  1.46   .14
                popular                   2.89  3.00  2.86   .27
                best fixed list           5.80  5.65  5.51   .52
                best fixed by segment     6.31  5.93  5.94   .56
                tap-greedy, learnt        4.67  4.66  4.57   .43
                propensity, learnt        7.05  6.82  6.94   .64
                learnt from facts alone   7.48  7.01  7.31   .67
                best learnable            7.77  7.53  7.72   .71
                tap-greedy, knowing all   5.22  5.03  5.13   .47
                propensity, knowing all   8.87  8.56  8.70   .80
                oracle                   11.04 10.77 10.77   1

Best learnable over best fixed list: plain 1.51, 1.62, 1.58; thresholds 1.31 to 1.49; types 1.42 to
1.49; distances 1.33 to 1.40. What is learnt of credit instead of value loses 5 to 13 % of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from recsys.bank import policies
from recsys.bank.money_figures import money_figures
from recsys.bank.occasions import SURFACES
from recsys.bank.outcomes import TAPPED, joined, taken
from recsys.bank.policies import Sights, home, joined_sights, sights_of, uniform_slates
from recsys.bank.truth import TRUTHS
from recsys.bank.visible import Watched
from recsys.bank.world import Bank
from recsys.bank.worlds import WORLDS

CORE = frozenset({"savings", "investing", "credit", "accounts"})
START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: a measured number, the band it should lie in, and where the band is from."""

    name: str
    value: float
    low: float
    high: float
    source: str

    @property
    def inside(self) -> bool:
        """Whether the number lies in its band."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True, slots=True)
class Worth:
    """One policy in one world under one seed."""

    world: str
    seed: int
    policy: str
    points: float  # per 1,000 home visits
    of_oracle: float
    relative: float  # 0 the best fixed list, 1 the best learnable


@dataclass(frozen=True, slots=True)
class Calibration:
    """Base rates beside public figures; the worth of policies in points per 1,000 home visits."""

    figures: tuple[Figure, ...]
    policies: Mapping[str, float]

    def __str__(self) -> str:
        """The two tables as text."""
        lines = [f"{'':44}{'here':>9}  {'band':<18}source"]
        for each in self.figures:
            mark = " " if each.inside else "!"
            lines.append(f"{each.name:44}{each.value:9.4g}{mark} {f'{each.low:g} to {each.high:g}':<18}{each.source}")
        top = self.policies["oracle"]
        lines += [f"{name:44}{worth:9.2f}  {worth / top:.3f} of the oracle" for name, worth in self.policies.items()]
        gain = self.policies["best learnable"] / self.policies["best fixed list"]
        return "\n".join([*lines, f"{'best learnable / best fixed list':44}{gain:9.2f}"])


def calibration(bank: Bank, *, days: int) -> Calibration:
    """Live `days` days of a fresh bank under uniform choice and describe what was seen."""
    n, home_surface = len(bank.customers), SURFACES.index("home")
    core = np.array([truth.family in CORE for truth in bank.truths.products])
    watched, parts, told = Watched(bank), list[Sights](), []
    logins, visits, core_openings, tool_openings, views = 0, 0, 0, 0, 0
    for _ in range(days):
        day = bank.begin_day()
        watched.look()
        arrivals = home(day.arrivals)
        parts.append(sights_of(bank, arrivals, watched=watched))
        shown = uniform_slates(parts[-1].suited, rows=arrivals.rows, slots=3, seed=bank.seed, number=day.number)
        told += [bank.respond_at(arrivals, shown), bank.later()]
        logins += len(day.sessions.rows)
        visits += len(arrivals)
        organic = bank.organic_at().columns
        core_openings += int(core[organic].sum())
        tool_openings += int((~core[organic]).sum())
        views += watched.fresh
    outcomes, sights = joined(told), joined_sights(parts)
    taps = taken(outcomes, (outcomes.kinds == TAPPED) & (outcomes.surfaces == home_surface))
    months = n * days / 30.4
    figures = (
        Figure("log-ins a customer and year", 365 * logins / n / days, 220, 300, "275 (UK Finance)"),
        Figure("home visits a customer and year", 365 * visits / n / days, 120, 220, "first log-ins of a day"),
        Figure("home taps a visit, uniform", len(taps) / visits, 0.007, 0.035, "about .01 (ND.edu)"),
        Figure(
            "share of taps on the first place",
            float((taps.places == 0).sum()) / max(len(taps), 1),
            0.5,
            0.7,
            "half or more (York)",
        ),
        Figure("organic core openings a customer and month", core_openings / months, 0.02, 0.06, ".03 (Santander)"),
        Figure("organic use of tools a customer and month", tool_openings / months, 0.05, 0.3, "assumed"),
        Figure(
            "in the market for something", float(bank.response.intents.browsing.any(axis=1).mean()), 0.2, 0.6, "assumed"
        ),
        Figure("page views a customer and month", views / months, 1.0, 12.0, "assumed"),
    )
    worths = policies.worths(sights.half(0), sights.half(1), examination=bank.examination("home"))
    money = money_figures(
        bank.customers,
        hidden=bank.response.people.hidden,
        seed=bank.seed,
        start=bank.start,
        limit=bank.overdrafts(),
        switches=bank.switches,
    )
    rows = (*figures, *(Figure(*each) for each in money))
    return Calibration(rows, {name: 1_000.0 * float(each.mean()) for name, each in worths.items()})


def policy_table(
    *, customers: int, days: int, seeds: Sequence[int] = (1, 2, 3), worlds: Sequence[str] = tuple(WORLDS)
) -> Iterator[Worth]:
    """What each reference policy is worth in each world under each seed; one run of the bank for each pair."""
    for world in worlds:
        for seed in seeds:
            bank = Bank.create(customers=customers, seed=seed, start=START, catalogue=tuple(TRUTHS), world=world)
            sights = policies.live(bank, days=days)
            worths = policies.worths(sights.half(0), sights.half(1), examination=bank.examination("home"))
            points = {name: 1_000.0 * float(each.mean()) for name, each in worths.items()}
            fixed, learnable = points["best fixed list"], points["best learnable"]
            for name, worth in points.items():
                relative = policies.relative(worth, fixed=fixed, learnable=learnable)
                yield Worth(world, seed, name, worth, worth / points["oracle"], relative)


def main(arguments: Sequence[str]) -> None:
    """Print the table of base rates and that of policies."""
    customers, days = (int(each) for each in [*arguments[:2], *("2000", "30")[len(arguments[:2]) :]])
    bank = Bank.create(customers=customers, seed=1, start=START, catalogue=tuple(TRUTHS))
    print(calibration(bank, days=days), flush=True)
    for each in policy_table(customers=customers, days=days, worlds=tuple(arguments[2:]) or tuple(WORLDS)):
        print(
            f"{each.world:12}{each.seed:3} {each.policy:28}{each.points:8.2f}"
            f"{each.of_oracle:8.3f} of the oracle{each.relative:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
