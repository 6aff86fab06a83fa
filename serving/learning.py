"""How learning stands: what became of every lesson, what is frozen, what waits for a person.

One function, read by the metrics, the overview page, the demo's report and notebooks alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recsys.database import Database
from recsys.quarantine import KEPT, RELEASED, Quarantine
from recsys.readmarks import ReadMark
from serving import tallies
from serving.learner_loop import LEASE


@dataclass(frozen=True, slots=True)
class Learning:
    """The learner process as the database knows it."""

    position: int  # read up to here
    lessons: Mapping[str, Mapping[str, int]]  # recipe → received, learned, waiting, quarantined, superseded
    frozen: Mapping[str, tuple[str, str]]  # recipe → (key in quarantine, why its snapshot was held back)
    quarantined: int  # things that nobody has settled yet, held-back snapshots apart

    @property
    def reconciles(self) -> bool:
        """Whether every lesson received is accounted for, once."""
        return all(tallies.reconciles(counts) for counts in self.lessons.values())

    @property
    def attention(self) -> list[str]:
        """What a person should look at, most urgent first."""
        said = [
            f"{recipe} is frozen at its last good snapshot: {why}. Look into it, then wait for its canary rounds to "
            f"pass, or publish all the same: recsys quarantine release {key} --reason …"
            for recipe, (key, why) in self.frozen.items()
        ]
        if not self.reconciles:
            said.append("Lessons do not add up: received is not learned + waiting + quarantined + superseded.")
        if self.quarantined:
            noun = "thing stands" if self.quarantined == 1 else "things stand"
            said.append(f"{self.quarantined:,} {noun} in quarantine: recsys quarantine list")
        return said

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "position": self.position,
            "lessons": {recipe: dict(counts) for recipe, counts in self.lessons.items()},
            "reconciles": self.reconciles,
            "frozen": {recipe: {"key": key, "why": why} for recipe, (key, why) in self.frozen.items()},
            "quarantined": self.quarantined,
        }


def learning(database: Database, recipes: Iterable[str]) -> Learning:
    """How the learning of these recipes stands; recipes that never learn are left out. Raises `StoreUnavailable`."""
    position, counted = ReadMark(database, name=LEASE).read()
    names = list(recipes)
    quarantine = Quarantine(database)
    frozen: dict[str, tuple[str, str]] = {}
    snapshots = 0
    for recipe in names:
        held = [each for each in quarantine.all(recipe=recipe) if each.key.startswith("snapshot:")]
        snapshots += sum(each.state == KEPT for each in held)
        if counted.get(f"frozen_{recipe}") and (now := [each for each in held if each.state in (KEPT, RELEASED)]):
            frozen[recipe] = (now[0].key, now[0].reason)
    return Learning(position, tallies.read(counted, names), frozen, quarantine.count() - snapshots)
