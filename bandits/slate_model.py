"""A reward model for slates: the reward still to come from a slot on, given its product, place and context.

It learns what was earned from a slot to the slate's end, so that its expectation is a function of the
slot's own product and the context: whatever it says, `cascade_dr` stays unbiased, and the closer it
comes the narrower the interval. The null choice, which ends a slate, is worth exactly 0.
"""

from __future__ import annotations

import numpy as np

from bandits.logged_slates import Frame, Slates
from bandits.reward_model import RewardModel, Shape, Shown
from recsys.vocabulary import Floats


class SlateModel:
    """Cross-fitted by unit and forward in time over [start, end), seconds since 1970: `learn` all, then ask."""

    def __init__(self, frame: Frame, *, start: float, end: float) -> None:
        self._shape = Shape(frame.products, places=frame.places, features=len(frame.features))
        self._model = RewardModel(self._shape)
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
            self._model.learn(taught, product=product[real], reward=to_come.ravel()[real])

    def expected(self, slates: Slates) -> Floats:
        """(n, L, columns) reward still to come had the product of a column stood in a slot."""
        n, places = slates.logged.shown.shape
        told = np.zeros((n * places, len(self._shape.products) + 1))
        told[:, :-1] = self._model.expected(self._shown(slates))
        return told.reshape(n, places, -1)

    def _shown(self, slates: Slates) -> Shown:
        n, places = slates.logged.shown.shape
        block = np.floor((slates.at - self._start) / self._length * self._shape.blocks)
        return Shown(
            x=np.repeat(slates.context, places, axis=0),
            place=np.tile(np.arange(places, dtype=np.float64), n),
            unit=np.repeat(slates.logged.unit, places),
            block=np.repeat(np.clip(block, 0, self._shape.blocks - 1), places),
        )
