"""What the demo tells at its end: policies in closed form on the states the bandit met, and counts that reconcile.

Values are expected points, without outcome noise: the bank knows what each card is worth to each
customer at each visit, the log knows the distributions the slots were drawn from. Policies are
compared on the same visits; the sample is the customer, so differences have honest intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np

from recsys import artefacts
from recsys.bank.oracle import best_slate, slate_value
from recsys.catalogue import Catalogue
from recsys.errors import ArtefactMissing
from recsys.metrics import default_metrics
from recsys.readmarks import ReadMark
from recsys.scorecards import roll_up
from recsys.vocabulary import Bools, Decision, Floats, ProductId
from serving.demo import EXPERIMENT, JUDGED_DAYS, Run
from serving.learner_loop import LEASE
from serving.live_policy import policy_name

_STRENGTH = 20.0  # lessons' weight of the mean of all products, so that a product shown twice leads no list


@dataclass(frozen=True, slots=True)
class Line:
    """One policy: points per customer in the last week, and the bandit's advantage over it."""

    policy: str
    points: float
    bandit_minus: float
    low: float
    high: float

    @property
    def said(self) -> str:
        """Whether the bandit beats it."""
        if self.low > 0:
            return "the bandit beats it"
        return "the bandit loses to it" if self.high < 0 else "no difference shown"


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers, ready to print or to serialise."""

    seed: int
    customers: int  # of the bandit's arm that came in the last week
    visits: int
    lines: tuple[Line, ...]
    experiment: str
    events: Mapping[str, int]
    reconciles: bool
    published: Mapping[str, int]
    bundle: Mapping[str, float]
    milliseconds: Mapping[str, float]
    seconds: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """One JSON object."""
        return asdict(self) | {"lines": [asdict(line) | {"said": line.said} for line in self.lines]}


def report_of(run: Run) -> Report:
    """Everything the demo has to tell."""
    rows, worth = _worth(run)
    events, reconciles = _events(run)
    return Report(
        seed=run.plan.seed,
        customers=len(set(rows)),
        visits=len(rows),
        lines=_lines(np.array(rows), worth),
        experiment=_experiment(run),
        events=events,
        reconciles=reconciles,
        published=_published(run),
        bundle=_bundle(run),
        milliseconds=_latencies(run),
        seconds={name: round(seconds, 1) for name, seconds in run.phases.items()},
    )


def told(report: Report) -> str:
    """The report as a person reads it."""
    lines = [
        "",
        f"Expected points per customer in the last {JUDGED_DAYS} days, in closed form, on the "
        f"{report.visits:,} visits of the bandit's {report.customers:,} customers:",
        "",
        f"  {'policy':22} {'points':>8}   bandit's advantage (95 % interval)",
    ]
    for line in report.lines:
        if line.policy == "bandit":
            lines.append(f"  {line.policy:22} {line.points:8.4f}")
        else:
            interval = f"{line.bandit_minus:+.4f} [{line.low:+.4f}, {line.high:+.4f}]"
            lines.append(f"  {line.policy:22} {line.points:8.4f}   {interval}  {line.said}")
    e, ms = report.events, report.milliseconds
    published = ", ".join(f"{name} ×{n}" for name, n in report.published.items())
    lines += [
        "",
        f"Experiment {EXPERIMENT}: {report.experiment}",
        f"Outcomes received {e['received']:,} = joined {e['joined']:,} + waiting {e['waiting']:,} + quarantined "
        f"{e['quarantined']:,}" + ("" if report.reconciles else "   THESE DO NOT ADD UP"),
        f"  joined: {e['attributed']:,} to a decision in time, {e['organic']:,} organic, {e['late']:,} late",
        f"Decisions {e['decisions']:,} = closed {e['closed']:,} + still open {e['open']:,}; lessons told "
        f"{e['lessons']:,}; learned by the bandit {e['learned_bandit']:,}, by popularity {e['learned_popularity']:,}",
        f"Policy versions published: {published}",
        f"Embeddings: recall@5 {report.bundle.get('recall_at_5', math.nan):.3f} "
        f"against {report.bundle.get('popularity_recall_at_5', math.nan):.3f} for popularity",
        f"Request p50 / p99: {ms['quiet_p50']:.1f} / {ms['quiet_p99']:.1f} ms one at a time; "
        f"{ms['busy_p50']:.1f} / {ms['busy_p99']:.1f} ms with 32 in flight ({ms['per_second']:.0f} requests/s)",
        "Seconds: " + ", ".join(f"{name} {seconds:g}" for name, seconds in report.seconds.items()),
        "",
    ]
    return "\n".join(lines)


# -- policies in closed form --------------------------------------------------------------------


def _worth(run: Run) -> tuple[list[int], dict[str, list[float]]]:
    """(customer row of each judged visit, policy → points of each): the bandit's own visits only."""
    catalogue = run.home.offers.current.catalogue
    by_taps = _order(run, catalogue, score=lambda seen, tapped, opened, points: tapped / seen)
    by_value = _order(run, catalogue, score=lambda seen, tapped, opened, points: opened * points / seen)
    rows: list[int] = []
    worth: dict[str, list[float]] = {}
    for hour in run.judged:
        assert hour.values is not None
        mine = [n for n, a in enumerate(hour.answers) if a.mode == "live" and a.experiments.get(EXPERIMENT) == "bandit"]
        decisions = run.home.log.decisions([hour.answers[n].decision_id for n in mine])
        for n in mine:
            decision = decisions[hour.answers[n].decision_id].body
            assert isinstance(decision, Decision)
            rows.append(hour.visits[n].row)
            values = hour.values[n]
            seen = run.bank.examination(decision.surface)[: decision.n_slots]
            judged = _Judged(catalogue, decision, values, seen)
            for policy, points in {
                "oracle": judged.oracle(),
                "bandit": judged.as_drawn(),
                "popularity by taps": judged.listed(by_taps),
                "popularity by value": judged.listed(by_value),
                "uniform": judged.uniform(),
            }.items():
                worth.setdefault(policy, []).append(points)
    return rows, worth


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """One decision beside the truth: `values` (products,) points if seen, `seen` (slots,) P(seen)."""

    catalogue: Catalogue
    decision: Decision
    values: Floats
    seen: Floats

    def oracle(self) -> float:
        """The best compliant slate."""
        surface = self.catalogue.surfaces[self.decision.surface]
        rows = best_slate(
            self.values,
            eligible=self._eligible(),
            examination=self.seen,
            families=_families(self.catalogue),
            per_family=surface.per_family,
        )
        return slate_value(self.values, rows, examination=self.seen)

    def as_drawn(self) -> float:
        """Expected over each slot's logged distribution, given the slots above."""
        column = {product: row for row, product in enumerate(self.catalogue.ids)}
        worth = np.array([self.values[column[c.product_id]] if c.product_id in column else 0.0
                          for c in self.decision.candidates])  # fmt: skip
        return float((self.decision.pmfs @ worth) @ self.seen[: len(self.decision.pmfs)]) if worth.size else 0.0

    def listed(self, order: Sequence[int]) -> float:
        """The first eligible products of a fixed order, within the family limit."""
        eligible, families = self._eligible(), _families(self.catalogue)
        limit = self.catalogue.surfaces[self.decision.surface].per_family
        chosen: list[int] = []
        for row in order:
            if eligible[row] and sum(families[each] == families[row] for each in chosen) < limit:
                chosen.append(row)
            if len(chosen) == len(self.seen):
                break
        return slate_value(self.values, chosen, examination=self.seen)

    def uniform(self) -> float:
        """Uniform over what is open, the null choice included: exact, by recursion over the slots."""
        surface = self.catalogue.surfaces[self.decision.surface]
        chances = _uniform_marginals(
            tuple(np.flatnonzero(self._eligible()).tolist()),
            _families(self.catalogue),
            len(self.seen),
            surface.per_family,
            n_null=int(surface.null_allowed),
        )
        return float(self.seen @ (chances @ self.values))

    def _eligible(self) -> Bools:
        allowed = set(self.decision.verdicts.eligible())
        return np.array([product in allowed for product in self.catalogue.ids], dtype=np.bool_)


