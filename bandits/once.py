"""Every decision counts once: which rows of a stream were told before, in eight bytes a decision."""

from __future__ import annotations

import numpy as np

from bandits.unit_sums import UnitKeys
from recsys.vocabulary import Bools


class Once:
    """Keys seen so far, in sorted runs that double in length, so that n keys cost n log n and no more memory.

    >>> once = Once()
    >>> once.first(np.array([7, 8, 7], dtype=np.uint64)).tolist()
    [True, True, False]
    >>> once.first(np.array([9, 8], dtype=np.uint64)).tolist(), once.again
    ([True, False], 2)
    """

    def __init__(self) -> None:
        self.again = 0
        self._runs: list[UnitKeys] = []  # each sorted, each longer than twice the next

    def first(self, keys: UnitKeys) -> Bools:
        """(n,) the rows whose key comes for the first time; the others are counted in `again`."""
        found, at = np.unique(keys, return_index=True)
        new = np.ones(found.size, dtype=np.bool_)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, found), run.size - 1)
            new &= run[places] != found
        first = np.zeros(keys.size, dtype=np.bool_)
        first[at[new]] = True
        self.again += int(keys.size - new.sum())
        self._keep(found[new])
        return first

    def _keep(self, run: UnitKeys) -> None:
        if not run.size:
            return
        while self._runs and self._runs[-1].size < 2 * run.size:
            last = self._runs.pop()
            run = np.concatenate([last, run])
            run.sort(kind="stable")  # two sorted runs: a merge
        self._runs.append(run)
