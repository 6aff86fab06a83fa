"""The learner process: tail the log, join, learn, publish; one process teaches every recipe.

What a recipe has learned after position n is a function of the first n events and its
configuration. So are the positions at which it publishes: after enough lessons, and not before
enough business time. Each snapshot's manifest carries the position it has learned up to, the oldest
decision still open and the counters, so a restart reads again from there, skips what was taught,
and goes on to the same bytes. A lesson that may not teach goes to the quarantine with its reason.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bandits.impersonal import scores_of
from bandits.learner import from_state, make_learner
from bandits.policy import Policy, checked_pmf
from bandits.recipe import Learner, Recipe
from recsys import artefacts
from recsys.derivations import known_adult
from recsys.errors import ArtefactMissing, Misuse, RecsysError
from recsys.eventlog import EventLog
from recsys.joining import Counters, Joiner
from recsys.quarantine import Quarantine, Refused, refused
from recsys.readmarks import ReadMark
from recsys.records import micros, moment
from recsys.rewards import Rewards
from recsys.vocabulary import Decision, Event, Lesson, PermissionChange, Token
from serving.live_policy import STATE, policy_name

LEASE = "learner"
STILL = ("uniform", "static")  # they never change: one snapshot is enough
_PAGE = 2_000
_TRIALS = 32  # latest taught decisions that a new snapshot must answer
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
    ) -> None:
        self._log = log
        self._root = root
        self._rewards = rewards
        self._quarantine = quarantine
        self._cadence = cadence
        self._mark = mark
        self._marked, self._counted = mark.read()
        self._taught = {name: self._resumed(recipe) for name, recipe in recipes.items()}
        self._refused: list[Refused] = []
        self._objected: set[Token] = set()
        self._recent: deque[Decision] = deque(maxlen=_TRIALS)
        self.progress = Progress()
        self._joiner = Joiner(rewards)
        self._position = self._rewind()

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
        for event in page:
            self._take(event)
            self._position = event.position
        self._flush()
        if self._position > self._marked:
            self._mark.write(self._position, self.counts())
            self._marked = self._position
        return len(page) == _PAGE

    def counts(self) -> dict[str, int]:
        """What became of everything read so far, over all runs of this process."""
        learned = {f"lessons_{name}": taught.learner.taught for name, taught in self._taught.items()}
        return asdict(self._joiner.counters) | learned | {"snapshots": sum(t.version for t in self._taught.values())}

    def publish(self) -> None:
        """Publish every recipe that has learned something since its last snapshot (a warm start's end)."""
        for taught in self._taught.values():
            if taught.since or not taught.version:
                self._publish(taught)

    # -- one event -----------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        for told in self._joiner.feed(event):
            if isinstance(told, Lesson):
                self._teach(told, at=event.position)
        if event.position == self._marked and self._counted:  # read again after a restart: count on from there
            names = [each.name for each in fields(Counters)]
            self._joiner.counters = Counters(**{name: self._counted[name] for name in names if name in self._counted})
        if isinstance(event.body, PermissionChange):
            self._note_objection(event.body)
        for taught in self._taught.values():
            if event.position > taught.position:
                taught.position = event.position
                if self._due(taught, now=event.recorded_at):
                    self._publish(taught)

    def _teach(self, lesson: Lesson, *, at: int) -> None:
        decision = lesson.decision
        if not teaches(decision) or decision.token in self._objected:
            return
        self._recent.append(decision)
        for taught in self._taught.values():
            if at <= taught.position or taught.recipe.learner in STILL or not is_traffic_of(taught.recipe, decision):
                continue
            try:
                taught.learner.learn([lesson])
            except Misuse as error:
                self._refused.append(refused(lesson, recipe=taught.recipe.name, reason=str(error)))
                self.progress.quarantined += 1
                continue
            taught.since += 1
            self.progress.lessons += 1

    def _note_objection(self, change: PermissionChange) -> None:
        """An objection also leaves training, at once (MKT-2)."""
        personal = change.permissions.in_app and change.permissions.objected_at is None
        (self._objected.discard if personal else self._objected.add)(change.token)

    # -- publishing ------------------------------------------------------------------------------

    def _due(self, taught: _Taught, *, now: datetime) -> bool:
        if taught.since < self._cadence.lessons:
            return False
        return taught.published_at is None or now - taught.published_at >= self._cadence.apart

    def _publish(self, taught: _Taught) -> None:
        """Cut a snapshot, try it, and move the pointer; a snapshot that fails its trial stays unpublished."""
        self._flush()
        policy = taught.learner.snapshot(taught.version + 1)
        if not all(_sound(policy, decision) for decision in self._recent):
            self.progress.held_back[taught.recipe.name] += 1
            taught.since = 0
            logger.error("a snapshot of %s failed its trial: the last good one stays", taught.recipe.name)
            return
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
            "open_from": self._joiner.open_from(taught.position),
            "watermark": None if self._joiner.watermark is None else micros(self._joiner.watermark),
            "lessons": taught.learner.taught,
        }
        artefacts.publish(
            self._root, policy_name(taught.recipe.name), files={STATE: taught.learner.state()}, manifest=manifest
        )
        self.progress.published[taught.recipe.name] += 1

    def _flush(self) -> None:
        misfits = [Refused(f"event:{position}", position, "", reason) for position, reason in self._joiner.misfits]
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
        return _Taught(
            recipe,
            from_state(recipe, state),
            version=manifest["version"],
            published_at=None if watermark is None else moment(watermark),
            position=manifest["position"],
        )

    def _manifest(self, recipe: Recipe) -> Mapping[str, Any] | None:
        try:
            manifest = artefacts.current(self._root, policy_name(recipe.name)).manifest
        except ArtefactMissing:
            return None
        same = manifest["recipe_digest"] == recipe.digest and manifest["rewards"] == self._rewards.digest
        return manifest if same else None

    def _rewind(self) -> int:
        """Where to begin to read, so that every decision still open at some recipe's position is met again."""
        starts = []
        for taught in self._taught.values():
            manifest = self._manifest(taught.recipe)
            starts.append(0 if manifest is None else int(manifest["open_from"]))
        return min(starts, default=0)


def _sound(policy: Policy, decision: Decision) -> bool:
    """Whether a policy gives a distribution on a logged decision: the trial before it is published."""
    open_ = np.ones(len(decision.candidates), dtype=np.bool_)
    try:
        scores = scores_of(policy, decision.context, decision.candidates)
        checked_pmf(policy.pmf(scores, open_=open_), open_=open_, where="")
    except (RecsysError, ArithmeticError, ValueError):
        return False
    return True


def teaches(decision: Decision) -> bool:
    """The hold-out, the broadcast path, unlogged answers and minors never teach (AGE-3).

    Nor does a decision without a token: it was made while the profiles were away, and may be an objector's (MKT-2).
    """
    personal = decision.mode == "live" or decision.mode.startswith("fallback:")
    return bool(decision.token) and personal and known_adult(decision.facts, at=decision.made_at)


def is_traffic_of(recipe: Recipe, decision: Decision) -> bool:
    """A recipe learns from what it decided itself, from the fallback's and the uniform slice, unless it shares."""
    by = decision.policy.partition("@")[0]
    return recipe.shares_traffic or by == recipe.name or by == "uniform"
