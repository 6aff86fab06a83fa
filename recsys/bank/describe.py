"""The bank beside the public figures, and how far simple policies lie apart in it.

    python -m recsys.bank.describe          # 5,000 customers, 60 days, seeds 1 to 3

The bank is lived under a uniform order of what each customer could open; policies are then valued in
closed form on the very same home visits, so their differences carry no outcome noise. `learnable`
ranks by least squares on what a bank can see (facts and spending mix, fitted on one half of the
customers and judged on the other): a floor of what is learnable, with no hidden trait in it.

Measured with the command above (seeds 1, 2, 3; points per 1,000 home visits):

    uniform                      2.76   2.74   2.70    .17 of the oracle
    most tapped list             5.75   5.38   5.54    .35
    best fixed list              7.01   7.04   6.85    .44
    learnable from facts alone  10.80  10.61  10.51    .67   1.54, 1.51, 1.53 × the best fixed list
    learnable                   12.43  12.31  12.22    .77   1.77, 1.75, 1.79 × the best fixed list
    tap-greedy, knowing all     12.50  12.41  12.36    .78
    oracle                      16.05  15.91  15.78   1

Home taps a visit: uniform .0085, .0089, .0083; most tapped list .019, .021, .021. Log-ins are 177 a
year, not 275, because a visit is counted once a day and surface. Savings are the persona table of
domain 3.4 as it stands: 14 % have none, 39 % less than £1,000 (FCA: 10 % and 31 %).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from recsys.bank.activity import spending_shares
from recsys.bank.customers import SIGNALS
from recsys.bank.dice import Ints, keys_of, uniforms
from recsys.bank.merchants import NAMES, SENT
from recsys.bank.oracle import best_fixed, best_values, expected_uniform, fixed_values
from recsys.bank.truth import TRUTHS
from recsys.bank.visits import Visit
from recsys.bank.world import Bank
from recsys.vocabulary import Bools, FactValue, Floats, ProductId

FACT_COLUMNS = slice(0, -int(SENT.sum()))
"""The visible columns that are facts: all but the spending mix, which stands last."""

CORE = frozenset({"savings", "investing", "credit", "accounts"})


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
        gain = self.policies["learnable"] / self.policies["best fixed list"]
        return "\n".join([*lines, f"{'learnable / best fixed list':44}{gain:9.2f}"])


@dataclass(frozen=True, slots=True, eq=False)
class HomeVisits:
    """The home visits of some days with the truth about each."""

    rows: Ints  # (v,)
    values: Floats  # (v, P)
    taps: Floats  # (v, P)
    suited: Bools  # (v, P)
    visible: Floats  # (v, F) what a learner may know

    def half(self, odd: int) -> HomeVisits:
        """The visits of every other customer."""
        kept = self.rows % 2 == odd
        return HomeVisits(self.rows[kept], self.values[kept], self.taps[kept], self.suited[kept], self.visible[kept])


@dataclass(slots=True)
class Counts:
    """What a run adds up."""

    customer_days: int = 0
    log_ins: int = 0
    home_visits: int = 0
    taps: tuple[int, ...] = (0, 0, 0)
    core_openings: int = 0
    low_days: float = 0.0


def calibration(bank: Bank, *, days: int) -> Calibration:
    """Live `days` days of a fresh bank under uniform choice and describe what was seen."""
    counts, visits, poor = live(bank, days=days)
    examination = bank.examination("home")
    by_taps = best_fixed(visits.taps, eligible=visits.suited, examination=examination)
    popular = fixed_values(by_taps, visits.taps, eligible=visits.suited, examination=examination).mean()
    taps, months = sum(counts.taps), counts.customer_days / 30.4
    figures = (
        Figure(
            "log-ins a customer and year", 365 * counts.log_ins / counts.customer_days, 150, 300, "275 (UK Finance)"
        ),
        Figure("home taps a visit, uniform", taps / counts.home_visits, 0.007, 0.035, "about .01 (ND.edu)"),
        Figure("home taps a visit, most tapped list", float(popular), 0.007, 0.035, ".017 (domain 3.10)"),
        Figure("share of taps on the first place", counts.taps[0] / max(taps, 1), 0.5, 0.7, "half or more (York)"),
        Figure(
            "organic core openings a customer and month", counts.core_openings / months, 0.015, 0.05, ".03 (Santander)"
        ),
        Figure("low-balance share of days", counts.low_days / days, 0.08, 0.25, ".145 (domain 3.10)"),
        Figure("no savings", poor[0], 0.06, 0.2, ".10 (FCA)"),
        Figure("less than £1,000 saved", poor[1], 0.2, 0.45, ".31 (FCA)"),
    )
    return Calibration(figures, policies_of(visits, examination=examination))


def live(bank: Bank, *, days: int) -> tuple[Counts, HomeVisits, tuple[float, float]]:
    """Live `days` days under uniform choice: counts, the home visits with their truth, and the opening savings."""
    everyone = range(len(bank.customers))
    savings = np.array([_number(sheet["savings_pence"]) for _, sheet in bank.facts(everyone)])
    counts, found = Counts(), list[HomeVisits]()
    spending = np.zeros((len(everyone), len(NAMES)))
    for number in range(days):
        day = bank.begin_day()
        for each in bank.activity():
            if each.kind == "spending":
                spending[int(each.customer_id[2:]), NAMES.index(each.subject)] += 1.0
        home = [visit for visit in day.visits if visit.surface == "home"]
        visits = _home_visits(bank, home, spending=spending)
        slates = _uniform_slates(visits.suited, ids=bank.truths.ids, seed=bank.seed, number=number)
        outcomes = bank.respond(home, slates)
        counts.customer_days += len(everyone)
        counts.log_ins += len(day.visits)
        counts.home_visits += len(home)
        tapped = [int(each.outcome_id.split("-")[4]) for each in outcomes if each.kind == "tapped"]
        counts.taps = tuple(before + tapped.count(place) for place, before in enumerate(counts.taps))
        families = {each.product_id: each.family for each in bank.truths.products}
        counts.core_openings += sum(families[each.product_id] in CORE for each in bank.organic())
        sheets = bank.facts(everyone)
        low = [_number(s["balance_pence"]) < 0.1 * _number(s["monthly_income_pence"]) for _, s in sheets]
        counts.low_days += float(np.mean(low))
        found.append(visits)
    joined = HomeVisits(*(np.concatenate([getattr(each, name) for each in found]) for name in HomeVisits.__slots__))
    return counts, joined, (float(np.mean(savings < 1)), float(np.mean(savings < 100_000)))


def policies_of(visits: HomeVisits, *, examination: Floats) -> Mapping[str, float]:
    """Points per 1,000 home visits of each reference policy, on the customers `learnable` was not fitted on."""
    fitted, judged = visits.half(0), visits.half(1)
    suited, seen = judged.suited, examination
    fixed = best_fixed(fitted.values, eligible=fitted.suited, examination=examination)
    tapped = best_fixed(fitted.taps, eligible=fitted.suited, examination=examination)
    worth = {
        "uniform": expected_uniform(judged.values, eligible=suited, examination=seen),
        "most tapped list": fixed_values(tapped, judged.values, eligible=suited, examination=seen),
        "best fixed list": fixed_values(fixed, judged.values, eligible=suited, examination=seen),
        "tap-greedy, knowing all": best_values(judged.values, score=judged.taps, eligible=suited, examination=seen),
        "learnable from facts alone": best_values(
            judged.values, score=learned_scores(fitted, judged, columns=FACT_COLUMNS), eligible=suited, examination=seen
        ),
        "learnable": best_values(
            judged.values, score=learned_scores(fitted, judged), eligible=suited, examination=seen
        ),
        "oracle": best_values(judged.values, eligible=suited, examination=seen),
    }
    return {name: 1_000.0 * float(each.mean()) for name, each in worth.items()}


def learned_scores(fitted: HomeVisits, judged: HomeVisits, *, columns: slice = slice(None)) -> Floats:
    """(judged, P) scores above 0: least squares of log value on what can be seen, product by product."""
    floor, known, asked = 1e-5, fitted.visible[:, columns], judged.visible[:, columns]
    scores = np.empty_like(judged.values)
    for column in range(fitted.values.shape[1]):
        kept = fitted.suited[:, column]
        logs = np.log(np.maximum(fitted.values[kept, column], floor))
        gram = known[kept].T @ known[kept] + np.eye(known.shape[1])
        weights = np.linalg.solve(gram, known[kept].T @ logs)
        spread = float(np.var(logs - known[kept] @ weights)) if len(logs) else 0.0
        scores[:, column] = np.exp(asked @ weights + spread / 2)
    return scores


def _home_visits(bank: Bank, home: Sequence[Visit], *, spending: Floats) -> HomeVisits:
    rows = np.array([visit.row for visit in home], dtype=np.int64)
    sheets = [sheet for _, sheet in bank.facts(rows.tolist())]
    held = np.array(
        [[product in _names(sheet["held"]) for product in bank.truths.ids] for sheet in sheets], dtype=np.float64
    )
    signals = np.array([[name in _names(sheet["signals"]) for name in SIGNALS] for sheet in sheets], dtype=np.float64)
    money = np.array([_money_features(sheet, at=visit.at) for sheet, visit in zip(sheets, home, strict=True)])
    visible = np.hstack([np.ones((len(rows), 1)), money, signals, held, spending_shares(spending[rows])])
    return HomeVisits(rows, bank.values(home), bank.tap_rates(home), bank.suited(rows.tolist()), visible)


def _money_features(sheet: Mapping[str, FactValue], *, at: datetime) -> list[float]:
    balance, income = _number(sheet["balance_pence"]), _number(sheet["monthly_income_pence"])
    spend, savings = _number(sheet["monthly_spend_pence"]), _number(sheet["savings_pence"])
    since = at.toordinal() - date.fromisoformat(str(sheet["last_paid_on"])).toordinal()
    return [
        np.log1p(savings / 100_000.0),
        float(np.clip(balance / spend, -1.0, 2.0)),
        float(balance < 0.1 * income),
        float(np.log(income / 200_000.0)),
        spend / income,
        float(np.exp(-since / 2.5)),
        float(_number(sheet["arrears_days"]) > 0),
    ]


def _uniform_slates(suited: Bools, *, ids: Sequence[ProductId], seed: int, number: int) -> list[list[ProductId]]:
    keys = keys_of(np.arange(suited.size)).reshape(suited.shape)
    luck = uniforms(seed, purpose="describe", day=number, keys=keys)
    order = np.argsort(np.where(suited, luck, 2.0), axis=1)[:, :3]
    return [
        [ids[column] for column in columns if allowed[column]]
        for columns, allowed in zip(order.tolist(), suited.tolist(), strict=True)
    ]


def _number(value: FactValue) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _names(value: FactValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def main() -> None:
    """Print the tables of three seeds."""
    for seed in (1, 2, 3):
        start = datetime(2026, 1, 5, tzinfo=UTC)
        bank = Bank.create(customers=5_000, seed=seed, start=start, catalogue=tuple(TRUTHS))
        print(f"seed {seed}\n{calibration(bank, days=60)}\n", flush=True)


if __name__ == "__main__":
    main()
