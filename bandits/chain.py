"""The factorised reward: P(tapped | seen) × P(opened | tapped) × worth, summed over the stages.

At a bank's base rates this form loses less value than a tap reward or a direct value reward and is
least sensitive to its tuning (architecture.md, lessons; domain 3.9). A learner estimates each stage
given the one before; a `Chain` multiplies and weighs.

In the incremental form the chance of coming anyway, learned from what was not shown, is taken off the
chance of opening once tapped: whoever taps a card for what they would have opened without it is moved by
nothing. Both chances are estimates, and a card prevents no opening, so what it brings is a share of what comes,
opened / (opened + lift × anyway): 1 - lift × anyway / opened where little comes anyway, and never 0, under which
a product would not be shown again to be learned about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from recsys.errors import InvalidConfiguration
from recsys.rewards import SEEN, UNSHOWN, Rewards, Stage
from recsys.vocabulary import NOTHING, Bools, Floats, ProductId

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Chain:
    """The stages a learner is taught and what each is worth; plain enough to travel in a snapshot."""

    stages: tuple[str, ...]
    parents: tuple[int, ...]  # row of the stage that must come first, -1 for "seen"
    worths: tuple[float | None, ...]  # None: the product's own points
    values: Mapping[ProductId, float]
    less: tuple[int, ...] = ()  # row of the stage whose chance is taken off, -1 for none; () for none anywhere
    lift: float = 1.0  # times that it is taken off

    @classmethod
    def of(cls, rewards: Rewards, form: str = "attributed") -> Chain:
        """The chain of a reward configuration in one of its forms (rewards.FORMS)."""
        stages = rewards.taught(form)
        names = tuple(stage.name for stage in stages)
        parents = tuple(-1 if stage.given in (SEEN, UNSHOWN) else names.index(stage.given) for stage in stages)
        anyway = next((row for row, stage in enumerate(stages) if stage.given == UNSHOWN), None)
        less = tuple(
            anyway if anyway is not None and row != anyway and stage.kind == stages[anyway].kind else -1
            for row, stage in enumerate(stages)
        )
        worths, values = tuple(stage.worth for stage in stages), dict(rewards.values)
        if anyway is None:
            return cls(names, parents, worths, values)
        return cls(names, parents, worths, values, less, stages[anyway].lift)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Chain:
        """Back from `plain`."""
        return cls(
            tuple(plain["stages"]),
            tuple(plain["parents"]),
            tuple(plain["worths"]),
            dict(plain["values"]),
            tuple(plain.get("less", ())),
            float(plain.get("lift", 1.0)),
        )

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "stages": list(self.stages),
            "parents": list(self.parents),
            "worths": list(self.worths),
            "values": dict(self.values),
            **({"less": list(self.less), "lift": self.lift} if self.less else {}),
        }

    def row(self, stage: str) -> int:
        """Row of a stage; raises `InvalidConfiguration` for one that is not in the chain."""
        try:
            return self.stages.index(stage)
        except ValueError:
            raise InvalidConfiguration(
                f'the reward configuration has no stage "{stage}", only {", ".join(self.stages)}'
            ) from None

    def expected(self, probabilities: Floats, products: Sequence[ProductId]) -> Floats:
        """(stages, n) conditional probabilities → (n,) expected worth; the null choice is worth 0.

        >>> chain = Chain(("tapped", "opened"), (-1, 0), (0.0, None), {"pot": 5.0})
        >>> chain.expected(np.array([[0.2, 0.2], [0.5, 0.5]]), ["pot", "nothing"])
        array([0.5, 0. ])
        """
        return self.worth(probabilities, points=self.points(products), null=null_among(products))

    def worth(self, probabilities: Floats, *, points: Floats, null: Bools) -> Floats:
        """The same where the products' points (n,) are known, and which of them is the null choice (n,)."""
        joint, total = np.empty_like(probabilities), np.zeros(points.size)
        for row, (parent, worth) in enumerate(zip(self.parents, self.worths, strict=True)):
            chance = self._brought(row, probabilities)
            joint[row] = chance if parent < 0 else chance * joint[parent]
            total += joint[row] * (points if worth is None else worth)
        total[null] = 0.0
        return total

    @property
    def directions(self) -> tuple[float, ...] | None:
        """1 where more of a stage is always better, -1 where it is always worse; None where that depends.

        >>> Chain(("tapped", "opened", "dismissed"), (-1, 0, -1), (0.0, None, -0.1), {"pot": 5.0}).directions
        (1.0, 1.0, -1.0)
        """
        own = min(self.values.values(), default=1.0), max(self.values.values(), default=1.0)
        low, high = ([end if worth is None else worth for worth in self.worths] for end in own)
        for row in range(len(self.stages) - 1, -1, -1):
            if (parent := self.parents[row]) >= 0:
                low[parent], high[parent] = min(low[parent], low[row]), max(high[parent], high[row])
        if self.less:
            for row, anyway in enumerate(self.less):
                if anyway >= 0:
                    low[anyway], high[anyway] = min(low[anyway], -high[row]), max(high[anyway], -low[row])
        if any(least < 0.0 < most for least, most in zip(low, high, strict=True)):
            return None
        return tuple(-1.0 if least < 0.0 else 1.0 for least in low)

    def slopes(self, probabilities: Floats, *, points: Floats, null: Bools) -> Floats:
        """(stages, n) derivatives of `worth` by each probability.

        >>> chain = Chain(("tapped", "opened"), (-1, 0), (0.0, None), {"pot": 5.0})
        >>> slopes = chain.slopes(np.array([[0.2], [0.5]]), points=np.array([5.0]), null=np.array([False]))
        >>> slopes.round(3).tolist()
        [[2.5], [1.0]]
        """
        brought = np.array([self._brought(row, probabilities) for row in range(len(self.stages))])
        joint = brought.copy()
        for row, parent in enumerate(self.parents):
            if parent >= 0:
                joint[row] *= joint[parent]
        worths = np.array([points if worth is None else np.full(points.size, worth) for worth in self.worths])
        slopes = np.zeros_like(probabilities)
        for row in range(len(self.stages) - 1, -1, -1):  # a stage comes after the one it follows
            parent = self.parents[row]
            outer = worths[row] if parent < 0 else worths[row] * joint[parent]
            if parent >= 0:
                worths[parent] = worths[parent] + worths[row] * brought[row]
            if self.less and (anyway := self.less[row]) >= 0:
                share = self._share(row, probabilities)
                slopes[row] += outer * share * (2.0 - share)
                slopes[anyway] -= outer * self.lift * share**2
            else:
                slopes[row] += outer
        slopes[:, null] = 0.0
        return slopes

    def _brought(self, row: int, probabilities: Floats) -> Floats:
        """(n,) the stage's chance, less what comes anyway where that is taken off."""
        chance: Floats = probabilities[row]
        return chance * self._share(row, probabilities) if self.less and self.less[row] >= 0 else chance

    def _share(self, row: int, probabilities: Floats) -> Floats:
        """(n,) of what comes of the stage, the share that would not have come anyway."""
        chance = np.maximum(probabilities[row], _TINY)
        return np.asarray(chance / (chance + self.lift * probabilities[self.less[row]]))

    def points(self, products: Sequence[ProductId]) -> Floats:
        """(n,) what one opening of each is worth; 0 for the null choice."""
        return np.array([0.0 if product == NOTHING else self.values.get(product, 1.0) for product in products])


def null_among(products: Sequence[ProductId]) -> Bools:
    """(n,) which of the products is the null choice."""
    return np.array([product == NOTHING for product in products], dtype=np.bool_)


def one_stage(name: str = "reward") -> Rewards:
    """A reward configuration for logs that hold one immediate reward per row (public data)."""
    stage = Stage(name=name, kind=name, given=SEEN, window=timedelta(0), grace=timedelta(0), worth=1.0)
    return Rewards("one-stage", (stage,), 0.0, 1.0).with_values({})
