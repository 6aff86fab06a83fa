"""Watching the models: how features, scores, rewards and the age of facts move from day to day.

One reading of the log gives every number; pages, metrics and notebooks take them from here. A day is
compared with the days before it: by how many of their standard deviations a mean has moved (for the
mix of products, the largest change of a share). Amber asks for a look, red for an owner (MRM-5).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from recsys.effects import Moments
from recsys.eventlog import EventLog
from recsys.joining import Joiner
from recsys.rewards import Rewards
from recsys.vocabulary import NOTHING, Decision, Event, Round, Shadow

LIGHTS = ("green", "amber", "red")
_FEWEST = 30  # decisions in a day, and before it, for a comparison to mean anything


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a movement is amber, and when red."""

    drift: tuple[float, float] = (0.5, 1.0)  # standard deviations that a day's mean has moved
    share: tuple[float, float] = (0.2, 0.4)  # of a product in the first slot
    hours: tuple[float, float] = (36.0, 72.0)  # mean age of a fact when it was used
    skew: tuple[float, float] = (0.01, 0.05)  # of customers whose served fact is not the exported one
    failing: tuple[float, float] = (0.001, 0.01)  # of decisions in which a shadow failed

    def light(self, what: str, value: float) -> str:
        """Green, amber or red; nothing to compare with is green."""
        amber, red = getattr(self, what)
        return "red" if value >= red else "amber" if value >= amber else "green"


@dataclass(slots=True)
class Beside:
    """How a recipe in the shadow chose, in sums that add."""

    decisions: int = 0
    failed: int = 0
    differ: int = 0  # another product, or none, in the first slot
    took_us: Moments = field(default_factory=Moments)
    its: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # product → times it stood first
    shown: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # the same of what was shown

    def take(self, shadow: Shadow, decision: Decision) -> None:
        """Count one decision."""
        self.decisions += 1
        self.took_us = self.took_us + Moments.of(float(shadow.took_us))
        if shadow.failed:
            self.failed += 1
            return
        its = shadow.slots[0][0] if shadow.slots else NOTHING
        shown = decision.slots[0].product_id if decision.slots else NOTHING
        self.differ += its != shown
        self.its[its] += 1
        self.shown[shown] += 1

    def readings(self, day: date, recipe: str, lights: Thresholds) -> Iterator[Reading]:
        """How often it failed, how often it chose otherwise, what it took, and the share of each product."""
        failed, chose = self.failed / self.decisions, max(self.decisions - self.failed, 1)
        yield Reading(day, "shadow", f"{recipe} failed", failed, None, failed, lights.light("failing", failed))
        yield Reading(day, "shadow", f"{recipe} chose otherwise", self.differ / chose, None, 0.0, "green")
        yield Reading(day, "shadow", f"{recipe} milliseconds", self.took_us.mean / 1000, None, 0.0, "green")
        for product in sorted({*self.its, *self.shown}):
            share, live = self.its.get(product, 0) / chose, self.shown.get(product, 0) / chose
            moved = abs(share - live) if chose >= _FEWEST else 0.0
            light = lights.light("share", moved)
            yield Reading(day, "shadow", f"{recipe} {product}", share, live, moved, light)


