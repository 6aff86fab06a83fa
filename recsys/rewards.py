"""Staged outcomes → reward: one dated configuration for the learner, the judge and the dashboard.

A slot passes through stages (seen → tapped → opened; seen → dismissed), each with an attribution
window counted from the decision. A slot's reward is the sum of the worth of the stages that
happened, signed (a dismissal costs) and bounded. Not yet known is not zero: a stage counts from
`ripe_after`, when its window and the grace for late delivery have passed (domain 3.8, 3.9).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidConfiguration
from recsys.tomls import Table, document, read_text
from recsys.vocabulary import NOTHING, ProductId

SEEN = "seen"
DEFAULT = Path(__file__).with_name("default_rewards.toml")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that may happen to a slot, and what it is worth in points."""

    name: str
    kind: str  # the outcome kind that fulfils it
    given: str  # "seen", or the stage that must have happened first
    window: timedelta
    grace: timedelta
    worth: float | None  # None: the product's own value

    @property
    def ripe_after(self) -> timedelta:
        """From the decision until the stage is known."""
        return self.window + self.grace


@dataclass(frozen=True, slots=True)
class Rewards:
    """A reward configuration; `values` holds each product's own points."""

    version: str
    stages: tuple[Stage, ...]
    low: float
    high: float
    values: Mapping[ProductId, float] = field(default_factory=lambda: MappingProxyType({}))
    digest: str = ""

    def worth(self, stage: Stage, product_id: ProductId) -> float:
        """Points for `stage` happening to `product_id`; 0 for the null choice."""
        if product_id == NOTHING:
            return 0.0
        return self.values.get(product_id, 1.0) if stage.worth is None else stage.worth

    def bounded(self, points: float) -> float:
        """`points` inside [low, high]."""
        return min(max(points, self.low), self.high)

    def with_values(self, values: Mapping[ProductId, float]) -> Rewards:
        """The same configuration over another catalogue's points; the digest covers both."""
        digest = digest_of(canonical([_described(self), dict(values)]))
        return Rewards(self.version, self.stages, self.low, self.high, MappingProxyType(dict(values)), digest)

    def counting(self, kind: str) -> Rewards:
        """The same stages and windows, but 1 for each slot with an outcome of this kind and nothing else.

        A kind that is no stage counts from a slot that was seen, within the longest window.
        """
        watched = self.watching((kind,)).stages
        counted = tuple(replace(stage, worth=float(stage.kind == kind)) for stage in watched)
        return replace(self, stages=counted, low=0.0, high=1.0).with_values(self.values)

    def watching(self, kinds: Iterable[str]) -> Rewards:
        """The same points, and rounds that also say whether an outcome of these kinds came to a slot that was seen."""
        last = max(self.stages, key=lambda stage: stage.ripe_after)
        missing = [kind for kind in kinds if all(stage.kind != kind for stage in self.stages)]
        more = tuple(Stage(kind, kind, SEEN, last.window, last.grace, 0.0) for kind in missing)
        return replace(self, stages=self.stages + more).with_values(self.values)

    @property
    def longest(self) -> timedelta:
        """When the last stage is known: a decision older than this is a round."""
        return max((stage.ripe_after for stage in self.stages), default=timedelta(0))

    @property
    def kinds(self) -> frozenset[str]:
        """Every outcome kind this configuration knows."""
        return frozenset({SEEN, *(stage.kind for stage in self.stages)})


def duration(text: str) -> timedelta:
    """A duration such as "90s", "30m", "12h" or "10d".

    >>> duration("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    match = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if match is None:
        raise InvalidConfiguration(f'"{text}" is not a duration: write a number and s, m, h or d, such as "10d"')
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise InvalidConfiguration(f'"{text}" is too long a duration') from None


def load(path: Path = DEFAULT) -> Rewards:
    """Read a reward configuration; raises `InvalidConfiguration` naming the file and the stage."""
    return parse(read_text(path, error=InvalidConfiguration), where=path.name)


def parse(text: str, *, where: str) -> Rewards:
    """Read a reward configuration from TOML text; raises like `load`."""
    top = document(text, where=where, error=InvalidConfiguration)
    version = top.take("version", str, "a text", default="")
    low, high = _number(top, "low", default=0.0), _number(top, "high", default=1.0)
    stages = tuple(_stage(top.inside(row, what=_title(row))) for row in top.tables("stage"))
    top.done()
    _check_chain(stages, where=where)
    if not low < high:
        raise top.fail(f"low ({low:g}) must be below high ({high:g})")
    return Rewards(version, stages, low, high).with_values({})


def _title(row: Mapping[str, object]) -> str:
    return f"stage {row['name']}" if isinstance(row.get("name"), str) else "a stage"


def _stage(row: Table) -> Stage:
    name = row.text("name")
    stage = Stage(
        name,
        row.take("kind", str, "an outcome kind", default=name),
        row.take("given", str, "the name of a stage", default=SEEN),
        _duration(row, "window"),
        _duration(row, "grace", default="0s"),
        None if row.row.get("worth") == "value" else _number(row, "worth"),
    )
    row.row.pop("worth", None)
    row.done()
    return stage


def _duration(row: Table, key: str, *, default: str | None = None) -> timedelta:
    text = row.take(key, str, 'a duration such as "10d"', default=default)
    try:
        return duration(text)
    except InvalidConfiguration as error:
        raise row.fail(f"{key}: {error}") from None


def _number(row: Table, key: str, *, default: float | None = None) -> float:
    words = 'a number or "value"' if key == "worth" else "a number"
    value = float(row.take(key, (int, float), words, default=default))
    if not math.isfinite(value):
        raise row.fail(f"{key} must be finite")
    return value


def _check_chain(stages: tuple[Stage, ...], *, where: str) -> None:
    if not stages:
        raise InvalidConfiguration(f"{where}: no stage: name at least one, such as tapped")
    before = {SEEN: timedelta(0)}
    for stage in stages:
        if stage.name in before:
            raise InvalidConfiguration(f"{where}: stage {stage.name} stands twice")
        if stage.given not in before:
            raise InvalidConfiguration(f"{where}: stage {stage.name} follows {stage.given}, which is not above it")
        if stage.window < before[stage.given]:
            raise InvalidConfiguration(f"{where}: stage {stage.name} closes before {stage.given} does")
        before[stage.name] = stage.window


def _described(rewards: Rewards) -> list[object]:
    stages = [
        [s.name, s.kind, s.given, s.window.total_seconds(), s.grace.total_seconds(), s.worth] for s in rewards.stages
    ]
    return [rewards.version, rewards.low, rewards.high, stages]
