"""Scorecards: one experiment told in numbers and sentences, for the page AND the notebook.

`roll_up` is a pure function of the event log, `scorecard_from` one of daily sums. `to_json` is exactly what
`GET /v1/experiments/{id}` returns and what the page draws, so that they cannot disagree; its shape is
described in recsys/scorecard_json.py.

A metric is read on the units whose window has closed. The primary's error is split over treatments;
guardrails' is not, and watched metrics are told with the share of false findings kept (statistics.md 2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recsys import scorecard_json
from recsys.counting import Counting, Counts
from recsys.effects import Effect, sequential, sequential_srm, srm
from recsys.errors import InvalidConfiguration
from recsys.experiments import Experiment
from recsys.flags import Flag, flags_of
from recsys.judgement import SRM_ALARM, Judgement, broken_split, judged, recommended
from recsys.many import benjamini_hochberg, holm
from recsys.metrics import Metric
from recsys.moments import Moments, Paired
from recsys.readings import Reading, final, last_look_at, reading_of
from recsys.segments import Cut, cuts_of
from recsys.tails import chi_square_tail
from recsys.vocabulary import Event, Glance

ALPHA = 0.05
GUARD_ALPHA = 0.01
"""Error of the watch that may stop an arm by itself: harm must be far surer than for a colour on a page."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One treatment against the control on one metric."""

    variant: str
    judgement: Judgement
    reading: Reading
    adjusted_p_value: float | None  # Holm over the primary's treatments; Benjamini-Hochberg over what is watched
    live: Effect | None  # guardrails: over every unit so far, at any look

    @property
    def effect(self) -> Effect | None:
        """What decides; None before the first look."""
        return None if self.reading.decisive is None else self.reading.decisive.effect

    @property
    def fixed(self) -> Effect | None:
        """Welch, Newcombe or delta: only for one look, at the planned end."""
        return self.reading.plain


@dataclass(frozen=True, slots=True)
class MetricCard:
    """One metric: where each variant stands, and each treatment against the control."""

    metric: Metric
    role: str  # primary | guardrail | watched
    standing: Mapping[str, Moments]  # variant → moments over the units that are read
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One experiment, judged as of its last event. `metrics` starts with the primary, then guardrails."""

    experiment: Experiment
    as_of: datetime | None
    status: Judgement
    recommendation: Judgement
    units: Mapping[str, int]
    srm_p_value: float
    srm_by_day: tuple[float, ...]  # valid at every look
    counts: Counts
    metrics: tuple[MetricCard, ...]
    flags: tuple[Flag, ...]
    cuts: tuple[Cut, ...] = ()

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
        worse = tuple(judgement.sentence for judgement in judgements if judgement.kind == "worse")
        return (*worse, *(flag.sentence for flag in self.flags if flag.severity == "act" and flag.kind != "harm"))

    @property
    def harmed(self) -> tuple[tuple[str, str], ...]:
        """(variant, why) of every arm that a live guardrail should stop now (OPS-4)."""
        found: dict[str, str] = {}
        for card in self.metrics:
            for c in card.comparisons:
                if card.role == "guardrail" and c.live is not None and _harm(card.metric, c.live):
                    change = abs(c.live.absolute)
                    found.setdefault(
                        c.variant, f"{card.metric.title_for(self.experiment.unit)} is worse by {change:.3g} "
                        f"{card.metric.unit} (p {c.live.p_value:.1g}, at any look)",
                    )  # fmt: skip
        return tuple(found.items())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, full precision; the body of `GET /v1/experiments/{id}`."""
        return scorecard_json.told(self)


def roll_up(
    events: Iterable[Event | Glance],
    *,
    experiment: Experiment,
    metrics: Sequence[Metric],
    as_of: datetime | None = None,
) -> Scorecard:
    """Tell an experiment from the event log (any iterable of it; other experiments' events are passed over).

    Without `as_of` it is told as of the last event. Raises `InvalidConfiguration` when the primary or a
    guardrail is not among `metrics`.
    """
    counting = Counting(experiment, metrics=metrics)
    for event in events:
        counting.feed(event)
    return scorecard_of(counting, as_of=as_of)


