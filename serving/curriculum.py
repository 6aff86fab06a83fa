"""Which lessons may teach: one reading of the log for the learner process and for learning again.

Join by event time, leave out whoever may not teach, check each lesson, doubt what comes from a
flooding source or under versions nobody knows here, and bring back what a person released. All of
it is decided from the log up to the event at hand, so it is the same however the log is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bandits.chain import Chain
from bandits.recipe import Recipe
from bandits.teaching import checked
from recsys.derivations import known_adult
from recsys.errors import Misuse
from recsys.features import KNOWN_VERSIONS
from recsys.joining import Joiner, unshown_row
from recsys.rewards import UNSHOWN, Rewards
from recsys.vocabulary import Decision, DecisionId, Event, Lesson, Outcome, PermissionChange, Release, Token
from recsys.waiting import Closed, InLog
from serving.flooding import Bounds, Flood


class Past(Protocol):
    """What is asked again of the log behind it (`EventLog`)."""

    def decisions(self, decision_ids: Sequence[str]) -> dict[str, Event]:
        """Those of the named decisions that exist."""

    def at(self, positions: Sequence[int]) -> dict[int, Event]:
        """Those events at the named positions that exist."""

    def permissions_of(self, token: Token, *, before: int) -> PermissionChange | None:
        """The customer's last word before a position."""


STILL = ("uniform", "static")
"""Learners that never change: no lesson is theirs, and one snapshot is enough."""


@dataclass(frozen=True, slots=True)
class Told:
    """One lesson, and what is to become of it."""

    lesson: Lesson
    kind: str = ""  # "" teaches; else of `quarantine.KINDS`, and `reason` says why
    reason: str = ""
    only: str | None = None  # released for this recipe ("" for all); None for a lesson of the day


class Curriculum:
    """Feed it the log in position order; it tells each lesson once, and whether it may teach."""

    def __init__(self, rewards: Rewards, *, bounds: Bounds, past: Past, forms: Iterable[str] = ()) -> None:
        teaching = rewards.teaching(forms)  # every stage that a recipe of these forms is taught
        self.joiner = Joiner(teaching, whole=InLog(past.at))
        self.promised: Counter[DecisionId] = Counter()  # lessons that each open decision may still tell
        self._n_unshown = sum(stage.given == UNSHOWN for stage in teaching.stages)
        self._n_stages = len(teaching.stages) - self._n_unshown
        self._chain = Chain.of(teaching)
        self._flood = Flood(bounds)
        self._past = past
        self._doubted: dict[DecisionId, str] = {}
        self._came: dict[Token, tuple[int, str]] = {}  # by whom nobody believes, where, why
        self._objected: set[Token] = set()

    def feed(self, event: Event) -> Iterator[Told | Closed]:
        """What the event makes known: lessons with their fate, and rounds as they close."""
        for each in self.joiner.ripen(event):
            if isinstance(each, Closed):
                yield each
                self.promised.pop(each.decision_id, None)
                self._doubted.pop(each.decision_id, None)
                continue
            if self.may_teach(each.decision):
                self.promised[each.decision.decision_id] -= 1
                yield self._judged(each)
        if (doubt := self._flood.take(event)) is not None:
            if isinstance(event.body, Outcome) and event.body.decision_id is None:
                self._came[event.body.token] = (event.position, doubt)
            elif isinstance(event.body, Decision | Outcome) and event.body.decision_id is not None:
                self._doubted.setdefault(event.body.decision_id, doubt)
        match event.body:
            case Decision():
                self.promised[event.body.decision_id] = len(event.body.shown) * self._n_stages + self._n_unshown
            case PermissionChange():
                self._note_objection(event.body)
            case Release() if event.body.decision_id:
                yield from self._released(event.body, event)
            case _:
                pass

    def open_from(self, position: int, *, oldest: int) -> int:
        """Where a restart at `position` must begin to read, to tell the same and to have met all since `oldest`."""
        return self._flood.begins(min(self.joiner.open_from(position), oldest) + 1)

    def may_teach(self, decision: Decision) -> bool:
        """Whether the decision's lessons are anybody's to learn, by law and by how it was made."""
        return teaches(decision) and decision.token not in self._objected

    def _judged(self, lesson: Lesson) -> Told:
        try:
            checked(lesson, chain=self._chain)
        except Misuse as error:
            return Told(lesson, "poison", str(error))
        if (doubt := self._doubt(lesson)) is not None:
            return Told(lesson, "doubt", doubt)
        if lesson.decision.versions.features not in KNOWN_VERSIONS:
            return Told(lesson, "doubt", "its features were made by a definition that is not known here")
        return Told(lesson)

    def _doubt(self, lesson: Lesson) -> str | None:
        """Why a lesson's source is doubted; of what was not shown, also the source of what came by itself since."""
        at, why = self._came.get(lesson.decision.token, (0, ""))
        if lesson.slot is None and at > lesson.position:
            return why
        return self._doubted.get(lesson.decision.decision_id)

    def _released(self, release: Release, event: Event) -> Iterator[Told]:
        found = self._past.decisions([release.decision_id]).get(release.decision_id)
        if found is None or not isinstance(found.body, Decision) or found.position > event.position:
            return
        lesson = lesson_of(found.body, release, position=found.position, at=event.recorded_at)
        said = self._past.permissions_of(found.body.token, before=event.position)
        if lesson is None or not teaches(found.body) or (said is not None and not _personal(said)):
            return
        try:
            checked(lesson, chain=self._chain)
        except Misuse as error:  # it stays where it is
            yield Told(lesson, "poison", str(error), only=release.recipe)
            return
        yield Told(lesson, only=release.recipe)

    def _note_objection(self, change: PermissionChange) -> None:
        """An objection also leaves training, at once (MKT-2)."""
        (self._objected.discard if _personal(change) else self._objected.add)(change.token)


