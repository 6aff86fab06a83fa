"""What the demo tells at its end: policies in closed form on the states the bandit met, and counts that reconcile.

Values are expected points, without outcome noise: the bank knows what each card is worth to each
customer at each visit, the log knows the distributions the slots were drawn from. Policies are
compared on the same visits; the sample is the customer, so differences have honest intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recsys import artefacts
from recsys.errors import ArtefactMissing
from recsys.readmarks import ReadMark
from serving.demo import EXPERIMENT, JUDGED_DAYS, Run
from serving.demo_worth import UNRULED, worth_of
from serving.learner_loop import LEASE
from serving.learning import learning
from serving.live_policy import policy_name


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
    regret: Mapping[str, float]  # points a customer: what rules cost, and what the bandit has still to learn
    experiment: str
    events: Mapping[str, int]
    lessons: Mapping[str, Mapping[str, int]]
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
    rows, worth = worth_of(run)
    events, reconciles = _events(run)
    state = learning(run.home.database, [recipe.name for recipe in run.home.recipes])
    lines = _lines(np.array(rows), worth)
    points = {line.policy: line.points for line in lines}
    regret = {"compliance": points[UNRULED] - points["oracle"], "policy": points["oracle"] - points["bandit"]}
    return Report(
        seed=run.plan.seed,
        customers=len(set(rows)),
        visits=len(rows),
        lines=tuple(line for line in lines if line.policy != UNRULED),
        regret=regret,
        experiment=_experiment(run),
        events=events,
        lessons=state.lessons,
        reconciles=reconciles and state.reconciles,
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
    best = report.lines[0].points + report.regret["compliance"]
    lines += [
        "",
        f"Given up to the rules (compliance regret): {report.regret['compliance']:.4f} points, "
        f"{report.regret['compliance'] / best:.0%} of what would be possible without any; "
        f"still to be learned (policy regret): {report.regret['policy']:.4f}.",
    ]
    e, ms = report.events, report.milliseconds
    published = ", ".join(f"{name} ×{n}" for name, n in report.published.items())
    lines += [
        "",
        f"Experiment {EXPERIMENT}: {report.experiment}",
        "  (It counts realised openings, which are few and noisy; the table above has no outcome noise.)",
        f"Outcomes received {e['received']:,} = joined {e['joined']:,} + waiting {e['waiting']:,} + quarantined "
        f"{e['quarantined']:,}" + ("" if report.reconciles else "   THESE DO NOT ADD UP"),
        f"  joined: {e['attributed']:,} to a decision in time, {e['organic']:,} organic, {e['late']:,} late",
        f"Decisions {e['decisions']:,} = closed {e['closed']:,} + still open {e['open']:,}; lessons told "
        f"{e['lessons']:,}; learned by the bandit {e['learned_bandit']:,}, by popularity {e['learned_popularity']:,}",
        *(
            f"Lessons of {name}: received {n['received']:,} = learned {n['learned']:,} + waiting {n['waiting']:,} "
            f"+ quarantined {n['quarantined']:,} + superseded {n['superseded']:,}"
            for name, n in report.lessons.items()
        ),
        f"Policy versions published: {published}",
        f"Embeddings: recall@5 {report.bundle.get('recall_at_5', math.nan):.3f} "
        f"against {report.bundle.get('popularity_recall_at_5', math.nan):.3f} for popularity",
        f"Request p50 / p99: {ms['quiet_p50']:.1f} / {ms['quiet_p99']:.1f} ms one at a time; "
        f"{ms['busy_p50']:.1f} / {ms['busy_p99']:.1f} ms with 32 in flight ({ms['per_second']:.0f} requests/s)",
        "Seconds: " + ", ".join(f"{name} {seconds:g}" for name, seconds in report.seconds.items()),
        "",
    ]
    return "\n".join(lines)


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
    return run.home.scorecard(EXPERIMENT).status.sentence


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
