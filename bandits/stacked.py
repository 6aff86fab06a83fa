"""What is believed of every product, or family, at every stage, end to end in two arrays: many are asked at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bandits.beliefs import Belief
from recsys.vocabulary import Floats


class Stacked:
    """Beliefs of (stages, rows): row 0 is whatever was never taught, which keeps the prior. Its learner owns it."""

    __slots__ = ("_covariances", "_deviations", "_means", "_rows")

    def __init__(self, deviations: Floats) -> None:
        n_stages, d = deviations.shape
        self._deviations = deviations  # (stages, d) of the prior
        self._rows: dict[str, int] = {}
        self._means = np.zeros((n_stages, 1, d))  # with room for rows to come
        self._covariances = np.array([[np.diag(row**2)] for row in deviations]).reshape(n_stages, 1, d, d)

    def __len__(self) -> int:
        return len(self._rows) + 1

    @property
    def rows(self) -> Mapping[str, int]:
        """Where each product, or family, stands."""
        return self._rows

    @property
    def means(self) -> Floats:
        """(stages, rows, d), a view."""
        return self._means[:, : len(self)]

    @property
    def covariances(self) -> Floats:
        """(stages, rows, d, d), a view."""
        return self._covariances[:, : len(self)]

    def copy(self) -> Stacked:
        """The same beliefs, to go apart from here on."""
        other = Stacked(self._deviations)
        other._rows, other._means, other._covariances = dict(self._rows), self.means.copy(), self.covariances.copy()
        return other

    def belief(self, stage: int, name: str) -> Belief:
        """A view of one's belief about a stage; makes room for one not met before."""
        row = self._rows.get(name)
        if row is None:
            row = self._take_in(name)
        return Belief.view(self._means[stage, row], self._covariances[stage, row])

    def _take_in(self, name: str) -> int:
        row = len(self)
        if row == self._means.shape[1]:
            self._means = np.concatenate([self._means, np.zeros_like(self._means)], axis=1)
            priors = np.broadcast_to(self._covariances[:, :1], self._covariances.shape)
            self._covariances = np.concatenate([self._covariances, priors], axis=1)
        self._rows[name] = row
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

    def forget(self, kept: float, *, taught: Sequence[Collection[str]]) -> None:
        """Age what was `taught` of each stage; what was not is the prior, and stays it to the last bit."""
        for stage, names in enumerate(taught):
            for name in sorted(names):
                self.forget_one(kept, stage=stage, name=name)

    def forget_one(self, kept: float, *, stage: int, name: str) -> None:
        """Age what is believed of one at one stage."""
        self.belief(stage, name).forget(kept, deviations=self._deviations[stage])

    def drift(self, variances: Floats) -> None:
        """Let every first weight have moved by as much: (stages,) more variance, but never more than the prior's."""
        levels = self.covariances[:, :, 0, 0]
        levels += np.clip(self._deviations[:, :1] ** 2 - levels, 0.0, variances[:, None])
