"""The size of an override's effect (MRM-6): how many decisions it touched, and how much probability it moved.

The mass that an override moved in a slot is the total variation distance between what the policy
would have drawn from, given the slots above, and what was drawn from. For a boost the record alone
tells it: the boosted distribution keeps its support, so dividing the weights out again gives the
policy's own. For a pin the policy is asked again; where its snapshot is gone, and for a ban, whose
product was no candidate, the decisions are counted and the mass is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bandits.policy import Policy
from recsys.steering import Moved
from recsys.vocabulary import Decision, Event, Floats


@dataclass(slots=True)
class Effect:
    """What one override came to."""

    decisions: int = 0  # it had a part in
    slots: int = 0  # whose mass is known
    mass: float = 0.0  # moved, summed over those slots
    unknown: int = 0  # decisions whose mass nobody can tell

    @property
    def mean_mass(self) -> float | None:
        """Probability moved in a slot, on average."""
        return self.mass / self.slots if self.slots else None

    def told(self) -> str:
        """In words."""
        mean = self.mean_mass
        moved = "probability not known" if mean is None else f"{mean:.1%} of the probability of a slot moved"
        gone = f" (not known for {self.unknown:,})" if self.unknown and mean is not None else ""
        return f"{self.decisions:,} decisions, {moved}{gone}"

    def to_json(self) -> dict[str, Any]:
        """For a machine."""
        return asdict(self) | {"mean_mass": self.mean_mass}


def effects_of(events: Iterable[Event], *, policy_of: Callable[[Decision], Policy | None]) -> dict[str, Effect]:
    """Override id → its effect over these events."""
    found: dict[str, Effect] = {}
    for event in events:
        if isinstance(event.body, Decision) and event.body.overrides:
            for moved in map(Moved.read, event.body.overrides):
                effect = found.setdefault(moved.override_id, Effect())
                effect.decisions += 1
                masses = _masses(event.body, moved, policy_of)
                effect.slots += len(masses)
                effect.mass += float(sum(masses))
                effect.unknown += not masses
    return found


def _masses(decision: Decision, moved: Moved, policy_of: Callable[[Decision], Policy | None]) -> Sequence[float]:
    """Mass moved in each slot that the override could move; nothing where that is not known."""
    row = next((n for n, c in enumerate(decision.candidates) if c.product_id == moved.product_id), None)
    if row is None:
        return ()
    if moved.action == "boost":
        return [_boosted(pmf, row, moved.strength) for pmf in decision.pmfs]
    if moved.action == "pin":
        return _pinned(decision, row, policy_of(decision))
    return ()


def _boosted(pmf: Floats, row: int, strength: float) -> float:
    plain = pmf.copy()
    plain[row] /= strength
    return float(np.abs(pmf - plain / plain.sum()).sum() / 2)


def _pinned(decision: Decision, row: int, policy: Policy | None) -> Sequence[float]:
    """In the slot that the pin took, over what no slot above had taken."""
    place = next((k for k, pmf in enumerate(decision.pmfs) if pmf[row] == 1.0), None)
    if place is None or policy is None:
        return ()
    open_ = np.ones(len(decision.candidates), dtype=np.bool_)
    for above in decision.pmfs[:place]:
        open_[above == 1.0] = False
    scores = policy.scores(decision.context, decision.candidates)
    return [1.0 - float(policy.pmf(scores, open_=open_)[row])]
