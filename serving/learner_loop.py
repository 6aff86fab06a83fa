"""The learner process: tail the log, join, learn, publish; one process teaches every recipe.

What a recipe has learned after position n is a function of the first n events and its
configuration. So are the positions at which it publishes: after enough lessons, and not before
enough business time. Where another bundle was published, every recipe publishes at once a snapshot
that names it, as the two go into force as a pair (live_policy.py). Each snapshot's manifest carries
the position it has learned up to and the one from which a restart must read again, to skip what was
taught and go on to the same bytes.

A lesson that may not teach goes to the quarantine with its reason. A snapshot that fails its canary
rounds (bandits/canary.py) goes there too: the last good one stays in force and the recipe is frozen,
until its canaries pass again or a person releases it, which is an event of the log as well.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bandits import canary
from bandits.learner import from_state, make_learner
from bandits.policy import Policy
from bandits.recipe import Learner, Recipe
from bandits.selftest import checked_recipe
from bandits.teaching import sound
from embeddings import bundle as bundles
from recsys import artefacts
from recsys.daily import Daily
from recsys.errors import ArtefactMissing, Misuse
from recsys.eventlog import EventLog
from recsys.joining import Counters
from recsys.quarantine import PASSED, Quarantine, Refused, refused
from recsys.readmarks import ReadMark
from recsys.records import micros, moment
from recsys.rewards import Rewards
from recsys.vocabulary import Decision, Event, Release
from recsys.waiting import Closed
from serving import tallies
from serving.curriculum import STILL, Curriculum, Told, learns_from, stages_of, teaches
from serving.flooding import Bounds
from serving.live_policy import STATE, policy_name
from serving.retention import Retention
from serving.tallies import Tally

LEASE = "learner"
_PAGE = 2_000
_CANARIES = 100  # latest decisions that may teach, on which a new snapshot must show itself
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a recipe publishes: after so many lessons, and not within so much business time of the last."""

    lessons: int
    apart: timedelta


@dataclass(slots=True)
class _Taught:
    """One recipe while it learns."""

    recipe: Recipe
    learner: Learner
    version: int = 0
    since: int = 0  # lessons since the last snapshot
    published_at: datetime | None = None  # business time
    position: int = 0  # learned up to here
    bundle: str | None = None  # the one its last snapshot names
    good: Policy | None = None  # the one published last
    frozen: str = ""  # the quarantine's key of the snapshot that was held back, "" where none is
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Progress:
    """What a pass came to."""

    lessons: int = 0
    quarantined: int = 0
    published: Counter[str] = field(default_factory=Counter)
    held_back: Counter[str] = field(default_factory=Counter)


