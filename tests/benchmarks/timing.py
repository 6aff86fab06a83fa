"""How long one call takes, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def microseconds(work: Callable[[], object], *, rounds: int = 1_000) -> float:
    """The median time of one call."""
    times = np.empty(rounds)
    for place in range(rounds):
        started = time.perf_counter()
        work()
        times[place] = time.perf_counter() - started
    return float(np.median(times) * 1e6)
