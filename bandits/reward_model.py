"""A reward model for doubly robust estimates: q(x, product, place), cross-fitted by unit and forward in time.

Ridge regression of the reward on the context, first for all products together with a level for each
product and place, then for each product what that leaves over. It is made of sums (Gram matrices),
so a log of any length is read in batches; a round is predicted from the units of the other folds, and
from the days before its own block alone, so it never meets its own reward (Chernozhukov et al. 2018).
In the first block nothing is known and q is 0: there a doubly robust estimate is plain weighing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandits.unit_sums import UnitKeys
from recsys.errors import Misuse
from recsys.vocabulary import Floats, ProductId

FOLDS, BLOCKS = 3, 5
_SHARED, _OWN = 1.0, 30.0  # ridge penalties: of what products share, and of what sets one apart


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model speaks of: product columns, places of a slate, context features, and how time is cut."""

    products: tuple[ProductId, ...]
    places: int
    features: int
    folds: int = FOLDS
    blocks: int = BLOCKS

    @property
    def width(self) -> int:
        """Columns of the shared design: products, places, features."""
        return len(self.products) + self.places + self.features


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Rounds × slots, flat, that teach or ask: arrays (m, …); `block` counts time from 0."""

    x: Floats  # (m, features)
    place: Floats  # (m,) from 0
    unit: UnitKeys  # (m,)
    block: Floats  # (m,)


class RewardModel:
    """Sums by fold and block; `learn` all rounds first, then ask `expected`."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        cells, width, own = (shape.folds, shape.blocks), shape.width, shape.features + 1
        self._gram = np.zeros((*cells, width, width))
        self._moment = np.zeros((*cells, width))
        self._own_gram = np.zeros((*cells, len(shape.products), own, own))
        self._own_moment = np.zeros((*cells, len(shape.products), own))
        self._own_design = np.zeros((*cells, len(shape.products), own, width))  # own design × shared design
        self._fitted: dict[tuple[int, int], tuple[Floats, Floats]] = {}

    def learn(self, shown: Shown, *, product: Floats, reward: Floats) -> None:
        """Take in slots: the product column (m,) that was shown and its reward (m,)."""
        self._fitted.clear()
        columns = product.astype(np.int64)
        folds, blocks = self.fold_of(shown.unit), shown.block.astype(np.int64)
        cells = (folds * self.shape.blocks + blocks) * len(self.shape.products) + columns
        order = np.argsort(cells, kind="stable")
        starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
        design, own = self._design(shown, columns)[order], _with_level(shown.x)[order]
        rewards, named = reward[order], cells[order][starts].tolist()
        for start, end, number in zip(starts.tolist(), [*starts[1:].tolist(), cells.size], named, strict=True):
            at, column = divmod(number, len(self.shape.products))
            cell, rows = divmod(at, self.shape.blocks), slice(start, end)
            self._gram[cell] += design[rows].T @ design[rows]
            self._moment[cell] += design[rows].T @ rewards[rows]
            self._own_gram[cell][column] += own[rows].T @ own[rows]
            self._own_moment[cell][column] += own[rows].T @ rewards[rows]
            self._own_design[cell][column] += own[rows].T @ design[rows]

    def merge(self, other: RewardModel) -> None:
        """Take in what a model of the same shape has learned from other slots."""
        if other.shape != self.shape:
            raise Misuse("reward models of different shapes do not add")
        self._fitted.clear()
        for ours, theirs in zip(self._sums(), other._sums(), strict=True):
            ours += theirs

    def _sums(self) -> tuple[Floats, ...]:
        return self._gram, self._moment, self._own_gram, self._own_moment, self._own_design

    def expected(self, shown: Shown) -> Floats:
        """(m, products) expected reward of every product at each slot's place, had it been shown there."""
        folds, blocks = self.fold_of(shown.unit), shown.block.astype(np.int64)
        products, places = len(self.shape.products), self.shape.places
        own, expected = _with_level(shown.x), np.zeros((len(shown.x), products))
        cells = folds * self.shape.blocks + blocks
        for cell in np.unique(cells).tolist():
            here = np.flatnonzero(cells == cell)
            shared, apart = self._fit(*divmod(cell, self.shape.blocks))
            levels = shared[None, :products] + shared[products + shown.place[here].astype(np.int64)][:, None]
            common = shown.x[here] @ shared[products + places :]
            expected[here] = levels + common[:, None] + own[here] @ apart.T
        return expected

    def fold_of(self, unit: UnitKeys) -> NDArray[np.int64]:
        """(m,) the fold of each unit."""
        return np.asarray(unit % np.uint64(self.shape.folds), dtype=np.int64)

    def _fit(self, fold: int, block: int) -> tuple[Floats, Floats]:
        """Shared weights (width,) and each product's own (products, features + 1), blind to `fold`."""
        if not (0 <= fold < self.shape.folds and 0 <= block < self.shape.blocks):
            raise Misuse(f"there is no fold {fold} or block {block} in {self.shape.folds} × {self.shape.blocks}")
        if (fold, block) not in self._fitted:
            others = [each for each in range(self.shape.folds) if each != fold]

            def total(sums: Floats) -> Floats:
                return np.asarray(sums[others, :block].sum(axis=(0, 1)))

            ridge = _SHARED * np.eye(self.shape.width)
            shared = np.linalg.solve(total(self._gram) + ridge, total(self._moment))
            residual = total(self._own_moment) - total(self._own_design) @ shared
            penalty = _OWN * np.eye(self.shape.features + 1)
            apart = np.linalg.solve(total(self._own_gram) + penalty, residual[..., None])[..., 0]
            self._fitted[fold, block] = (np.asarray(shared, dtype=np.float64), np.asarray(apart, dtype=np.float64))
        return self._fitted[fold, block]

    def _design(self, shown: Shown, columns: NDArray[np.int64]) -> Floats:
        products = np.eye(len(self.shape.products))[columns]
        places = np.eye(self.shape.places)[shown.place.astype(np.int64)]
        return np.hstack([products, places, shown.x])


def _with_level(x: Floats) -> Floats:
    return np.hstack([np.ones((len(x), 1)), x])
