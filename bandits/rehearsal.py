"""A few lessons of before for every new one: what lifts an online gradient learner close to an exact one.

Experience replay (Lin 1992; for logged bandits the offline passes of VW). The last lessons are kept as
hashed features, in the learner's state, so that a resumed learner rehearses what an undisturbed one
would; which ones is a function of how many were taught. Off by default: with it a state holds what was
known at the latest moments, and an erasure leaves them only as new lessons push them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import Corrupt

_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """One lesson as the engine saw it."""

    indices: NDArray[np.uint64]
    values: NDArray[np.float32]
    stage: int
    label: float
    weight: float


class Rehearsal:
    """The last `most` lessons, oldest overwritten; its learner owns it."""

    def __init__(self, *, times: int, most: int) -> None:
        self._times = times
        self._most = most
        self._kept: list[Kept] = []
        self._next = 0  # the place of the next lesson once there are `most`

    def lessons(self, taught: int) -> list[Kept]:
        """Those to teach again beside lesson number `taught`."""
        n = len(self._kept)
        return [self._kept[_mixed(taught * self._times + turn) % n] for turn in range(self._times if n else 0)]

    def keep(self, lesson: Kept) -> None:
        """Remember a lesson."""
        if not self._times:
            return
        if len(self._kept) < self._most:
            self._kept.append(lesson)
        else:
            self._kept[self._next] = lesson
            self._next = (self._next + 1) % self._most

    def arrays(self) -> list[NDArray[Any]]:
        """For a state; none where nothing is rehearsed."""
        if not self._times:
            return []
        kept = self._kept
        indices = np.concatenate([each.indices for each in kept]) if kept else np.empty(0)
        values = np.concatenate([each.values for each in kept]) if kept else np.empty(0)
        told = np.array([(each.indices.size, each.stage, each.label, each.weight) for each in kept]).reshape(-1, 4)
        return [indices.astype("<u4"), values.astype("<f4"), told.astype("<f8"), np.array([self._next], dtype="<u4")]

    def restore(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Back from `arrays`; raises `Corrupt`."""
        if not self._times:
            return
        if len(arrays) != 4:
            raise Corrupt("a learner's state lacks the lessons it rehearses")
        indices, values, told, following = arrays
        ends = np.cumsum(told[:, 0]).astype(np.int64)
        if (ends[-1] if ends.size else 0) != indices.size or indices.size != values.size:
            raise Corrupt("the lessons that a learner's state rehearses do not add up")
        pieces = zip(np.split(indices, ends[:-1]), np.split(values, ends[:-1]), told.tolist(), strict=False)
        self._kept = [
            Kept(at.astype(np.uint64), what.astype(np.float32), int(stage), label, weight)
            for at, what, (_, stage, label, weight) in pieces
        ]
        self._next = int(following[0])


def _mixed(number: int) -> int:
    """A number that looks random: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (number + 1) * 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31
