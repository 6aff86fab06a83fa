"""Readings: the counts of one experiment → the difference of each treatment at each look.

Which difference (recsys/differences.py): ratios by the delta method; means less what the time before
explains (CUPED); days weighted by their units where the shares drifted between days. Which interval
(recsys/effects.py): a planned test's primary is read at its looks (recsys/looks.py), and its answer is that
of the first look that proved something, else of the last; everything else has a confidence sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from recsys.counting import Counts, Day
from recsys.differences import Difference, adjusted, by_day, interaction, of_means, of_ratios
from recsys.effects import Effect, at_look, once, two_proportions, watched, welch
from recsys.experiments import Experiment
from recsys.looks import bounds, taken
from recsys.metrics import Metric
from recsys.moments import Paired
from recsys.tails import chi_square_tail

ENOUGH = 50.0
"""Effective units with an outcome, both sides together, before an interval is read (statistics.md 0, n_eff_conv)."""

LEAST_FOR_CUPED = 200
"""Units of both sides before their time before may explain anything: θ is estimated, too."""


@dataclass(frozen=True, slots=True)
class Look:
    """The comparison as it stood at the close of a day."""

    day: date
    effect: Effect


@dataclass(frozen=True, slots=True)
class Week:
    """Units first exposed in one week of the experiment, compared."""

    number: int
    begins: date
    effect: Effect | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One treatment against the control on one metric."""

    variant: str
    looks: tuple[Look, ...]
    proven: Look | None  # the first that left 0 out
    plain: Effect | None  # of means or ratios without the time before, for one look
    explained: float | None  # share of the variance that the time before explains; None where it is not used
    weeks: tuple[Week, ...]
    week_p_value: float | None  # "the effect is the same every week" (Wald)
    share_read: float  # of the planned units

    @property
    def decisive(self) -> Look | None:
        """The look that answers: the first that proved something, else the last."""
        return self.proven or (self.looks[-1] if self.looks else None)


def reading_of(
    metric: Metric, *, variant: str, experiment: Experiment, counts: Counts, planned: bool, alpha: float, drifted: str
) -> Reading:
    """Read one metric of one treatment. `drifted` is "by day" where days must be weighted, else ""."""
    control = experiment.control
    daily = [(d.day, _cell(d, control, metric), _cell(d, variant, metric)) for d in counts.days]
    share = sum(v.share for v in experiment.variants if v.name in (control, variant))
    whole = max(2.0, experiment.planned_units * share)
    closes, differences, sums, sure = [], [], [], set()
    c, v = Paired(), Paired()
    for number, (day, of_control, of_variant) in enumerate(daily, start=1):
        if of_control.n or of_variant.n:
            c, v = c + of_control, v + of_variant
            if min(c.n, v.n) >= 2 and c.yy + v.yy > 0.0:
                found = difference_of(metric, control=c, variant=v, daily=daily[:number] if drifted else ())
                if found.error > 0.0:
                    closes.append(day)
                    differences.append(found)
                    sums.append((c.n + v.n) / whole)
                    if (c + v).alone.evidence >= ENOUGH:
                        sure.add(day)
    complete = counts.as_of is not None and final(experiment, metric=metric, counts=counts)
    looks = _looks(closes, differences, sums, planned=planned, alpha=alpha, whole=whole, complete=complete)
    proven = next((k for k in looks if k.day in sure and (k.effect.low > 0.0 or k.effect.high < 0.0)), None)
    weeks, p_value = _weeks(metric, daily=daily, experiment=experiment)
    return Reading(
        variant, tuple(looks), proven if planned else None, _plain(metric, control=c, variant=v, alpha=alpha),
        _explained(metric, control=c, variant=v), weeks, p_value, (c.n + v.n) / whole,
    )  # fmt: skip


def _cell(day: Day, variant: str, metric: Metric) -> Paired:
    return day.read.get(variant, {}).get(metric.name, Paired())


