"""The bank beside the public figures, and how far policies lie apart in it, over seeds and worlds.

    python -m recsys.bank.describe                      # 2,000 customers, 30 days, seeds 1 to 3, all worlds
    python -m recsys.bank.describe 5000 60 plain        # customers, days, worlds

Measured with the first command; points per 1,000 home visits under seeds 1, 2 and 3, and the mean
share of the oracle:

    world       policy                     points               of the oracle
    plain       uniform                  1.67  1.62  1.74   .14
                popular                  2.94  2.70  3.02   .24
                best fixed list          4.99  5.00  5.07   .42
                best fixed by segment    6.08  6.02  5.95   .50
                tap-greedy, learnt       5.38  5.09  5.28   .43
                propensity, learnt       7.32  7.12  7.26   .60
                learnt from facts alone  7.54  7.40  7.61   .62
                best learnable           8.19  8.17  8.31   .68
                tap-greedy, knowing all  6.36  6.13  6.14   .51
                propensity, knowing all  9.71  9.37  9.61   .79
                oracle                  12.10 11.92 12.19   1
    thresholds  uniform                  1.75  1.79  1.85   .14
                popular                  2.63  2.28  2.49   .20
                best fixed list          4.88  5.37  5.44   .42
                best fixed by segment    5.96  6.19  6.20   .49
                tap-greedy, learnt       4.54  4.58  4.64   .37
                propensity, learnt       6.21  6.41  6.48   .51
                learnt from facts alone  6.38  6.91  6.98   .54
                best learnable           7.09  7.45  7.78   .59
                tap-greedy, knowing all  6.43  6.68  6.54   .52
                propensity, knowing all  9.63  9.71  9.90   .78
                oracle                  12.28 12.61 12.77   1
    types       uniform                  1.92  1.80  1.89   .15
                popular                  2.99  2.80  2.75   .23
                best fixed list          5.22  5.24  5.26   .43
                best fixed by segment    6.02  6.03  6.15   .49
                tap-greedy, learnt       4.47  4.06  4.32   .35
                propensity, learnt       6.55  6.38  6.43   .52
                learnt from facts alone  7.41  7.34  7.31   .60
                best learnable           7.78  7.71  7.64   .63
                tap-greedy, knowing all  5.88  5.27  5.67   .46
                propensity, knowing all 10.03  9.38  9.81   .79
                oracle                  12.53 12.05 12.36   1
    distances   uniform                  1.52  1.53  1.57   .14
                popular                  2.47  2.43  2.57   .23
                best fixed list          5.19  5.29  5.12   .47
                best fixed by segment    5.80  5.84  5.64   .52
                tap-greedy, learnt       4.30  4.09  4.10   .38
                propensity, learnt       6.37  6.32  6.37   .58
                learnt from facts alone  7.08  7.34  7.10   .65
                best learnable           7.57  7.67  7.60   .69
                tap-greedy, knowing all  4.75  4.47  4.50   .41
                propensity, knowing all  8.06  7.84  8.01   .72
                oracle                  11.02 10.99 11.05   1

Best learnable over best fixed list: plain 1.63 to 1.64; thresholds 1.39 to 1.45; types 1.45 to
1.49; distances 1.45 to 1.48.
Ranking by attributed conversions, knowing every chance, loses of the oracle: plain 20 to 21 %;
thresholds 22 to 23 %; types 20 to 22 %; distances 27 to 29 %.
Learnt, it loses of the best learnable: plain 11 to 13 %; thresholds 12 to 17 %; types 16 to 17 %;
distances 16 to 18 %; taps lose 34 to 47 %.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from recsys.bank import policies
from recsys.bank.figures import HEAD, Figure
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
        top = self.policies["oracle"]
        worths = [f"{name:44}{worth:9.2f}  {worth / top:.3f}" for name, worth in self.policies.items()]
        second = f"{'points of 1,000 home visits':44}{'here':>9}  of the oracle"
        gain = self.policies["best learnable"] / self.policies["best fixed list"]
        last = f"{'best learnable / best fixed list':44}{gain:9.2f}"
        return "\n".join([HEAD, *map(str, self.figures), "", second, *worths, last])


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
    rates: dict[str, float] = {
        "log-ins a customer and year": 365 * logins / n / days,
        "home visits a customer and year": 365 * visits / n / days,
        "home taps a log-in, uniform": len(taps) / logins,
        "share of taps on the first place": float((taps.places == 0).sum()) / max(len(taps), 1),
        "organic core openings a customer and month": core_openings / months,
        "organic use of tools a customer and month": tool_openings / months,
        "in the market for something": float(bank.response.intents.browsing.any(axis=1).mean()),
        "page views a customer and month": views / months,
    }
    worths = policies.worths(sights.half(0), sights.half(1), examination=bank.examination("home"))
    money = money_figures(
        bank.customers,
        hidden=bank.response.people.hidden,
        seed=bank.seed,
        start=bank.start,
        limit=bank.overdrafts(),
        switches=bank.switches,
    )
    rows = (*(Figure(name, value) for name, value in rates.items()), *money)
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