def scorecard_of(counting: Counting, *, as_of: datetime | None = None) -> Scorecard:
    """What has been counted so far, judged; raises as `roll_up`."""
    return scorecard_from(counting.counts(as_of=as_of), experiment=counting.experiment, metrics=counting.metrics)


def reads_from(experiment: Experiment, *, metrics: Sequence[Metric]) -> datetime:
    """The moment from which events matter: what units did before their exposure may explain what they do after."""
    return experiment.starts_at - max((metric.before for metric in metrics), default=timedelta(0))


def scorecard_from(counts: Counts, *, experiment: Experiment, metrics: Sequence[Metric]) -> Scorecard:
    """Daily sums, judged: what a page costs, whatever the traffic was; raises as `roll_up`."""
    ordered = ordered_by_role(experiment, metrics=metrics)
    names = [variant.name for variant in experiment.variants]
    units = {name: counts.standing(name, metric=ordered[0].name).n for name in names}
    p_value = srm(list(units.values()), shares=experiment.shares)
    by_day = sequential_srm(_arrivals(counts, names=names, metric=ordered[0]), shares=experiment.shares)
    broken = min(p_value, by_day[-1] if by_day else 1.0)
    drifted = "by day" if drift_p_value(counts, names=names, metric=ordered[0]) < SRM_ALARM else ""
    cards = tuple(
        _card(metric, experiment=experiment, counts=counts, broken=broken, drifted=drifted) for metric in ordered
    )
    status = _headline(cards[0])
    flags = flags_of(experiment, cards=cards, counts=counts, status=status, drifted=bool(drifted))
    guards = [c.judgement for card in cards if card.role == "guardrail" for c in card.comparisons]
    advice = recommended(status, guards=guards, ends=f"{last_look_at(experiment, metric=ordered[0]):%-d %B %Y}")
    return Scorecard(
        experiment,
        counts.as_of,
        status,
        advice,
        units,
        p_value,
        tuple(by_day),
        counts,
        _allowing_for_many(cards),
        flags,
        cuts_of(experiment, metric=ordered[0], counts=counts),
    )


