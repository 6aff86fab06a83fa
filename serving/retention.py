"""Which snapshots are kept: those that a decision younger than ninety days names, for receipts and replay.

Older ones go, save the one in force and the one before it (the next rung of the ladder). Who was named
last when is counted as the learner reads the log, and kept beside its read mark, so that nothing is ever read
twice for it. What goes is renamed first: a reader finds a whole snapshot or none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from recsys import artefacts
from recsys.database import Database
from recsys.eventlog import EventLog
from recsys.readmarks import ReadMark
from recsys.records import micros, moment
from recsys.vocabulary import Decision
from serving.live_policy import policy_name

RETAINED = timedelta(days=90)
NAME = "snapshots"
_KEPT = 2  # the newest of each recipe, whoever named them
_STEP = timedelta(hours=1)  # how much later a naming must be to be written down again
logger = logging.getLogger(__name__)


class Retention:
    """Follows the decisions of a log, and prunes what none of the last ninety days names."""

    def __init__(self, database: Database, *, log: EventLog, root: Path) -> None:
        self._mark = ReadMark(database, name=NAME)
        self._log = log
        self._root = root
        self._position, named = self._mark.read()
        self.named: dict[str, int] = dict(named)  # recipe/digest → microseconds of the last decision that named it
        self._changed = False
        self._pruned_at: datetime | None = None

    def catch_up(self, *, until: int) -> None:
        """Read what lies between the mark and a position, as far back as anything is retained."""
        if until <= self._position:
            return
        horizon = self._log.position_before(self._log.recorded_at(self._log.last_position()) - RETAINED)
        for event in self._log.read(after=max(self._position, horizon), until=until, kinds=("decision",)):
            if isinstance(event.body, Decision):
                self.saw(event.body)
        self.save(until)

    def saw(self, decision: Decision) -> None:
        """A decision names its snapshot."""
        if not decision.versions.snapshot:
            return
        key = f"{decision.policy.partition('@')[0]}/{decision.versions.snapshot}"
        at, known = micros(decision.made_at), self.named.get(key)
        if known is None or at - known > _STEP // timedelta(microseconds=1):
            self.named[key] = at
            self._changed = True

    def save(self, position: int) -> None:
        """Remember, now that everything up to a position was seen."""
        if position > self._position and self._changed:
            self._mark.write(position, self.named)
            self._position, self._changed = position, False

    def prune(self, recipes: Mapping[str, object], *, now: datetime) -> list[str]:
        """Once a day of business time, remove what nothing names any more; what went, as recipe/digest."""
        if self._pruned_at is not None and now - self._pruned_at < timedelta(days=1):
            return []
        self._pruned_at = now
        gone = [key for recipe in recipes for key in self._old(recipe, before=now - RETAINED)]
        for key in gone:
            recipe, _, digest = key.partition("/")
            artefacts.remove(self._root, policy_name(recipe), digest)
            self._changed |= self.named.pop(key, None) is not None
        if gone:
            logger.info("pruned %d snapshots that no decision of the last %d days names", len(gone), RETAINED.days)
        return gone

    def _old(self, recipe: str, *, before: datetime) -> list[str]:
        home = self._root / policy_name(recipe)
        found = []
        for path in home.glob(f"*/{artefacts.MANIFEST}"):
            try:
                manifest = json.loads(path.read_bytes())
                found.append((int(manifest["version"]), path.parent.name, manifest["watermark"]))
            except (OSError, ValueError, KeyError):  # damaged: not ours to remove
                continue
        in_force = artefacts.pointed(self._root, policy_name(recipe))
        old = []
        for _, digest, watermark in sorted(found, reverse=True)[_KEPT:]:
            published = moment(0) if watermark is None else moment(watermark)
            named = moment(self.named.get(f"{recipe}/{digest}", 0)) + _STEP  # it may have been named a little later
            if digest != in_force and published < before and named < before:
                old.append(f"{recipe}/{digest}")
        return old
