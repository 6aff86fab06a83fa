"""The JSON of a scorecard: everything that a page, a notebook or a machine needs, and nothing else.

Its keys are a promise; new ones may be added.

    experiment       the record (recsys/experiments.py, to_json): owner, hypothesis, variants, shares, ramp, layer, …
    as_of            RFC 3339, of the last event counted; null before the first
    status           {kind, word, sentence}: better | worse | no_harm | not_enough_data | broken_split
    recommendation   {kind, word, sentence}: ship | stop | wait | mend: what to do next, by a rule known beforehand
    flags            [{kind, severity: act|know, sentence}], those to act on first
    progress         {units, planned_units, read, waiting, share_read, days, planned_days, last_look_at, proven_on}
    units            variant → units exposed;  exposures: [{day, variants: variant → units first exposed that day}]
    srm              {p_value, sequential_p_value, ok, by_day: [{day, p_value}]}
    n_attributed, n_organic, n_crossed
    metrics          the primary first, then guardrails, then what is watched; each:
      name title unit better margin role form window_days before_days cap read waiting late
      variants       variant → {n, total, squares, mean, variance} over the units that are read
      comparisons    one a treatment: variant, status,
        effect       what decides: {absolute, low, high, relative, relative_low, relative_high, p_value,
                     n_control, n_variant, alpha, method}; null before the first look
        read_on      day of that look;  adjusted_p_value: allowing for many
        fixed        the plain test for one look, without the time before;  explained: share of variance that it took
        over_time    [{day, …effect}] at each look;  weeks: [{week, begins, effect}], week_p_value
        live         guardrails: the effect over all units so far, at any look: what may stop an arm
    segments         [{kind, title, variant, p_value, adjusted_p_value, segments: [{name, n_control, n_variant,
                     effect}]}]: does the primary's effect differ between them? For curiosity, not for the decision
    days             [{day, variants: variant → metric → {n, total, squares, mean, variance, added_mean}}], so far
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from recsys.counting import Day
from recsys.effects import Effect
from recsys.experiments import to_json
from recsys.judgement import SRM_ALARM
from recsys.moments import Moments
from recsys.readings import last_look_at

if TYPE_CHECKING:
    from recsys.scorecards import Comparison, MetricCard, Scorecard


def told(card: Scorecard) -> dict[str, Any]:
    """The scorecard as plain JSON values, full precision."""
    counts = card.counts
    sequential = card.srm_by_day[-1] if card.srm_by_day else 1.0
    ok = min(card.srm_p_value, sequential) >= SRM_ALARM
    by_day = [{"day": d.day.isoformat(), "p_value": p} for d, p in zip(counts.days, card.srm_by_day, strict=True)]
    return {
        "experiment": to_json(card.experiment),
        "as_of": None if card.as_of is None else card.as_of.isoformat(),
        "status": asdict(card.status),
        "recommendation": asdict(card.recommendation),
        "flags": [asdict(flag) for flag in card.flags],
        "progress": _progress(card),
        "units": dict(card.units),
        "exposures": _exposures(card),
        "srm": {"p_value": card.srm_p_value, "sequential_p_value": sequential, "ok": ok, "by_day": by_day},
        "n_attributed": counts.n_attributed,
        "n_organic": counts.n_organic,
        "n_crossed": counts.n_crossed,
        "metrics": [_metric(each, card=card) for each in card.metrics],
        "segments": [asdict(cut) for cut in card.cuts],
        "days": [_day(day, before=before) for before, day in _pairs(counts.days)],
    }


def _progress(card: Scorecard) -> dict[str, Any]:
    experiment, primary = card.experiment, card.primary
    read = sum(moments.n for moments in primary.standing.values())
    proven = [c.reading.proven.day for c in primary.comparisons if c.reading.proven is not None]
    return {
        "units": sum(card.units.values()),
        "planned_units": experiment.planned_units,
        "read": read,
        "waiting": card.counts.waiting.get(primary.metric.name, 0),
        "share_read": read / experiment.planned_units,
        "days": len(card.counts.days),
        "planned_days": (experiment.ends_at - experiment.starts_at).days,
        "last_look_at": last_look_at(experiment, metric=primary.metric).isoformat(),
        "proven_on": min(proven).isoformat() if proven else None,
    }


def _exposures(card: Scorecard) -> list[dict[str, Any]]:
    name, rows = card.primary.metric.name, []
    for before, day in _pairs(card.counts.days):
        earlier = {} if before is None else before.closing
        rows.append({
            "day": day.day.isoformat(),
            "variants": {
                variant: row[name].n - earlier.get(variant, {}).get(name, Moments()).n
                for variant, row in day.closing.items()
            },
        })  # fmt: skip
    return rows


def _metric(each: MetricCard, *, card: Scorecard) -> dict[str, Any]:
    metric, counts = each.metric, card.counts
    return {
        "name": metric.name,
        "title": metric.title_for(card.experiment.unit),
        "unit": metric.unit,
        "better": metric.better,
        "margin": metric.margin,
        "role": each.role,
        "form": metric.form,
        "window_days": metric.window.total_seconds() / 86_400,
        "before_days": metric.before.total_seconds() / 86_400,
        "cap": metric.cap,
        "read": sum(moments.n for moments in each.standing.values()),
        "waiting": counts.waiting.get(metric.name, 0),
        "late": counts.n_late.get(metric.name, 0),
        "variants": {name: _moments(moments) for name, moments in each.standing.items()},
        "comparisons": [_comparison(comparison) for comparison in each.comparisons],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    reading, look = comparison.reading, comparison.reading.decisive
    weeks = [{"week": w.number, "begins": w.begins.isoformat(), "effect": _effect(w.effect)} for w in reading.weeks]
    return {
        "variant": comparison.variant,
        "status": asdict(comparison.judgement),
        "effect": _effect(comparison.effect),
        "read_on": None if look is None else look.day.isoformat(),
        "adjusted_p_value": comparison.adjusted_p_value,
        "fixed": _effect(comparison.fixed),
        "explained": reading.explained,
        "over_time": [{"day": each.day.isoformat(), **asdict(each.effect)} for each in reading.looks],
        "weeks": weeks,
        "week_p_value": reading.week_p_value,
        "live": _effect(comparison.live),
    }


def _effect(effect: Effect | None) -> dict[str, Any] | None:
    return None if effect is None else asdict(effect)


def _pairs(days: Sequence[Day]) -> Iterable[tuple[Day | None, Day]]:
    return zip((None, *days), days, strict=False)


def _moments(moments: Moments) -> dict[str, Any]:
    return {**asdict(moments), "mean": moments.mean, "variance": moments.variance}


def _day(day: Day, *, before: Day | None) -> dict[str, Any]:
    """One day: per variant and metric the moments at its close, and what the day itself added per unit."""
    table: dict[str, Any] = {}
    for variant, row in day.closing.items():
        earlier = {} if before is None else before.closing.get(variant, {})
        table[variant] = {
            name: {
                **_moments(moments),
                "added_mean": (moments.total - earlier.get(name, Moments()).total) / moments.n if moments.n else 0.0,
            }
            for name, moments in row.items()
        }
    return {"day": day.day.isoformat(), "variants": table}
