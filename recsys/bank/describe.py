"""The bank beside the public figures, and how far policies lie apart in it, over seeds and worlds.

    python -m recsys.bank.describe                      # 2,000 customers, 30 days, seeds 1 to 3, all worlds
    python -m recsys.bank.describe 5000 60 plain        # customers, days, worlds

MEASURED
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from recsys.bank import policies
from recsys.bank.happenings import SURFACES
from recsys.bank.outcomes import TAPPED, joined, taken
from recsys.bank.policies import Sights, home, joined_sights, sights_of, uniform_slates
from recsys.bank.truth import TRUTHS
from recsys.bank.visible import Watched
from recsys.bank.world import Bank
from recsys.bank.worlds import WORLDS
from recsys.vocabulary import FactValue

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
        return "\\n".join([*lines, f"{'best learnable / best fixed list':44}{gain:9.2f}"])


def calibration(bank: Bank, *, days: int) -> Calibration:
    """Live `days` days of a fresh bank under uniform choice and describe what was seen."""
    n, home_surface = len(bank.customers), SURFACES.index("home")
    sheets = [sheet for _, sheet in bank.facts(range(n))]
    savings = np.array([_number(sheet["savings_pence"]) for sheet in sheets])
    core = np.array([truth.family in CORE for truth in bank.truths.products])
    watched, parts, told = Watched(bank), list[Sights](), []
    visits, core_openings, tool_openings, views, low_days = 0, 0, 0, 0, 0.0
    for _ in range(days):
        day = bank.begin_day()
        watched.look()
        arrivals = home(day.arrivals)
        parts.append(sights_of(bank, arrivals, watched=watched))
        shown = uniform_slates(parts[-1].suited, rows=arrivals.rows, slots=3, seed=bank.seed, number=day.number)
        told += [bank.respond_at(arrivals, shown), bank.later()]
        visits += len(arrivals)
        organic = bank.organic_at().columns
        core_openings += int(core[organic].sum())
        tool_openings += int((~core[organic]).sum())
        views += watched.fresh
        low_days += float(np.mean([_low(sheet) for _, sheet in bank.facts(range(n))])) / days
    outcomes, sights = joined(told), joined_sights(parts)
    taps = taken(outcomes, (outcomes.kinds == TAPPED) & (outcomes.surfaces == home_surface))
    months = n * days / 30.4
    figures = (
        Figure("home visits a customer and year", 365 * visits / n / days, 120, 300, "275 log-ins (UK Finance)"),
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
        Figure("low-balance share of days", low_days, 0.08, 0.25, ".145 (domain 3.10)"),
        Figure("no savings", float(np.mean(savings < 1)), 0.06, 0.2, ".10 (FCA)"),
        Figure("less than £1,000 saved", float(np.mean(savings < 100_000)), 0.2, 0.45, ".31 (FCA)"),
    )
    worths = policies.worths(sights.half(0), sights.half(1), examination=bank.examination("home"))
    return Calibration(figures, {name: 1_000.0 * float(each.mean()) for name, each in worths.items()})


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


def _low(sheet: Mapping[str, FactValue]) -> bool:
    return _number(sheet["balance_pence"]) < 0.1 * _number(sheet["monthly_income_pence"])


def _number(value: FactValue) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


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
