"""Scores that remember whose they are: `pmf` sees rows, and pins, boosts and quotas name products."""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.vocabulary import Bools, Floats


class Marked(np.ndarray[Any, np.dtype[np.float64]]):
    """(n,) scores with what a policy knows of their rows; copies and views keep the marks."""

    pins: tuple[int, ...]
    weights: Floats | None  # (n,) of boosts
    new: Bools | None  # (2, n) products that still have a quota of impressions, and those that are known

    def __array_finalize__(self, source: object) -> None:
        self.pins = getattr(source, "pins", ())
        self.weights = getattr(source, "weights", None)
        self.new = getattr(source, "new", None)
