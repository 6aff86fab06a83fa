"""Counting: the event log → sums of each metric, per variant and day.

A pure function of the events, whatever their order. The sample is the unit that was assigned, never
the impression; a unit counts from its first exposure (the first decision that carries the
experiment), in the variant it had then. Every outcome of its customers inside the metric's window
counts, attributed or organic. A unit's number joins what is *read* on the day its window has closed and
does not grow after it; what is *standing* is every unit's number so far, for the eye and for guardrails.

Sums are kept as whole numbers (millionths), so that counting on from yesterday and counting anew give
the same bytes.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from recsys.errors import Corrupt
from recsys.experiments import Experiment, to_json
from recsys.metrics import Metric
from recsys.moments import Moments, Paired
from recsys.vocabulary import Decision, Event, Exposed, Glance, Outcome, Token

_SCALE = 1_000_000
_DAY = timedelta(days=1)
_Key = tuple[date, str, int] | tuple[date, str, str, str]
"""Day, variant and the metric's row; or day, variant, and a segment's kind and name."""
SURFACE, BEFORE = "surface", "before"
"""What a unit is told apart by: where it was first exposed, and whether it had done anything in the time before."""


@dataclass(frozen=True, slots=True)
class Day:
    """How things stood at the close of one UTC day."""

    day: date
    closing: Mapping[str, Mapping[str, Moments]]  # variant → metric → over every unit exposed so far
    read: Mapping[str, Mapping[str, Paired]]  # variant → metric → what this day's closed windows add


@dataclass(frozen=True, slots=True)
class Counts:
    """What the log says of one experiment; `days` has every day from the first exposure to the last event."""

    days: tuple[Day, ...]
    n_attributed: int
    n_organic: int
    n_crossed: int  # units seen in more than one variant: 0 unless assignment was changed mid-way
    as_of: datetime | None  # when the last event was recorded
    n_late: Mapping[str, int] = field(default_factory=dict)  # metric → outcomes recorded after their window was read
    waiting: Mapping[str, int] = field(default_factory=dict)  # metric → units whose window has not closed
    segments: Mapping[str, Mapping[str, Mapping[str, Paired]]] = field(default_factory=dict)
    """Of the primary: kind → segment → variant → what has been read."""

    def whole(self, variant: str, *, metric: str) -> Paired:
        """What has been read of a variant."""
        return sum((day.read.get(variant, {}).get(metric, Paired()) for day in self.days), start=Paired())

    def standing(self, variant: str, *, metric: str) -> Moments:
        """How every unit exposed so far stands."""
        return self.days[-1].closing.get(variant, {}).get(metric, Moments()) if self.days else Moments()


@dataclass(slots=True)
class _Unit:
    """One assigned unit while counting."""

    variant: str
    exposed_at: datetime
    tokens: list[Token]
    crossed: bool = False
    surface: str = ""  # of its first exposure


class Counting:
    """An experiment being counted: feed it events, ask at any time how things stand, and feed it more."""

    def __init__(self, experiment: Experiment, *, metrics: Sequence[Metric]) -> None:
        self.experiment = experiment
        self.metrics = tuple(metrics)
        self.position = 0  # of the last event fed
        self._kinds: frozenset[str] = frozenset().union(*(metric.kinds | metric.per for metric in metrics))
        self._units: dict[str, _Unit] = {}
        self._unit_of: dict[Token, str] = {}
        self._outcomes: dict[Token, dict[str, tuple[Outcome, datetime]]] = defaultdict(dict)
        self._read: dict[_Key, list[int]] = defaultdict(lambda: [0] * 6)
        self._cuts: dict[_Key, list[int]] = defaultdict(lambda: [0] * 6)
        self._moved: dict[_Key, list[int]] = defaultdict(lambda: [0] * 3)
        self._late: dict[_Key, int] = defaultdict(int)
        self._as_of: datetime | None = None
        self._n_attributed = self._n_organic = 0
        self._changed: dict[str, None] = {}
        self._counted: dict[str, tuple[int, int]] = {}  # unit → attributed, organic
        self._told: dict[str, list[tuple[_Key, tuple[int, ...]]]] = {}

    def feed(self, event: Event | Glance) -> None:
        """Take in one event; two outcomes of the same id are one."""
        body = event.body
        self.position = max(self.position, event.position)
        self._as_of = event.recorded_at if self._as_of is None else max(self._as_of, event.recorded_at)
        if isinstance(body, Outcome):
            if body.kind in self._kinds:
                theirs = self._outcomes[body.token]
                if body.outcome_id not in theirs:
                    theirs[body.outcome_id] = body, event.recorded_at
                    if (unit := self._unit_of.get(body.token)) is not None:
                        self._changed[unit] = None
        elif isinstance(body, Decision | Exposed):
            for assigned in body.experiments:
                if assigned.experiment_id == self.experiment.experiment_id:
                    self._expose(body, variant=assigned.variant)

    def counts(self, *, as_of: datetime | None = None) -> Counts:
        """How things stand after everything fed so far, or as of a later moment at which nothing more was known."""
        for name in self._changed:
            self._count(name)
        self._changed.clear()
        now = self._as_of if as_of is None or self._as_of is None else max(as_of, self._as_of)
        days = self._days(now) if now is not None else ()
        late: dict[str, int] = dict.fromkeys((m.name for m in self.metrics), 0)
        waiting = dict(late)
        for key, n in self._late.items():
            late[self.metrics[int(key[2])].name] += n
        closed = {m.name: sum(cells[m.name].n for day in days for cells in day.read.values()) for m in self.metrics}
        for metric in self.metrics:
            waiting[metric.name] = len(self._units) - closed[metric.name]
        return Counts(
            days=days,
            n_attributed=self._n_attributed,
            n_organic=self._n_organic,
            n_crossed=sum(unit.crossed for unit in self._units.values()),
            as_of=now,
            n_late=late,
            waiting=waiting,
            segments=self._segments(now) if now is not None else {},
        )

    def goes_on(self, experiment: Experiment, *, metrics: Sequence[Metric]) -> bool:
        """Whether this is a count of just that; the state of an experiment does not matter."""
        return self._of() == Counting(experiment, metrics=metrics)._of()

    def state(self) -> bytes:
        """All that is needed to go on counting elsewhere, after a restart: see `resumed`."""
        units = [
            [n, u.variant, u.exposed_at.isoformat(), list(u.tokens), int(u.crossed), u.surface]
            for n, u in self._units.items()
        ]
        outcomes = [
            [o.outcome_id, o.token, o.product_id, o.kind, o.happened_at.isoformat(), o.decision_id, o.amount_pence,
             at.isoformat()]
            for theirs in self._outcomes.values() for o, at in theirs.values()
        ]  # fmt: skip
        table = {
            "of": self._of(), "position": self.position, "as_of": self._as_of and self._as_of.isoformat(),
            "units": units, "outcomes": outcomes,
        }  # fmt: skip
        return zlib.compress(json.dumps(table).encode(), 3)

    def resume(self, state: bytes) -> None:
        """Take over a state; raises `Corrupt` where it is none, or of another experiment or other metrics."""
        try:
            table: dict[str, Any] = json.loads(zlib.decompress(state))
            if table["of"] != self._of():
                raise Corrupt("the roll-up is of another experiment or other metrics: count anew")
            for name, variant, at, tokens, crossed, surface in table["units"]:
                tokens = [Token(token) for token in tokens]
                self._units[name] = _Unit(variant, datetime.fromisoformat(at), tokens, bool(crossed), surface)
                self._unit_of.update(dict.fromkeys(tokens, name))
                self._changed[name] = None
            for id_, token, product, kind, at, decision, amount, recorded in table["outcomes"]:
                outcome = Outcome(id_, Token(token), product, kind, datetime.fromisoformat(at), decision, amount)
                self._outcomes[outcome.token][id_] = outcome, datetime.fromisoformat(recorded)
            self.position = int(table["position"])
            self._as_of = None if table["as_of"] is None else datetime.fromisoformat(table["as_of"])
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise Corrupt(f"a roll-up cannot be read ({type(error).__name__}): count anew") from None

    def _of(self) -> str:
        """What is being counted, in words that change when it does; its state and its ramp are no part of it."""
        record = {k: v for k, v in to_json(self.experiment).items() if k not in ("state", "stopped_arms", "ramp")}
        metrics = [
            [m.name, sorted(m.kinds), sorted(m.per), m.form, m.worth, str(m.window), str(m.before), m.cap,
             sorted((m.values or {}).items())]
            for m in self.metrics
        ]  # fmt: skip
        return json.dumps([record, metrics, SURFACE, BEFORE], sort_keys=True)

    # -- one unit --------------------------------------------------------------------------------

    def _expose(self, decision: Decision | Exposed, *, variant: str) -> None:
        household = self.experiment.unit == "household" and decision.unit
        name = decision.unit if household else str(decision.token)
        unit = self._units.get(name)
        if unit is None:
            unit = self._units[name] = _Unit(variant, decision.made_at, [], surface=decision.surface)
            self._changed[name] = None
        if decision.token not in self._unit_of:
            self._unit_of[decision.token] = name
            unit.tokens.append(decision.token)
            self._changed[name] = None
        unit.crossed |= unit.variant != variant
        if decision.made_at < unit.exposed_at:
            unit.variant, unit.exposed_at, unit.surface = variant, decision.made_at, decision.surface
            self._changed[name] = None

    def _inside(self, outcome: Outcome, *, metric: Metric, unit: _Unit) -> bool:
        if outcome.kind not in metric.kinds and outcome.kind not in metric.per:
            return False
        return unit.exposed_at <= outcome.happened_at < unit.exposed_at + metric.window

    def _count(self, name: str) -> None:
        """Take what a unit added out of the sums, and put in what it adds now."""
        unit = self._units[name]
        for key, numbers in self._told.pop(name, ()):
            self._add(key, numbers, sign=-1)
        counted = {
            o.outcome_id: o.decision_id is None
            for token in unit.tokens
            for o, _ in self._outcomes.get(token, {}).values()
            if any(self._inside(o, metric=metric, unit=unit) for metric in self.metrics)
        }
        before = self._counted.get(name, (0, 0))
        self._counted[name] = len(counted) - sum(counted.values()), sum(counted.values())
        self._n_attributed += self._counted[name][0] - before[0]
        self._n_organic += self._counted[name][1] - before[1]
        theirs = sorted(
            (known for token in unit.tokens for known in self._outcomes.get(token, {}).values()),
            key=lambda known: (known[0].happened_at, known[0].outcome_id),
        )
        told: list[tuple[_Key, tuple[int, ...]]] = []
        for row, metric in enumerate(self.metrics):
            told += self._added(unit, theirs, row=row, metric=metric)
        for key, numbers in told:
            self._add(key, numbers, sign=1)
        self._told[name] = told

    def _added(
        self, unit: _Unit, theirs: Sequence[tuple[Outcome, datetime]], *, row: int, metric: Metric
    ) -> Iterator[tuple[_Key, tuple[int, ...]]]:
        closes = unit.exposed_at + metric.window
        y = x = below = 0.0
        late = 0
        yield (unit.exposed_at.astimezone(UTC).date(), unit.variant, row), (1, 0, 0)
        for outcome, recorded_at in theirs:
            if unit.exposed_at <= outcome.happened_at < closes:
                after = metric.after(outcome, before=y)
                if after != y:
                    a, b = round(y * _SCALE), round(after * _SCALE)
                    yield (outcome.happened_at.astimezone(UTC).date(), unit.variant, row), (0, b - a, b * b - a * a)
                    late += recorded_at >= _midnight(closes)
                    y = after
                below += outcome.kind in metric.per
            elif metric.explained and unit.exposed_at - metric.before <= outcome.happened_at < unit.exposed_at:
                x = metric.after(outcome, before=x)
        did = x > 0.0
        if metric.form == "ratio":
            x = below
        a, b = round(y * _SCALE), round(x * _SCALE)
        closed, sums = closes.astimezone(UTC).date(), (1, a, a * a, b, b * b, a * b)
        yield (closed, unit.variant, row), sums
        if metric.name == self.experiment.primary:
            yield (closed, unit.variant, SURFACE, unit.surface), sums
            if metric.explained:
                yield (closed, unit.variant, BEFORE, "yes" if did else "no"), sums
        if late:
            yield (closes.astimezone(UTC).date(), unit.variant, row), (late,)

    def _add(self, key: _Key, numbers: tuple[int, ...], *, sign: int) -> None:
        if len(numbers) == 1:
            self._late[key] += sign * numbers[0]
            return
        sums = (self._cuts if len(key) == 4 else self._moved if len(numbers) == 3 else self._read)[key]
        for place, number in enumerate(numbers):
            sums[place] += sign * number

    def _segments(self, now: datetime) -> dict[str, dict[str, dict[str, Paired]]]:
        """Of every window closed before today."""
        today, found = now.astimezone(UTC).date(), dict[str, dict[str, dict[str, Paired]]]()
        for key, sums in sorted(self._cuts.items(), key=lambda each: tuple(map(str, each[0]))):
            if len(key) == 4 and key[0] < today and sums[0]:
                _, variant, kind, name = key
                sides = found.setdefault(kind, {}).setdefault(name, {})
                sides[variant] = sides.get(variant, Paired()) + _paired(sums)
        return found

    # -- all of them -----------------------------------------------------------------------------

    def _days(self, now: datetime) -> tuple[Day, ...]:
        """Every day from the first exposure to now; a day's windows are read when the day is over."""
        exposed = [key[0] for key, sums in self._moved.items() if sums[0]]
        if not exposed:
            return ()
        happened = [key[0] for key, sums in self._moved.items() if any(sums)]
        today = now.astimezone(UTC).date()
        closing_days = [key[0] for key, sums in self._read.items() if sums[0]]
        first, last = min(exposed), max(*happened, min(today - _DAY, max(closing_days)), min(exposed))
        variants = [v.name for v in self.experiment.variants]
        variants += sorted({unit.variant for unit in self._units.values()} - set(variants))
        so_far = {v: [[0, 0, 0] for _ in self.metrics] for v in variants}
        days = []
        for n in range((last - first).days + 1):
            day = first + n * _DAY
            closing: dict[str, dict[str, Moments]] = {}
            read: dict[str, dict[str, Paired]] = {}
            for variant in variants:
                closing[variant], read[variant] = {}, {}
                for row, metric in enumerate(self.metrics):
                    sums = so_far[variant][row]
                    for place, number in enumerate(self._moved.get((day, variant, row), ())):
                        sums[place] += number
                    closing[variant][metric.name] = Moments(sums[0], sums[1] / _SCALE, sums[2] / _SCALE**2)
                    cell = self._read.get((day, variant, row)) if day < today else None
                    read[variant][metric.name] = Paired() if cell is None else _paired(cell)
            days.append(Day(day, closing, read))
        return tuple(days)


def _paired(cell: Sequence[int]) -> Paired:
    n, y, yy, x, xx, xy = cell
    return Paired(n, y / _SCALE, yy / _SCALE**2, x / _SCALE, xx / _SCALE**2, xy / _SCALE**2)


def _midnight(moment: datetime) -> datetime:
    """The end of a moment's UTC day: when windows that close on it are read."""
    day = moment.astimezone(UTC).date() + _DAY
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
