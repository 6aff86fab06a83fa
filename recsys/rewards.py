"""Staged outcomes → reward: one dated configuration for the learner, the judge and the dashboard.

A slot passes through stages (seen → tapped → opened; seen → dismissed), each with an attribution
window counted from the decision. A slot's reward is the sum of the worth of the stages that
happened, signed (a dismissal costs) and bounded. Not yet known is not zero: a stage counts from
`ripe_after`, when its window and the grace for late delivery have passed (domain 3.8, 3.9).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidConfiguration
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
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def load(path: Path = DEFAULT) -> Rewards:
    """Read a reward configuration; raises `InvalidConfiguration` naming the file and the stage."""
    try:
        return parse(path.read_text(encoding="utf-8"), where=path.name)
    except FileNotFoundError:
        raise InvalidConfiguration(f"{path}: no such file") from None


def parse(text: str, *, where: str) -> Rewards:
    """Read a reward configuration from TOML text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
    stages = tuple(_stage(row, where=where) for row in table.get("stage", []))
    _check_chain(stages, where=where)
    low, high = float(table.get("low", 0.0)), float(table.get("high", 1.0))
    if not low < high:
        raise InvalidConfiguration(f"{where}: low ({low:g}) must be below high ({high:g})")
    return Rewards(str(table.get("version", "")), stages, low, high).with_values({})


def _stage(row: Mapping[str, Any], *, where: str) -> Stage:
    name = row.get("name")
    if not name:
        raise InvalidConfiguration(f"{where}: a stage without a name")
    known = {"name", "kind", "given", "window", "grace", "worth"}
    if unknown := sorted(set(row) - known):
        raise InvalidConfiguration(f"{where}: stage {name} has the unknown key {unknown[0]}")
    if "window" not in row or "worth" not in row:
        raise InvalidConfiguration(f"{where}: stage {name} needs a window and a worth")
    worth = None if row["worth"] == "value" else row["worth"]
    if worth is not None and (isinstance(worth, bool) or not isinstance(worth, int | float)):
        raise InvalidConfiguration(f'{where}: stage {name}: worth is a number or "value"')
    return Stage(
        name,
        str(row.get("kind", name)),
        str(row.get("given", SEEN)),
        duration(row["window"]),
        duration(row.get("grace", "0s")),
        None if worth is None else float(worth),
    )


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