class LearnerLoop:
    """One learner over one log. `catch_up` reads to the end; `run` keeps doing so while it holds the lease."""

    def __init__(
        self,
        *,
        log: EventLog,
        root: Path,
        recipes: Mapping[str, Recipe],
        rewards: Rewards,
        quarantine: Quarantine,
        mark: ReadMark,
        cadence: Cadence,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        retention: Retention | None = None,
        daily: Daily | None = None,
    ) -> None:
        self._log = log
        self._root = root
        self._rewards = rewards
        self._bounds_plain = [bounds.decisions, bounds.outcomes, bounds.window.total_seconds()]
        self._quarantine = quarantine
        self._cadence = cadence
        self._mark = mark
        self._marked, self._counted = mark.read()
        self._taught = {name: self._resumed(checked_recipe(recipe)) for name, recipe in recipes.items()}
        self._refused: list[Refused] = []
        self._bundle: str | None = None  # as it was last looked for
        self._recent: deque[tuple[int, Decision]] = deque(maxlen=_CANARIES)
        self.progress = Progress()
        self._stages = {name: stages_of(recipe, rewards) for name, recipe in recipes.items()}
        forms = [recipe.reward for recipe in recipes.values()]
        self._curriculum = Curriculum(rewards, forms=forms, bounds=bounds, past=log)
        self._joiner = self._curriculum.joiner
        self._daily = daily
        self._position = self._rewind()
        self._retention = retention
        if retention is not None:
            retention.catch_up(until=self._position)

    @property
    def counters(self) -> Counters:
        """What became of the events read so far."""
        return self._joiner.counters

    def catch_up(self, *, told: Callable[[int], None] = lambda _: None) -> Progress:
        """Read to the end of the log. `told` hears the position after each page."""
        more = True
        while more:
            more = self.step()
            told(self._position)
        return self.progress

    def step(self) -> bool:
        """Take in the next page of the log; returns whether it was full, so that more may be waiting."""
        page = self._log.page(after=self._position, limit=_PAGE)
        if page:
            self._joiner.expect(page[-1].recorded_at)
        for event in page:
            self._take(event)
            self._position = event.position
        self._pair()
        self._flush()
        if self._retention is not None and page:
            self._retention.save(self._position)
            self._retention.prune(self._taught, now=page[-1].recorded_at)
        if self._daily is not None:
            self._daily.save(self._position, open_from=self._joiner.open_from(self._position), full=len(page) == _PAGE)
        if self._position > self._marked:
            self._mark.write(self._position, self.counts())
            self._marked = self._position
        return len(page) == _PAGE

    def counts(self) -> dict[str, int]:
        """What became of everything read so far, over all runs of this process."""
        learned = {f"lessons_{name}": taught.learner.taught for name, taught in self._taught.items()}
        frozen = {f"frozen_{name}": int(bool(taught.frozen)) for name, taught in self._learning()}
        lessons = tallies.named({name: taught.tally for name, taught in self._learning()})
        published = {"snapshots": sum(taught.version for taught in self._taught.values())}
        return asdict(self._joiner.counters) | learned | frozen | lessons | published

    def _learning(self) -> list[tuple[str, _Taught]]:
        return [(name, taught) for name, taught in self._taught.items() if taught.recipe.learner not in STILL]

    def _pair(self) -> None:
        """Where another bundle was published, cut a snapshot of every recipe to go with it, once."""
        bundle = _bundle_in_force(self._root)
        if bundle != self._bundle:
            self._bundle = bundle
            for taught in self._taught.values():
                if taught.version and taught.bundle != bundle:
                    self._publish(taught)

    def publish(self) -> None:
        """Publish every recipe that has learned something since its last snapshot (a warm start's end)."""
        for taught in self._taught.values():
            if taught.since or not taught.version:
                self._publish(taught)

    # -- one event -----------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        for told in self._curriculum.feed(event):
            if isinstance(told, Closed):
                self._close(told)
                if self._daily is not None:
                    self._daily.closed(told, at=event.position)
            else:
                self._teach(told, at=event.position)
                if self._daily is not None and told.only is None:
                    self._daily.told(told.lesson, at=event.position)
        if isinstance(event.body, Decision):
            self._note_decision(event.body, at=event.position)
        if event.position == self._marked and self._counted:  # read again after a restart: count on from there
            self._recount()
        for taught in self._taught.values():
            if event.position > taught.position:
                taught.position = event.position
                if taught.frozen and isinstance(event.body, Release) and event.body.key == taught.frozen:
                    self._publish(taught, lifted=event.body)
                elif self._due(taught, now=event.recorded_at):
                    self._publish(taught)

    def _teach(self, told: Told, *, at: int) -> None:
        lesson = told.lesson
        if told.kind and told.only is None:
            self._refused.append(refused(lesson, recipe="", reason=told.reason, kind=told.kind))
            self.progress.quarantined += 1
        for _, taught in self._learning():
            if not learns_from(taught.recipe, told, stages=self._stages[taught.recipe.name]):
                if told.only is None:
                    taught.tally.end("superseded")
                continue
            state = "quarantined" if told.kind or not self._learned(told, taught, at=at) else "learned"
            if told.only is None:
                taught.tally.end(state)
            elif state == "learned":
                taught.tally.release()

    def _learned(self, told: Told, taught: _Taught, *, at: int) -> bool:
        """Whether a recipe learned a lesson, now or before its last snapshot."""
        if at <= taught.position:
            return True
        try:
            taught.learner.learn([told.lesson])
        except Misuse as error:  # what this learner alone cannot take
            self._refused.append(refused(told.lesson, recipe=taught.recipe.name, reason=str(error)))
            self.progress.quarantined += 1
            return False
        taught.since += 1
        self.progress.lessons += 1
        return True

    def _note_decision(self, decision: Decision, *, at: int) -> None:
        if self._retention is not None:
            self._retention.saw(decision)
        if self._daily is not None:
            self._daily.made(decision, at=at)
        if teaches(decision):
            self._recent.append((at, decision))
        for _, taught in self._learning():
            taught.tally.promise(self._curriculum.promised[decision.decision_id])

    def _close(self, told: Closed) -> None:
        """What a decision promised and did not tell will not come any more."""
        if left := self._curriculum.promised.get(told.decision_id, 0):
            for _, taught in self._learning():
                taught.tally.end("superseded", left)

    def _recount(self) -> None:
        names = [each.name for each in fields(Counters)]
        self._joiner.counters = Counters(**{name: self._counted[name] for name in names if name in self._counted})
        for name, counts in tallies.read(self._counted, self._taught).items():
            self._taught[name].tally = Tally(counts)

    # -- publishing ------------------------------------------------------------------------------

    def _due(self, taught: _Taught, *, now: datetime) -> bool:
        if taught.since < self._cadence.lessons:
            return False
        return taught.published_at is None or now - taught.published_at >= self._cadence.apart

    def _publish(self, taught: _Taught, *, lifted: Release | None = None) -> None:
        """Cut a snapshot, put it through its canary rounds, and move the pointer; or freeze, with an alert."""
        policy = taught.learner.snapshot(taught.version + 1)
        found = canary.faults(
            policy,
            last=taught.good,
            decisions=[decision for _, decision in self._recent if sound(decision)],
            envelope=taught.recipe.envelope,
            **self._bounds(),
        )
        if any(not fault.liftable or lifted is None for fault in found):
            self._freeze(taught, found)
            return
        self._flush()
        if taught.frozen:
            by, why = (lifted.by, lifted.reason) if lifted is not None else ("recsys", "its canary rounds passed again")
            self._quarantine.settle(taught.frozen, state=PASSED, by=by, why=why)
            logger.warning("%s publishes again after it was frozen", taught.recipe.name)
            taught.frozen = ""
        bundle = _bundle_in_force(self._root) if self._bundle is None else self._bundle
        taught.version += 1
        taught.since = 0
        taught.published_at = self._joiner.watermark
        manifest = {
            "recipe": taught.recipe.plain,
            "recipe_digest": taught.recipe.digest,
            "rewards": self._rewards.digest,
            "version": taught.version,
            "policy": policy.name,
            "position": taught.position,
            "open_from": self._open_from(taught.position),
            "bounds": self._bounds_plain,
            "watermark": None if self._joiner.watermark is None else micros(self._joiner.watermark),
            "lessons": taught.learner.taught,
            "bundle": bundle,
        }
        artefacts.publish(
            self._root, policy_name(taught.recipe.name), files={STATE: taught.learner.state()}, manifest=manifest
        )
        taught.good, taught.bundle = policy, bundle
        self.progress.published[taught.recipe.name] += 1

    def _freeze(self, taught: _Taught, found: tuple[canary.Fault, ...]) -> None:
        """The last good snapshot stays in force; the first one held back stands in quarantine for a person."""
        name, why = taught.recipe.name, "; ".join(fault.why for fault in found)
        self.progress.held_back[name] += 1
        taught.since = 0
        logger.error("a snapshot of %s failed its canary rounds, the last good one stays: %s", name, why)
        if not taught.frozen:
            taught.frozen = f"snapshot:{name}@{taught.version + 1}:{taught.position}"
            kind = "snapshot" if all(fault.liftable for fault in found) else "poison"
            self._refused.append(Refused(taught.frozen, taught.position, name, why, kind))

    def _bounds(self) -> dict[str, float]:
        """What a slot's expected worth lies between."""
        worths = [
            stage.worth if stage.worth is not None else max(self._rewards.values.values(), default=1.0)
            for stage in self._rewards.stages
        ]
        low = min(self._rewards.low, sum(min(worth, 0.0) for worth in worths))
        return {"low": low, "high": max(self._rewards.high, sum(max(worth, 0.0) for worth in worths))}

    def _open_from(self, position: int) -> int:
        """Where a restart must begin to read: at what is open, what floods are counted from, and the canaries."""
        oldest = self._recent[0][0] - 1 if self._recent else position
        return self._curriculum.open_from(position, oldest=oldest)

    def _flush(self) -> None:
        misfits = [
            Refused(f"event:{position}", position, "", reason, "outcome") for position, reason in self._joiner.misfits
        ]
        if misfits or self._refused:
            self._quarantine.put([*misfits, *self._refused])
            self._joiner.misfits.clear()
            self._refused = []

    # -- restarting ------------------------------------------------------------------------------

    def _resumed(self, recipe: Recipe) -> _Taught:
        """The recipe as its last snapshot left it; from nothing where it or its configuration is new."""
        manifest = self._manifest(recipe)
        if manifest is None:
            return _Taught(recipe, make_learner(recipe, self._rewards))
        state = artefacts.current(self._root, policy_name(recipe.name)).file(STATE)
        watermark = manifest["watermark"]
        learner = from_state(recipe, state)
        return _Taught(
            recipe,
            learner,
            good=learner.snapshot(manifest["version"]),
            version=manifest["version"],
            published_at=None if watermark is None else moment(watermark),
            position=manifest["position"],
            bundle=manifest.get("bundle"),
        )

    def _manifest(self, recipe: Recipe) -> Mapping[str, Any] | None:
        try:
            manifest = artefacts.current(self._root, policy_name(recipe.name)).manifest
        except ArtefactMissing:
            return None
        same = (
            manifest["recipe_digest"] == recipe.digest
            and manifest["rewards"] == self._rewards.digest
            and manifest.get("bounds", self._bounds_plain) == self._bounds_plain
        )
        return manifest if same else None

    def _rewind(self) -> int:
        """Where to begin to read, so that every decision still open at some recipe's position is met again."""
        starts = [] if self._daily is None else [self._daily.open_from]
        for taught in self._taught.values():
            manifest = self._manifest(taught.recipe)
            starts.append(0 if manifest is None else int(manifest["open_from"]))
        return min(starts, default=0)


def _bundle_in_force(root: Path) -> str:
    """The digest of the bundle that was published last, "" before the first."""
    return artefacts.pointed(root, bundles.NAME) or ""
