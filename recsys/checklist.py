"""Before an experiment starts: will it be able to answer, and may it run at all (DUT-5)?

Power is that of the test that will be read: at its planned looks, over all of them, or of one look's
equivalent for an open one. What the metric does today comes from the log: customers who came in the weeks
before, each over the metric's window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from recsys.effects import sequential
from recsys.experiments import Experiment
from recsys.looks import bounds, power
from recsys.metrics import Metric
from recsys.moments import Moments
from recsys.tails import normal_two_sided
from recsys.vocabulary import Decision, Event, Exposed, Glance, Outcome, Token

ENOUGH_POWER = 0.8
_DAYS_OF_BASELINE = 14


@dataclass(frozen=True, slots=True)
class Item:
    """One question of the checklist: `ok` is yes, no or unknown."""

    question: str
    ok: str
    answer: str


@dataclass(frozen=True, slots=True)
class Checklist:
    """What must be known before the start; nothing is sent to customers while `stops` is not empty."""

    items: tuple[Item, ...]
    power: float | None
    baseline: Moments

    @property
    def stops(self) -> tuple[Item, ...]:
        """What is answered with no."""
        return tuple(item for item in self.items if item.ok == "no")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "items": [asdict(item) for item in self.items],
            "power": self.power,
            "baseline": {**asdict(self.baseline), "mean": self.baseline.mean, "variance": self.baseline.variance},
        }


def baseline_of(events: Iterable[Event | Glance], *, metric: Metric, until: datetime) -> Moments:
    """The metric today: (n,) customers who came in the two weeks whose windows have closed by `until`.

    A customer counts from its first visit in that time.
    """
    last = until - metric.window
    first = last - timedelta(days=_DAYS_OF_BASELINE)
    came: dict[Token, datetime] = {}
    outcomes: dict[str, Outcome] = {}
    for event in events:
        body = event.body
        if isinstance(body, Outcome):
            outcomes.setdefault(body.outcome_id, body)
        elif isinstance(body, Decision | Exposed) and first <= body.made_at < last:
            came[body.token] = min(body.made_at, came.get(body.token, body.made_at))
    numbers = dict.fromkeys(came, 0.0)
    for outcome in sorted(outcomes.values(), key=lambda each: (each.happened_at, each.outcome_id)):
        at = came.get(outcome.token)
        if at is not None and at <= outcome.happened_at < at + metric.window:
            numbers[outcome.token] = metric.after(outcome, before=numbers[outcome.token])
    return Moments.of_array(list(numbers.values()))


def power_of(experiment: Experiment, *, baseline: Moments) -> float | None:
    """The chance to find `smallest_effect` at the planned size; None where the metric has no baseline."""
    if baseline.mean <= 0.0 or baseline.variance <= 0.0:
        return None
    control = next(v.share for v in experiment.variants if v.name == experiment.control)
    smallest = min(variant.share for variant in experiment.treatments)
    n_c, n_v = experiment.planned_units * control, experiment.planned_units * smallest
    error = math.sqrt(baseline.variance * (1.0 / n_c + 1.0 / n_v))
    drift = experiment.smallest_effect * baseline.mean / error
    alpha = 0.05 / len(experiment.treatments)
    if experiment.looks == "planned":
        days = max(1, min(28, (experiment.ends_at - experiment.starts_at).days))
        fractions = [k / days for k in range(1, days + 1)]
        return power(fractions, crossing=bounds(fractions, alpha=alpha), drift=drift)
    side = Moments(round(n_c), 0.0, baseline.variance * max(1, round(n_c) - 1))
    other = Moments(round(n_v), 0.0, baseline.variance * max(1, round(n_v) - 1))
    width = sequential(side, variant=other, planned=experiment.planned_units, alpha=alpha).high / error
    below = normal_two_sided(abs(width - drift)) / 2.0
    return 1.0 - below if drift > width else below


def checklist_of(experiment: Experiment, *, metrics: Sequence[Metric], baseline: Moments) -> Checklist:
    """Every question, answered."""
    known = {metric.name: metric for metric in metrics}
    names = (experiment.primary, *experiment.guardrails)
    missing = [name for name in names if name not in known]
    found = power_of(experiment, baseline=baseline)
    days = (experiment.ends_at - experiment.starts_at).days
    margins = ", ".join(f"{name} ({known[name].margin:.0%})" for name in experiment.guardrails if name in known)
    window = known[experiment.primary].window.days if experiment.primary in known else 0
    if found is None:
        sized, said = "unknown", "the log does not know yet what the primary metric does today"
    else:
        sized = "yes" if found >= ENOUGH_POWER else "unknown"
        said = (
            f"{found:.0%} to find a lift of {experiment.smallest_effect:.0%} on {baseline.mean:.4g} with "
            f"{experiment.planned_units:,} {experiment.unit}s"
        )
        if found < ENOUGH_POWER:
            said += "; plan more, look for a larger effect, or choose a more sensitive primary"
    shared = "the variants learn from each other's traffic, as declared"
    return Checklist(
        (
            Item("Who decides it?", "yes", experiment.owner),
            Item("What should happen, and why?", "yes", experiment.hypothesis),
            Item("When does it end?", "yes", experiment.stop_rule),
            Item("Are its metrics known?", "no" if missing else "yes", ", ".join(missing or names)),
            Item("What must not get worse?", "yes", margins),
            Item("Does it run long enough?", "yes" if days >= 7 else "unknown",
                 f"{days} days, and {window} more until the last window closes"
                 + ("" if days >= 7 else "; a week has seven unlike days")),
            Item("Will it be able to answer?", sized, said),
            Item("Do its arms learn apart?", "yes" if experiment.sharing == "own" else "unknown",
                 "each from its own traffic" if experiment.sharing == "own" else shared),
        ),
        found,
        baseline,
    )  # fmt: skip
