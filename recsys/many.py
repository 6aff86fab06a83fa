"""Many questions at once: p-values that allow for having asked them all."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of any false finding is kept (Holm 1979): primaries times arms.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found, last = [0.0] * len(p_values), 0.0
    for place, row in enumerate(order):
        last = max(last, min(1.0, (len(p_values) - place) * p_values[row]))
        found[row] = last
    return found


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the share of false findings among findings is kept (1995): breakdowns, watched metrics.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    found, last, n = [0.0] * len(p_values), 1.0, len(p_values)
    for place, row in enumerate(order):
        last = min(last, p_values[row] * n / (n - place))
        found[row] = last
    return found
