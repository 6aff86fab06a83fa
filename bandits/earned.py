"""What lessons came to on average: the unit in which an exploration may measure gaps between scores.

The gap at which SquareCB stops exploring must fit the rewards: what is a small gap where half of all
rounds pay is larger than any gap where one in a hundred does. A learner knows what it was taught, so
a scale that is given in mean earnings fits at every base rate, without being tuned to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bandits.chain import Chain
from bandits.teaching import Taught


class Earned:
    """For each stage how much happened and how much was taught; part of a learner's state."""

    __slots__ = ("_prior", "_sums")

    def __init__(self, n_stages: int, *, prior: float, sums: Sequence[Sequence[float]] | None = None) -> None:
        self._prior = prior
        self._sums = [list(pair) for pair in sums] if sums else [[0.0, 0.0] for _ in range(n_stages)]

    @classmethod
    def of(cls, header: Mapping[str, Any], *, prior: float) -> Earned:
        """As a state's header tells; nothing where the state is older than these sums."""
        return cls(len(header["chain"]["stages"]), prior=prior, sums=header.get("earned"))

    def learn(self, one: Taught) -> None:
        """Count a lesson."""
        pair = self._sums[one.stage]
        pair[0] += one.weight * one.label
        pair[1] += one.weight

    @property
    def plain(self) -> list[list[float]]:
        """For a state's header."""
        return [list(pair) for pair in self._sums]

    @property
    def rates(self) -> list[float]:
        """Mean label of each stage, beside one lesson's worth of the prior."""
        return [(happened + self._prior) / (taught + 1.0) for happened, taught in self._sums]


def typical(chain: Chain, rates: Sequence[float]) -> float:
    """What one lesson's slot is worth on average, costs counted like gains; above 0.

    >>> round(typical(Chain(("tapped", "opened"), (-1, 0), (0.0, None), {"pot": 4.0, "loan": 2.0}), [0.1, 0.5]), 6)
    0.15
    """
    own = float(np.mean(list(chain.values.values()))) if chain.values else 1.0
    joint: list[float] = []
    total = 0.0
    for rate, parent, worth in zip(rates, chain.parents, chain.worths, strict=True):
        joint.append(rate if parent < 0 else rate * joint[parent])
        total += joint[-1] * abs(own if worth is None else worth)
    return max(total, 1e-9)