def ordered_by_role(experiment: Experiment, *, metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The primary first, then guardrails as named, then the rest; raises `InvalidConfiguration`."""
    known = {metric.name: metric for metric in metrics}
    named = dict.fromkeys((experiment.primary, *experiment.guardrails))
    if missing := [name for name in named if name not in known]:
        raise InvalidConfiguration(
            f"experiment {experiment.experiment_id}: no metric is called {missing[0]}; known are {', '.join(known)}"
        )
    return tuple(known[name] for name in (*named, *(name for name in known if name not in named)))


def drift_p_value(counts: Counts, *, names: Sequence[str], metric: Metric) -> float:
    """p-value of "the shares were the same on every day" (chi-square over days that are not tiny)."""
    rows = [row for row in _arrivals(counts, names=names, metric=metric) if sum(row) >= 5 * len(names)]
    totals = [sum(column) for column in zip(*rows, strict=True)]
    whole = sum(totals)
    if len(rows) < 2 or min(totals, default=0) == 0:
        return 1.0
    distance = sum(
        (n - sum(row) * total / whole) ** 2 / (sum(row) * total / whole)
        for row in rows for n, total in zip(row, totals, strict=True)
    )  # fmt: skip
    return chi_square_tail(distance, df=(len(rows) - 1) * (len(names) - 1))


def _arrivals(counts: Counts, *, names: Sequence[str], metric: Metric) -> list[list[int]]:
    """(days, variants): units first exposed on each day."""
    before, found = dict.fromkeys(names, 0), []
    for day in counts.days:
        now = {name: day.closing.get(name, {}).get(metric.name, Moments()).n for name in names}
        found.append([now[name] - before[name] for name in names])
        before = now
    return found


def _card(metric: Metric, *, experiment: Experiment, counts: Counts, broken: float, drifted: str) -> MetricCard:
    is_primary = metric.name == experiment.primary
    role = "primary" if is_primary else "guardrail" if metric.name in experiment.guardrails else "watched"
    alpha = ALPHA / len(experiment.treatments) if is_primary else ALPHA
    planned = is_primary and experiment.looks == "planned"
    read = {v.name: counts.whole(v.name, metric=metric.name) for v in experiment.variants}
    compared = []
    for variant in experiment.treatments:
        reading = reading_of(
            metric, variant=variant.name, experiment=experiment, counts=counts, planned=planned, alpha=alpha,
            drifted=drifted,
        )  # fmt: skip
        judgement = _judged(metric, reading=reading, experiment=experiment, read=read, counts=counts, broken=broken)
        live = (
            _live(metric, variant=variant.name, experiment=experiment, counts=counts) if role == "guardrail" else None
        )
        compared.append(Comparison(variant.name, judgement, reading, None, live))
    return MetricCard(metric, role, {name: sums.alone for name, sums in read.items()}, tuple(compared))


def _judged(
    metric: Metric,
    *,
    reading: Reading,
    experiment: Experiment,
    read: Mapping[str, Paired],
    counts: Counts,
    broken: float,
) -> Judgement:
    if broken < SRM_ALARM:
        return broken_split(broken)
    look = reading.decisive
    return judged(
        metric,
        effect=None if look is None else look.effect,
        control=read[experiment.control].alone,
        variant=read[reading.variant].alone,
        name=reading.variant,
        against=experiment.control,
        unit=experiment.unit,
        n_days=len(counts.days),
        waiting=counts.waiting.get(metric.name, 0),
        over=counts.as_of is not None and final(experiment, metric=metric, counts=counts),
    )


def _live(metric: Metric, *, variant: str, experiment: Experiment, counts: Counts) -> Effect | None:
    """Over every unit exposed so far, whether or not its window has closed; None before there is anything."""
    control = counts.standing(experiment.control, metric=metric.name)
    other = counts.standing(variant, metric=metric.name)
    if metric.form == "ratio" or min(control.n, other.n) < 2 or control.variance + other.variance <= 0.0:
        return None
    alpha = GUARD_ALPHA / len(experiment.treatments)
    return sequential(control, variant=other, planned=experiment.planned_units, alpha=alpha)


def _harm(metric: Metric, effect: Effect) -> bool:
    return effect.high < 0.0 if metric.better == "higher" else effect.low > 0.0


def _allowing_for_many(cards: Sequence[MetricCard]) -> tuple[MetricCard, ...]:
    """The cards with p-values that allow for how much was asked."""
    found: dict[tuple[int, int], float] = {}
    for role, adjust in (("primary", holm), ("watched", benjamini_hochberg)):
        asked = [(n, k, c.effect.p_value) for n, card in enumerate(cards) if card.role == role
                 for k, c in enumerate(card.comparisons) if c.effect is not None]  # fmt: skip
        values = adjust([p for _, _, p in asked])
        found |= {(n, k): value for (n, k, _), value in zip(asked, values, strict=True)}
    return tuple(
        MetricCard(card.metric, card.role, card.standing, tuple(
            Comparison(c.variant, c.judgement, c.reading, found.get((n, k)), c.live)
            for k, c in enumerate(card.comparisons)))
        for n, card in enumerate(cards)
    )  # fmt: skip


def _headline(primary: MetricCard) -> Judgement:
    """The experiment's sentence: a winner first, else a loser, else the first treatment's."""
    rank = ("broken_split", "better", "worse", "no_harm", "not_enough_data")
    return min((c.judgement for c in primary.comparisons), key=lambda judgement: rank.index(judgement.kind))
