"""Counting: the event log → Moments of each metric, per variant, at the close of each day.

A pure function of the events, whatever their order. The sample is the unit that was assigned, never
the impression; a unit counts from its first exposure (the first decision that carries the
experiment), in the variant it had then; every outcome of its customers counts from that moment,
attributed or organic, until the follow-up after the experiment's end has passed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from recsys.experiments import Experiment
from recsys.metrics import Metric
from recsys.moments import Moments
from recsys.vocabulary import Decision, Event, Exposed, Glance, Outcome, Token

FOLLOW_UP = timedelta(days=30)
"""How long after an experiment's end its units' outcomes still count (EXP-3)."""


@dataclass(frozen=True, slots=True)
class Day:
    """How things stood at the close of one UTC day: variant → metric → Moments over units so far."""

    day: date
    closing: Mapping[str, Mapping[str, Moments]]


@dataclass(frozen=True, slots=True)
class Counts:
    """What the log says of one experiment; `days` has every day from the first exposure to the last event."""

    days: tuple[Day, ...]
    n_attributed: int
    n_organic: int
    n_crossed: int  # units seen in more than one variant: 0 unless assignment was changed mid-way
    as_of: datetime | None  # when the last event was recorded


@dataclass(slots=True)
class _Unit:
    """One assigned unit while counting."""

    variant: str
    exposed_at: datetime
    crossed: bool = False


class Counting:
    """An experiment being counted: feed it events, ask at any time how things stand, and feed it more."""

    def __init__(self, experiment: Experiment, *, metrics: Sequence[Metric]) -> None:
        self.experiment = experiment
        self.metrics = tuple(metrics)
        self._kinds: frozenset[str] = frozenset().union(*(metric.kinds for metric in metrics))
        self._units: dict[str, _Unit] = {}
        self._unit_of: dict[Token, str] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._as_of: datetime | None = None

    def feed(self, event: Event | Glance) -> None:
        """Take in one event; two outcomes of the same id are one."""
        body = event.body
        self._as_of = event.recorded_at if self._as_of is None else max(self._as_of, event.recorded_at)
        if isinstance(body, Outcome):
            if body.kind in self._kinds:
                self._outcomes.setdefault(body.outcome_id, body)
        elif isinstance(body, Decision | Exposed):
            for assigned in body.experiments:
                if assigned.experiment_id == self.experiment.experiment_id:
                    self._expose(body, variant=assigned.variant)

    def counts(self) -> Counts:
        """How things stand after everything fed so far."""
        theirs = [outcome for outcome in self._outcomes.values() if self._counts(outcome)]
        organic = sum(outcome.decision_id is None for outcome in theirs)
        return Counts(
            days=_days(self._units, unit_of=self._unit_of, outcomes=theirs, counting=self),
            n_attributed=len(theirs) - organic,
            n_organic=organic,
            n_crossed=sum(unit.crossed for unit in self._units.values()),
            as_of=self._as_of,
        )

    def _expose(self, decision: Decision | Exposed, *, variant: str) -> None:
        household = self.experiment.unit == "household" and decision.unit
        name = decision.unit if household else str(decision.token)
        self._unit_of[decision.token] = name
        unit = self._units.setdefault(name, _Unit(variant, decision.made_at))
        unit.crossed |= unit.variant != variant
        if decision.made_at < unit.exposed_at:
            unit.variant, unit.exposed_at = variant, decision.made_at

    def _counts(self, outcome: Outcome) -> bool:
        unit = self._unit_of.get(outcome.token)
        if unit is None:
            return False
        return self._units[unit].exposed_at <= outcome.happened_at < self.experiment.ends_at + FOLLOW_UP


def _days(
    units: Mapping[str, _Unit], *, unit_of: Mapping[Token, str], outcomes: Sequence[Outcome], counting: Counting
) -> tuple[Day, ...]:
    """Walk business time once, moving each unit's numbers, and note how things stand at each close."""
    metrics, experiment = counting.metrics, counting.experiment
    numbers: dict[str, dict[str, float]] = defaultdict(dict)
    standing = {v.name: {metric.name: Moments() for metric in metrics} for v in experiment.variants}
    exposures: dict[date, list[str]] = defaultdict(list)
    for unit in units.values():
        exposures[unit.exposed_at.date()].append(unit.variant)
    happened = {day: list(group) for day, group in groupby(sorted(outcomes, key=_when), key=lambda o: _when(o)[0])}
    days = []
    for day in _calendar(exposures, outcome_days=happened):
        for variant in exposures.get(day, ()):
            row = standing.setdefault(variant, {metric.name: Moments() for metric in metrics})
            for name in row:
                row[name] += Moments.of(0.0)
        for outcome in happened.get(day, ()):
            name = unit_of[outcome.token]
            row = standing[units[name].variant]
            _move(numbers[name], outcome=outcome, row=row, metrics=metrics)
        days.append(Day(day, {variant: dict(row) for variant, row in standing.items()}))
    return tuple(days)


def _move(numbers: dict[str, float], *, outcome: Outcome, row: dict[str, Moments], metrics: Sequence[Metric]) -> None:
    for metric in metrics:
        before = numbers.get(metric.name, 0.0)
        after = metric.after(outcome, before=before)
        if after != before:
            numbers[metric.name] = after
            row[metric.name] = row[metric.name].moved(before, to=after)


def _when(outcome: Outcome) -> tuple[date, datetime, str]:
    """Business order of outcomes; the id breaks ties, so that the order of the log does not matter."""
    return outcome.happened_at.date(), outcome.happened_at, outcome.outcome_id


def _calendar(exposures: Mapping[date, object], *, outcome_days: Mapping[date, object]) -> list[date]:
    """Every day from the first exposure to the last exposure or outcome, without a gap."""
    if not exposures:
        return []
    first, last = min(exposures), max({*exposures, *outcome_days})
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
