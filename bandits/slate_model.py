"""A reward model for slates: the reward still to come from a slot on, given its product, place and context.

It learns two things: what a slot earned (for `slot_dr`), and what was earned from it to the slate's end
(for `cascade_dr`). Both expectations are functions of the slot's own product, its place and the context:
whatever they say the estimates stay unbiased, and the closer they come the narrower the intervals. The
null choice, which ends a slate, is worth exactly 0.
"""

from __future__ import annotations

import numpy as np

from bandits.logged_slates import Expected, Frame, Slates
from bandits.reward_model import RewardModel, Shape, Shown
from recsys.vocabulary import Floats


class SlateModel:
    """Cross-fitted by unit and forward in time over [start, end), seconds since 1970: `learn` all, then ask."""

    def __init__(self, frame: Frame, *, start: float, end: float) -> None:
        self._shape = Shape(frame.products, places=frame.places, features=len(frame.features))
        self._to_come, self._own = RewardModel(self._shape), RewardModel(self._shape)
        self._start, self._length = start, max(end - start, 1e-9)

    def learn(self, slates: Slates) -> None:
        """Take in some rounds."""
        batch = slates.logged
        to_come = batch.reward[:, ::-1].cumsum(axis=1)[:, ::-1]
        product = batch.shown.ravel()
        real = (product >= 0.0) & (product < len(self._shape.products))
        if real.any():
            shown = self._shown(slates)
            taught = Shown(shown.x[real], shown.place[real], shown.unit[real], shown.block[real])
            self._to_come.learn(taught, product=product[real], reward=to_come.ravel()[real])
            self._own.learn(taught, product=product[real], reward=batch.reward.ravel()[real])

    def expected(self, slates: Slates) -> Expected:
        """What every column is expected to bring in every slot."""
        shown = self._shown(slates)
        return Expected(self._asked(self._to_come, shown), self._asked(self._own, shown))

    def _asked(self, model: RewardModel, shown: Shown) -> Floats:
        told = np.zeros((len(shown.x), len(self._shape.products) + 1))
        told[:, :-1] = model.expected(shown)
        return told.reshape(-1, self._shape.places, told.shape[1])

    def _shown(self, slates: Slates) -> Shown:
        n, places = slates.logged.shown.shape
        block = np.floor((slates.at - self._start) / self._length * self._shape.blocks)
        return Shown(
            x=np.repeat(slates.context, places, axis=0),
            place=np.tile(np.arange(places, dtype=np.float64), n),
            unit=np.repeat(slates.logged.unit, places),
            block=np.repeat(np.clip(block, 0, self._shape.blocks - 1), places),
        )
