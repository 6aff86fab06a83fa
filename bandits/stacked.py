"""What is believed of every product at every stage, end to end in two arrays, so that many are asked at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bandits.beliefs import Belief
from recsys.vocabulary import Floats, ProductId


class Stacked:
    """Beliefs of (stages, rows): row 0 is a product never taught, which keeps the prior. Its learner owns it."""

    __slots__ = ("_covariances", "_deviations", "_means", "_rows")

    def __init__(self, deviations: Floats) -> None:
        n_stages, d = deviations.shape
        self._deviations = deviations  # (stages, d) of the prior
        self._rows: dict[ProductId, int] = {}
        self._means = np.zeros((n_stages, 1, d))  # with room for rows to come
        self._covariances = np.array([[np.diag(row**2)] for row in deviations]).reshape(n_stages, 1, d, d)

    def __len__(self) -> int:
        return len(self._rows) + 1

    @property
    def rows(self) -> Mapping[ProductId, int]:
        """Where each product stands."""
        return self._rows

    @property
    def means(self) -> Floats:
        """(stages, rows, d), a view."""
        return self._means[:, : len(self)]

    @property
    def covariances(self) -> Floats:
        """(stages, rows, d, d), a view."""
        return self._covariances[:, : len(self)]

    def belief(self, stage: int, product: ProductId) -> Belief:
        """A view of one product's belief about a stage; makes room for a product not met before."""
        row = self._rows.get(product)
        if row is None:
            row = self._take_in(product)
        return Belief.view(self._means[stage, row], self._covariances[stage, row])

    def _take_in(self, product: ProductId) -> int:
        row = len(self)
        if row == self._means.shape[1]:
            self._means = np.concatenate([self._means, np.zeros_like(self._means)], axis=1)
            priors = np.broadcast_to(self._covariances[:, :1], self._covariances.shape)
            self._covariances = np.concatenate([self._covariances, priors], axis=1)
        self._rows[product] = row
        return row

    def make_room(self, places: int, *, deviations: Floats) -> None:
        """Take in `places` weights behind the others; `deviations` (stages,) of their prior."""
        d = self._deviations.shape[1]
        more = np.repeat(deviations[:, None], places, axis=1)
        self._deviations = np.concatenate([self._deviations, more], axis=1)
        self._means = np.concatenate([self._means, np.zeros((*self._means.shape[:2], places))], axis=2)
        wider = np.zeros((*self._means.shape, d + places))
        wider[..., :d, :d] = self._covariances
        for place in range(places):
            wider[..., d + place, d + place] = more[:, place, None] ** 2
        self._covariances = wider

    def forget(self, kept: float, *, taught: Sequence[Collection[ProductId]]) -> None:
        """Age what was `taught` of each stage; what was not is the prior, and stays it to the last bit."""
        for stage, products in enumerate(taught):
            for product in sorted(products):
                self.forget_one(kept, stage=stage, product=product)

    def forget_one(self, kept: float, *, stage: int, product: ProductId) -> None:
        """Age what is believed of one product at one stage."""
        self.belief(stage, product).forget(kept, deviations=self._deviations[stage])