def _families(catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(product.family for product in catalogue.products)


@cache
def _uniform_marginals(
    eligible: tuple[int, ...], families: tuple[str, ...], length: int, per_family: int, *, n_null: int
) -> Floats:
    """(length, products) chance that each product stands in each slot under uniform drawing.

    States are families' counts, not products: products of one family are alike to the drawing.
    """
    names = sorted({families[row] for row in eligible})
    sizes = [sum(families[row] == name for row in eligible) for name in names]
    chances = np.zeros((length, len(families)))
    states = {tuple([0] * len(names)): 1.0}
    for slot in range(length):
        following: dict[tuple[int, ...], float] = {}
        family_chance = np.zeros(len(names))
        for taken, probability in states.items():
            left = [0 if used >= per_family else size - used for used, size in zip(taken, sizes, strict=True)]
            total = sum(left) + n_null
            for place, n in enumerate(left):
                if n:
                    share = probability * n / total
                    family_chance[place] += share
                    after = (*taken[:place], taken[place] + 1, *taken[place + 1 :])
                    following[after] = following.get(after, 0.0) + share
        for row in eligible:
            place = names.index(families[row])
            chances[slot, row] = family_chance[place] / sizes[place]
        states = following
    return chances


def _order(run: Run, catalogue: Catalogue, *, score: Callable[[float, float, float, float], float]) -> list[int]:
    """Products by a score of their attributed counts in the first log, smoothed towards the mean of all."""
    tally = run.first.tally
    totals = {kind: sum(tally[kind, each] for each in catalogue.ids) for kind in ("seen", "tapped", "opened")}
    base = max(totals["seen"], 1)

    def scored(product_id: ProductId) -> float:
        seen, tapped, opened = (
            tally[kind, product_id] + _STRENGTH * totals[kind] / base for kind in ("seen", "tapped", "opened")
        )
        return score(max(seen, 1e-9), tapped, opened, catalogue.product(product_id).value)

    return sorted(range(len(catalogue.ids)), key=lambda row: -scored(catalogue.ids[row]))


def _lines(rows: np.ndarray, worth: Mapping[str, Sequence[float]]) -> tuple[Line, ...]:
    """Points per customer, and paired differences with intervals over customers."""
    _, customer = np.unique(rows, return_inverse=True)
    totals = {policy: np.bincount(customer, weights=np.array(points)) for policy, points in worth.items()}
    lines = []
    for policy, points in sorted(totals.items(), key=lambda item: -item[1].mean()):
        difference = totals["bandit"] - points
        half = 1.96 * float(difference.std(ddof=1)) / math.sqrt(len(difference))
        mean = float(difference.mean())
        lines.append(Line(policy, float(points.mean()), mean, mean - half, mean + half))
    return tuple(lines)


# -- counts -------------------------------------------------------------------------------------


def _experiment(run: Run) -> str:
    values = {product.product_id: product.value for product in run.home.offers.current.catalogue.products}
    experiment = run.home.register.experiment(EXPERIMENT)
    return roll_up(run.home.log.glance(), experiment=experiment, metrics=default_metrics(values)).status.sentence


def _events(run: Run) -> tuple[dict[str, int], bool]:
    """The log's own counts beside the learner's, and whether they reconcile."""
    counts = run.home.log.counts()
    _, counted = ReadMark(run.home.database, name=LEASE).read()
    joined = counted["joined"] + counted["organic"] + counted["late"]
    sent = run.first.totals.accepted + run.live.totals.accepted
    events = {
        "sent": sent,
        "received": counts.get("outcome", 0),
        "joined": joined,
        "waiting": counts.get("outcome", 0) - counted["outcomes"],
        "quarantined": counted["quarantined"],
        "attributed": counted["joined"],
        "organic": counted["organic"],
        "late": counted["late"],
        "decisions": counts.get("decision", 0),
        "closed": counted["closed"],
        "open": counted["waiting"],
        "lessons": counted["lessons"],
        "learned_bandit": counted.get("lessons_bandit", 0),
        "learned_popularity": counted.get("lessons_popularity", 0),
        "rejected": run.first.totals.rejected + run.live.totals.rejected,
    }
    whole = events["received"] == joined + events["waiting"] + events["quarantined"] and sent == events["received"]
    return events, whole and events["decisions"] == events["closed"] + events["open"]


def _published(run: Run) -> dict[str, int]:
    found = {}
    for recipe in run.home.recipes:
        try:
            manifest = artefacts.current(run.home.settings.artefacts, policy_name(recipe.name)).manifest
        except ArtefactMissing:
            continue
        found[recipe.name] = int(manifest["version"])
    return found


def _bundle(run: Run) -> dict[str, float]:
    try:
        manifest = artefacts.current(run.home.settings.artefacts, "bundle").manifest
    except ArtefactMissing:
        return {}
    notes = manifest.get("notes", manifest)
    return {name: float(notes[name]) for name in ("recall_at_5", "popularity_recall_at_5") if name in notes}


def _latencies(run: Run) -> dict[str, float]:
    busy, quiet = np.array(run.busy_seconds) * 1000, np.array(run.quiet_seconds) * 1000
    return {
        "quiet_p50": float(np.percentile(quiet, 50)),
        "quiet_p99": float(np.percentile(quiet, 99)),
        "busy_p50": float(np.percentile(busy, 50)),
        "busy_p99": float(np.percentile(busy, 99)),
        "per_second": len(busy) / max(run.phases["live"], 1e-9),
    }
