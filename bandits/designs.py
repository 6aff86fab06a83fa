"""What the exact linear learner looks at: context and candidate as columns, the same for learning and for serving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandits.columns import Columns
from bandits.priors import HEAD, Settings
from bandits.waves import Waves, evened
from recsys.shelves import affinities_of, seen_of
from recsys.vocabulary import Candidate, Floats


class Design:
    """Context and candidate → the columns of beliefs: the head, waves where there are any, then the context."""

    def __init__(self, settings: Settings, *, names: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._waves = Waves(settings.waves)
        fresh = [*HEAD, *self._waves.names]
        self.columns = Columns(fresh if names is None else names, knots=settings.knots)

    def copy(self) -> Design:
        """The same columns, to grow apart from here on."""
        return Design(self._settings, names=self.columns.names)

    def rows(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(m, columns) for candidate i in the context of row i of `values`, which may be one for all."""
        told = evened(values) if self._settings.waves else values
        rows = self.columns.rows(names, told)
        if self._settings.waves:
            rows[:, len(HEAD) : len(HEAD) + self._settings.waves] = self._waves.rows(names, told)
        if len(rows) < len(candidates):
            one, rows = rows, np.empty((len(candidates), rows.shape[1]))
            rows[:] = one
        rows[:, : len(HEAD)] = heads(candidates)
        return rows


def heads(candidates: Sequence[Candidate]) -> Floats:
    """(n, 3) what stands in the first columns: 1, affinity, and how often this customer saw the product lately."""
    found = np.ones((len(candidates), len(HEAD)))
    found[:, 1], found[:, 2] = affinities_of(candidates), seen_of(candidates)
    return found
