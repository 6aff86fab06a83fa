"""Scorecards: one experiment told in numbers and one sentence, for the page AND the notebook.

`roll_up` is a pure function of the event log. `to_json` is exactly what `GET /v1/experiments/{id}`
returns and what the page draws, so the three cannot disagree.

Intervals are confidence sequences: valid at every look. The primary metric's error is split over
treatments; guardrails' and watched metrics' is not (statistics.md 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recsys.counting import Counting, Counts, Day
from recsys.effects import Effect, sequential, srm, two_proportions, welch
from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment, to_json
from recsys.judgement import SRM_ALARM, Judgement, broken_split, judged
from recsys.metrics import Metric
from recsys.moments import Moments
from recsys.vocabulary import Event, Glance

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """One treatment against the control on one metric."""

    variant: str
    judgement: Judgement
    effect: Effect | None  # the confidence sequence; None before two units a side and a first outcome
    fixed: Effect | None  # Welch or Newcombe: only for one look, at the planned end
    over_time: tuple[tuple[Day, Effect], ...]  # the confidence sequence at each close


@dataclass(frozen=True, slots=True)
class MetricCard:
    """One metric: where each variant stands, and each treatment against the control."""

    metric: Metric
    role: str  # primary | guardrail | watched
    standing: Mapping[str, Moments]  # variant → moments over its units
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One experiment, judged as of its last event. `metrics` starts with the primary, then guardrails."""

    experiment: Experiment
    as_of: datetime | None
    status: Judgement
    units: Mapping[str, int]
    srm_p_value: float
    counts: Counts
    metrics: tuple[MetricCard, ...]

    @property
    def primary(self) -> MetricCard:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def alarms(self) -> tuple[str, ...]:
        """Sentences that somebody should act on: a broken split, harm done, units that changed sides."""
        if self.status.kind == "broken_split":
            return (self.status.sentence,)
        judgements = [c.judgement for card in self.metrics if card.role != "watched" for c in card.comparisons]
        n = self.counts.n_crossed
        crossed = (f"{n} {'unit was' if n == 1 else 'units were'} seen in more than one variant.",) if n else ()
        return (*(judgement.sentence for judgement in judgements if judgement.kind == "worse"), *crossed)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, full precision; the body of `GET /v1/experiments/{id}`."""
        return {
            "experiment": to_json(self.experiment),
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "status": asdict(self.status),
            "units": dict(self.units),
            "srm": {"p_value": self.srm_p_value, "ok": self.srm_p_value >= SRM_ALARM},
            "n_attributed": self.counts.n_attributed,
            "n_organic": self.counts.n_organic,
            "n_crossed": self.counts.n_crossed,
            "metrics": [_metric_json(card, unit=self.experiment.unit) for card in self.metrics],
            "days": [_day_json(day, before=before) for before, day in _pairs(self.counts.days)],
        }


def roll_up(events: Iterable[Event | Glance], *, experiment: Experiment, metrics: Sequence[Metric]) -> Scorecard:
    """Tell an experiment from the event log (any iterable of it; other experiments' events are passed over).

    Raises `InvalidConfiguration` when the primary or a guardrail is not among `metrics`.
    """
    counting = Counting(experiment, metrics=metrics)
    for event in events:
        counting.feed(event)
    return scorecard_of(counting)


def scorecard_of(counting: Counting) -> Scorecard:
    """What has been counted so far, judged; raises as `roll_up`."""
    experiment = counting.experiment
    ordered = _ordered(experiment, metrics=counting.metrics)
    counts = counting.counts()
    units = {
        variant.name: _standing(counts, variant=variant.name, metric=ordered[0]).n for variant in experiment.variants
    }
    p_value = srm(list(units.values()), shares=experiment.shares)
    cards = tuple(_card(metric, experiment=experiment, counts=counts, srm_p_value=p_value) for metric in ordered)
    return Scorecard(experiment, counts.as_of, _headline(cards[0]), units, p_value, counts, cards)


def _ordered(experiment: Experiment, *, metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The primary first, then guardrails as named, then the rest."""
    known = {metric.name: metric for metric in metrics}
    named = dict.fromkeys((experiment.primary, *experiment.guardrails))
    if missing := [name for name in named if name not in known]:
        raise InvalidConfiguration(
            f"experiment {experiment.experiment_id}: no metric is called {missing[0]}; known are {', '.join(known)}"
        )
    return tuple(known[name] for name in (*named, *(name for name in known if name not in named)))


def _card(metric: Metric, *, experiment: Experiment, counts: Counts, srm_p_value: float) -> MetricCard:
    is_primary = metric.name == experiment.primary
    role = "primary" if is_primary else "guardrail" if metric.name in experiment.guardrails else "watched"
    alpha = ALPHA / len(experiment.treatments) if is_primary else ALPHA
    compared = tuple(
        _compared(metric, name=variant.name, experiment=experiment, counts=counts, alpha=alpha, p_value=srm_p_value)
        for variant in experiment.treatments
    )
    standing = {v.name: _standing(counts, variant=v.name, metric=metric) for v in experiment.variants}
    return MetricCard(metric, role, standing, compared)


def _compared(
    metric: Metric, *, name: str, experiment: Experiment, counts: Counts, alpha: float, p_value: float
) -> Comparison:
    over_time = []
    for day in counts.days:
        control, variant = day.closing[experiment.control][metric.name], day.closing[name][metric.name]
        if min(control.n, variant.n) >= 2 and control.variance + variant.variance > 0.0:
            effect = sequential(control, variant=variant, planned=experiment.planned_units, alpha=alpha)
            over_time.append((day, effect))
    control = _standing(counts, variant=experiment.control, metric=metric)
    variant = _standing(counts, variant=name, metric=metric)
    last = over_time[-1][1] if over_time else None
    once = two_proportions if metric.is_share else welch
    fixed = once(control, variant=variant, alpha=alpha) if last is not None else None
    if p_value < SRM_ALARM:
        judgement = broken_split(p_value)
    else:
        judgement = judged(
            metric,
            effect=last,
            control=control,
            variant=variant,
            name=name,
            against=experiment.control,
            unit=experiment.unit,
            n_days=len(counts.days),
        )
    return Comparison(name, judgement, last, fixed, tuple(over_time))


def _headline(primary: MetricCard) -> Judgement:
    """The experiment's sentence: a winner first, else a loser, else the first treatment's."""
    rank = ("broken_split", "better", "worse", "no_harm", "not_enough_data")
    return min((c.judgement for c in primary.comparisons), key=lambda judgement: rank.index(judgement.kind))


def _standing(counts: Counts, *, variant: str, metric: Metric) -> Moments:
    return counts.days[-1].closing[variant][metric.name] if counts.days else Moments()


def _pairs(days: Sequence[Day]) -> Iterable[tuple[Day | None, Day]]:
    return zip((None, *days), days, strict=False)


def _metric_json(card: MetricCard, *, unit: str) -> dict[str, Any]:
    metric = card.metric
    return {
        "name": metric.name,
        "title": metric.title_for(unit),
        "unit": metric.unit,
        "better": metric.better,
        "margin": metric.margin,
        "role": card.role,
        "variants": {name: _moments_json(moments) for name, moments in card.standing.items()},
        "comparisons": [
            {
                "variant": comparison.variant,
                "status": asdict(comparison.judgement),
                "effect": None if comparison.effect is None else asdict(comparison.effect),
                "fixed": None if comparison.fixed is None else asdict(comparison.fixed),
                "over_time": [{"day": day.day.isoformat(), **asdict(effect)} for day, effect in comparison.over_time],
            }
            for comparison in card.comparisons
        ],
    }


def _moments_json(moments: Moments) -> dict[str, Any]:
    return {**asdict(moments), "mean": moments.mean, "variance": moments.variance}


def _day_json(day: Day, *, before: Day | None) -> dict[str, Any]:
    """One day: per variant and metric the moments at its close, and what the day itself added per unit."""
    table: dict[str, Any] = {}
    for variant, row in day.closing.items():
        earlier = {} if before is None else before.closing.get(variant, {})
        table[variant] = {
            name: {
                **_moments_json(moments),
                "added_mean": (moments.total - earlier.get(name, Moments()).total) / moments.n if moments.n else 0.0,
            }
            for name, moments in row.items()
        }
    return {"day": day.day.isoformat(), "variants": table}