def difference_of(
    metric: Metric, *, control: Paired, variant: Paired, daily: Sequence[tuple[date, Paired, Paired]] = ()
) -> Difference:
    """The difference as the metric asks for it; `daily` weights days where shares drifted."""
    if metric.form == "ratio":
        return of_ratios(control, variant=variant)
    if daily:
        return by_day([(c.alone, v.alone) for _, c, v in daily])
    if _explains(metric, control=control, variant=variant):
        return adjusted(control, variant=variant)
    return of_means(control.alone, variant=variant.alone)


def final(experiment: Experiment, *, metric: Metric, counts: Counts) -> bool:
    """Whether every window has closed that ever will: there is no later look."""
    assert counts.as_of is not None
    ended = experiment.state in ("stopped", "decided") or counts.as_of >= experiment.ends_at
    return ended and not counts.waiting.get(metric.name, 0)


def last_look_at(experiment: Experiment, *, metric: Metric) -> datetime:
    """When the window of the last unit has closed."""
    return experiment.ends_at + metric.window + timedelta(days=1)


def _looks(
    closes: Sequence[date], differences: Sequence[Difference], shares: Sequence[float], *, planned: bool, alpha: float,
    whole: float, complete: bool,
) -> list[Look]:  # fmt: skip
    if not planned:
        size = max(1, round(whole))
        return [Look(day, watched(d, planned=size, alpha=alpha)) for day, d in zip(closes, differences, strict=True)]
    fractions = [min(1.0, share) for share in shares]
    if complete and fractions:
        fractions[-1] = 1.0  # fewer came than were planned: the last look may spend what is left
    rows = taken(fractions)
    edges = bounds([fractions[row] for row in rows], alpha=alpha) if rows else ()
    return [
        Look(closes[row], at_look(differences[row], bound=edge, alpha=alpha))
        for row, edge in zip(rows, edges, strict=True)
    ]


def _explains(metric: Metric, *, control: Paired, variant: Paired) -> bool:
    enough = control.n + variant.n >= LEAST_FOR_CUPED
    return metric.explained and enough and control.beside.variance + variant.beside.variance > 0.0


def _explained(metric: Metric, *, control: Paired, variant: Paired) -> float | None:
    if not _explains(metric, control=control, variant=variant) or control.alone.variance + variant.alone.variance <= 0:
        return None
    plain = of_means(control.alone, variant=variant.alone).error ** 2
    return 1.0 - adjusted(control, variant=variant).error ** 2 / plain


def _plain(metric: Metric, *, control: Paired, variant: Paired, alpha: float) -> Effect | None:
    if min(control.n, variant.n) < 2 or control.yy + variant.yy <= 0.0:
        return None
    if metric.form == "ratio":
        return once(of_ratios(control, variant=variant), alpha=alpha) if min(control.x, variant.x) > 0 else None
    test = two_proportions if metric.is_share else welch
    return test(control.alone, variant=variant.alone, alpha=alpha)


def _weeks(
    metric: Metric, *, daily: Sequence[tuple[date, Paired, Paired]], experiment: Experiment
) -> tuple[tuple[Week, ...], float | None]:
    """Effects by week of first exposure, which is the window before the day on which a unit was read."""
    begins = experiment.starts_at.date()
    sums: dict[int, tuple[Paired, Paired]] = {}
    for day, c, v in daily:
        if c.n or v.n:
            number = (day - metric.window - begins).days // 7
            before = sums.get(number, (Paired(), Paired()))
            sums[number] = before[0] + c, before[1] + v
    weeks, known = [], []
    for number, (c, v) in sorted(sums.items()):
        effect = None
        if min(c.n, v.n) >= 2 and c.yy + v.yy > 0.0 and (metric.form != "ratio" or min(c.x, v.x) > 0.0):
            found = difference_of(metric, control=c, variant=v)
            if found.error > 0.0:
                effect = once(found)
                known.append(found)
        weeks.append(Week(number + 1, begins + timedelta(days=7 * number), effect))
    if len(known) < 2:
        return tuple(weeks), None
    distance, df = interaction(known)
    return tuple(weeks), chi_square_tail(distance, df=df)