@dataclass(slots=True)
class Day:
    """One day in sums that add."""

    decisions: int = 0
    features: dict[str, Moments] = field(default_factory=dict)
    scores: dict[str, Moments] = field(default_factory=dict)  # by recipe: the score of what stood first
    shares: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # product → times it stood first
    ages: dict[str, Moments] = field(default_factory=dict)  # fact → hours when it was used
    reward: Moments = field(default_factory=Moments)  # of the rounds that were made on this day
    beside: dict[str, Beside] = field(default_factory=dict)  # recipe in the shadow → how it chose

    def take(self, decision: Decision) -> None:
        """Count one decision."""
        self.decisions += 1
        for name, value in zip(decision.context.names, decision.context.values, strict=True):
            if math.isfinite(value):
                _add(self.features, name, value)
        if decision.shown:
            first = decision.shown[0].product_id
            self.shares[first] += 1
            row = next((i for i, each in enumerate(decision.candidates) if each.product_id == first), None)
            if row is not None and row < len(decision.scores) and math.isfinite(decision.scores[row]):
                _add(self.scores, decision.policy.partition("@")[0], float(decision.scores[row]))
        for shadow in decision.shadows:
            self.beside.setdefault(shadow.policy.partition("@")[0], Beside()).take(shadow, decision)
        for name, fact in decision.facts.items():
            _add(self.ages, name, (decision.made_at - fact.as_of) / timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one day beside the days before it."""

    day: date
    kind: str  # feature | score | share | reward | freshness | shadow | skew
    name: str
    value: float
    before: (
        float | None
    )  # the same over the days before (of a shadow: of what was shown), None where there is too little
    moved: float  # as the thresholds measure it
    light: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "day": self.day.isoformat(), "kind": self.kind, "name": self.name, "value": self.value,
            "before": self.before, "moved": self.moved, "light": self.light,
        }  # fmt: skip


def watched(log: EventLog, *, rewards: Rewards, days: int = 14, thresholds: Thresholds | None = None) -> list[Reading]:
    """Every reading of the last `days` days of the log, oldest day first. Raises `StoreUnavailable`."""
    last = log.last_position()
    since = log.position_before(log.recorded_at(last) - timedelta(days=days))
    return readings(days_of(log.read(after=since, until=last), rewards=rewards), thresholds=thresholds)


def days_of(events: Iterable[Event], *, rewards: Rewards) -> dict[date, Day]:
    """The days of some events, by when the decisions were made."""
    found: dict[date, Day] = defaultdict(Day)
    joiner = Joiner(rewards)
    for event in events:
        for each in joiner.feed(event):
            if isinstance(each, Round):
                day = found[each.decision.made_at.date()]
                day.reward = day.reward + Moments.of(float(each.rewards.sum()))
        if isinstance(event.body, Decision):
            found[event.body.made_at.date()].take(event.body)
    return dict(sorted(found.items()))


def readings(days: Mapping[date, Day], *, thresholds: Thresholds | None = None) -> list[Reading]:
    """Each day beside all days before it."""
    lights, before, found = thresholds or Thresholds(), Day(), list[Reading]()
    for day, now in sorted(days.items()):
        for kind, these, those in (
            ("feature", now.features, before.features),
            ("score", now.scores, before.scores),
            ("reward", {"reward": now.reward} if now.reward.n else {}, {"reward": before.reward}),
        ):
            for name, moments in sorted(these.items()):
                found.append(_moved(day, kind, name, moments, those.get(name), lights))
        for name, ages in sorted(now.ages.items()):
            light = lights.light("hours", ages.mean)
            found.append(Reading(day, "freshness", name, ages.mean, None, ages.mean, light))
        found += _shares(day, now, before, lights)
        for recipe, beside in sorted(now.beside.items()):
            found += beside.readings(day, recipe, lights)
        before = _sum(before, now)
    return found


def worst(found: Iterable[Reading]) -> str:
    """The light of the whole: the worst of them."""
    return max((each.light for each in found), key=LIGHTS.index, default="green")


def _moved(day: date, kind: str, name: str, now: Moments, then: Moments | None, lights: Thresholds) -> Reading:
    if then is None or then.n < _FEWEST or now.n < _FEWEST:
        return Reading(day, kind, name, now.mean, None if then is None or not then.n else then.mean, 0.0, "green")
    difference, spread = abs(now.mean - then.mean), math.sqrt(max(then.variance, 0.0))
    moved = difference / spread if spread > 0.0 else (0.0 if difference == 0.0 else math.inf)
    moved = min(moved, 1e6)  # JSON has no infinity
    return Reading(day, kind, name, now.mean, then.mean, moved, lights.light("drift", moved))


def _shares(day: date, now: Day, before: Day, lights: Thresholds) -> list[Reading]:
    n, then = sum(now.shares.values()), sum(before.shares.values())
    found = []
    for product in sorted({*now.shares, *before.shares}):
        share = now.shares.get(product, 0) / n if n else 0.0
        was = before.shares.get(product, 0) / then if then else None
        moved = abs(share - was) if was is not None and min(n, then) >= _FEWEST else 0.0
        found.append(Reading(day, "share", product, share, was, moved, lights.light("share", moved)))
    return found


def _sum(one: Day, other: Day) -> Day:
    whole = Day(one.decisions + other.decisions, reward=one.reward + other.reward)
    for name in ("features", "scores", "ages"):
        into: dict[str, Moments] = getattr(whole, name)
        for part in (getattr(one, name), getattr(other, name)):
            for key, moments in part.items():
                into[key] = into.get(key, Moments()) + moments
    for part in (one.shares, other.shares):
        for product, n in part.items():
            whole.shares[product] += n
    return whole


def _add(into: dict[str, Moments], name: str, value: float) -> None:
    into[name] = into.get(name, Moments()) + Moments.of(value)
