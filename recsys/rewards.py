"""Staged outcomes → reward: one dated configuration for the learner, the judge and the dashboard.

A slot passes through stages (seen → tapped → opened; seen → dismissed), each with an attribution
window counted from the decision. A slot's reward is the sum of the worth of the stages that
happened, signed (a dismissal costs) and bounded. Not yet known is not zero: a stage counts from
`ripe_after`, when its window and the grace for late delivery have passed (domain 3.8, 3.9).

What a recipe is taught of it is a *form* (`taught`). Who taps a card for what they were going to open
anyway is credited to the card all the same, so the incremental form also learns, from openings that
named no decision, what comes of its own accord, and takes it off (domain 3.9). A stage with a `horizon`
is taught as what will have happened by then, of which its window shows a part (recsys/delays.py).
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
UNSHOWN = "unshown"
"""What the stage "anyway" is given: a candidate of the decision that its slate did not show."""
ANYWAY = "anyway"
FORMS = ("attributed", "incremental", "direct", "tapped")
"""What a recipe may be taught: credited outcomes by stages; the same less what comes anyway; each outcome's worth
straight from "seen"; or taps alone."""
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
    horizon: timedelta | None = None  # outcomes are followed so long; the window shows a learned share of them
    early: timedelta | None = None  # taught at this age, before the window has closed; needs a horizon
    lift: float = 1.0  # of "anyway": how many times likelier it is of those who tap than of others like them

    @property
    def taught_after(self) -> timedelta:
        """From the decision until the stage is taught."""
        return self.ripe_after if self.early is None else self.early

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
    anyway: Stage | None = None  # openings that no card brought; no part of a slot's reward

    def taught(self, form: str) -> tuple[Stage, ...]:
        """The stages that a recipe of this form is taught; raises `InvalidConfiguration` where one is missing."""
        match form:
            case "attributed":
                return self.stages
            case "incremental":
                if self.anyway is None:
                    raise InvalidConfiguration("the incremental form needs [anyway] in the reward configuration")
                return (*self.stages, self.anyway)
            case "direct":
                return tuple(_from_seen(stage) for stage in self.stages if stage.worth != 0.0)
            case "tapped":
                if taps := tuple(replace(stage, worth=1.0) for stage in self.stages if stage.kind == "tapped"):
                    return taps
                raise InvalidConfiguration("the tapped form needs a stage of the kind tapped")
        raise InvalidConfiguration(f'"{form}" is no form of reward: use one of {", ".join(FORMS)}')

    def teaching(self, forms: Iterable[str]) -> Rewards:
        """The same configuration with every stage that recipes of these forms are taught, for joining lessons."""
        known = {stage.name: stage for stage in self.stages}
        for form in forms:
            for stage in self.taught(form):
                known.setdefault(stage.name, stage)
        return replace(self, stages=tuple(known.values()))

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
        return replace(self, values=MappingProxyType(dict(values)), digest=digest)

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
    anyway = _anyway(top)
    top.done()
    _check_chain(stages, where=where)
    if not low < high:
        raise top.fail(f"low ({low:g}) must be below high ({high:g})")
    return Rewards(version, stages, low, high, anyway=anyway).with_values({})


def _from_seen(stage: Stage) -> Stage:
    """The same outcome straight from "seen", under a name of its own."""
    return stage if stage.given == SEEN else replace(stage, name=f"{stage.name}|{SEEN}", given=SEEN)


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
        _duration(row, "horizon") if "horizon" in row.row else None,
        _duration(row, "early") if "early" in row.row else None,
    )
    row.row.pop("worth", None)
    if name == ANYWAY or stage.given == UNSHOWN:
        raise row.fail(f"{ANYWAY} and {UNSHOWN} are taken: write [anyway] for what comes without a card")
    if stage.horizon is not None and stage.horizon < stage.window:
        raise row.fail("horizon must not be shorter than window")
    if stage.early is not None and (stage.horizon is None or not timedelta(0) < stage.early <= stage.ripe_after):
        raise row.fail("early lies within window and grace, and needs a horizon, or what comes later counts as none")
    row.done()
    return stage


def _anyway(top: Table) -> Stage | None:
    given = top.take("anyway", dict, "a table", default={})
    if not given:
        return None
    row = top.inside(given, what=ANYWAY)
    kind = row.take("kind", str, "an outcome kind", default="opened")
    lift = _number(row, "lift", default=1.0)
    if lift < 0.0:
        raise row.fail(f"lift is how many times likelier, at least 0, not {lift:g}", key="lift")
    stage = Stage(ANYWAY, kind, UNSHOWN, _duration(row, "window"), _duration(row, "grace", default="0s"), 0.0)
    row.done()
    return replace(stage, lift=lift)


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
    every = (*rewards.stages, *(() if rewards.anyway is None else (rewards.anyway,)))
    return [rewards.version, rewards.low, rewards.high, [_plain(stage) for stage in every]]


def _plain(stage: Stage) -> list[object]:
    plain = [stage.name, stage.kind, stage.given, stage.window.total_seconds(), stage.grace.total_seconds()]
    later = [None if each is None else each.total_seconds() for each in (stage.horizon, stage.early)]
    return [*plain, stage.worth, *(later if any(later) else ()), *((stage.lift,) if stage.lift != 1.0 else ())]