def _personal(change: PermissionChange) -> bool:
    return change.permissions.in_app and change.permissions.objected_at is None


def lesson_of(decision: Decision, release: Release, *, position: int, at: datetime) -> Lesson | None:
    """The lesson that a release names, ripe `at` its release; None where the decision never showed such a slot."""
    if release.slot == 0:  # of what was not shown
        unshown = unshown_row(decision, stage=release.stage)
        told = (release.stage, release.happened, at, position, release.share)
        return None if unshown is None else Lesson(decision, None, unshown, *told)
    slot = next((slot for slot in decision.shown if slot.number == release.slot), None)
    rows = [candidate.product_id for candidate in decision.candidates]
    if slot is None or slot.product_id not in rows:
        return None
    row = rows.index(slot.product_id)
    return Lesson(decision, slot, row, release.stage, release.happened, at, position, release.share)


def teaches(decision: Decision) -> bool:
    """The hold-out, the broadcast path, searches, unlogged answers and minors never teach (AGE-3).

    Nor does a decision without a token: it was made while the profiles were away, and may be an objector's (MKT-2).
    """
    personal = decision.mode == "live" or decision.mode.startswith("fallback:")
    return bool(decision.token) and personal and known_adult(decision.facts, at=decision.made_at)


def stages_of(recipe: Recipe, rewards: Rewards) -> frozenset[str]:
    """The stages that a recipe is taught."""
    return frozenset(stage.name for stage in rewards.taught(recipe.reward))


def learns_from(recipe: Recipe, told: Told, *, stages: frozenset[str]) -> bool:
    """Whether a lesson is the recipe's: of its stages, and of its traffic or released for it."""
    mine = told.only in (None, "", recipe.name) and told.lesson.stage in stages
    return mine and recipe.learner not in STILL and is_traffic_of(recipe, told.lesson.decision)


def is_traffic_of(recipe: Recipe, decision: Decision) -> bool:
    """A recipe learns from what it decided itself, from the fallback's and the uniform slice, unless it shares."""
    by = decision.policy.partition("@")[0]
    return recipe.shares_traffic or by == recipe.name or by == "uniform"
