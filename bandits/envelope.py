"""How far a recipe's snapshots may move without anybody's word: approved with the recipe (MRM-4)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from recsys.errors import InvalidConfiguration


@dataclass(frozen=True, slots=True)
class Envelope:
    """Bounds on one step from the snapshot in force to the next; what goes beyond is not published.

    Exploration has its bound in the recipe already: a probability under the declared floor is a fault.
    """

    share_change: float = 0.6  # of one product's mean probability in the first slot
    score_drift: float = 1.0  # points, mean absolute change of a candidate's score
    weight_norm: float = 1_000.0  # of the largest weight vector

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
                raise InvalidConfiguration(f"envelope: {each.name} must be a number above 0, got {value}")
