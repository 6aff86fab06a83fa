"""Random Fourier features: cosines in random directions, by which a linear learner follows any smooth shape.

A weighted sum of n cosines with Gaussian frequencies comes near a Gaussian-kernel regression (Rahimi and
Recht 2007). The frequencies of a feature are drawn from its name, so that they are the same for ever and
in every process, and new names may come at any time. The context is first divided by the square root of
how many of its values are not 0, so that neither many features nor few make the waves too short.
"""

from __future__ import annotations

import hashlib

import numpy as np

from recsys.vocabulary import Floats

_MOST_ASKED = 1_000  # tuples of names whose frequencies are kept
_SEED = b"recsys-waves-1"


class Waves:
    """`n` cosines; pure but for a cache of frequencies."""

    def __init__(self, n: int) -> None:
        self._phases = 2.0 * np.pi * _generator("").random(n)
        self._frequencies: dict[tuple[str, ...], Floats] = {}

    @property
    def names(self) -> list[str]:
        """Names of the columns; none that a feature can have."""
        return [f"\x1fwave-{number}" for number in range(self._phases.size)]

    def rows(self, names: tuple[str, ...], evened: Floats) -> Floats:
        """(m, n) cosines of evened contexts (m, len(names)); the squares of a row sum to about 1."""
        angles = np.einsum("md,dn->mn", evened, self._of(names)) + self._phases
        return np.asarray(np.cos(angles) * np.sqrt(2.0 / max(1, self._phases.size)))

    def _of(self, names: tuple[str, ...]) -> Floats:
        """(len(names), n) frequencies."""
        found = self._frequencies.get(names)
        if found is None:
            if len(self._frequencies) >= _MOST_ASKED:
                self._frequencies.clear()
            drawn = [_generator(f"\x1f{name}").standard_normal(self._phases.size) for name in names]
            found = self._frequencies[names] = np.array(drawn).reshape(len(names), -1)
        return found


def evened(values: Floats) -> Floats:
    """(m, d) each row divided by the square root of how many of its values are not 0.

    >>> evened(np.array([[1.0, 0.0, 1.0, 1.0, 1.0]]))
    array([[0.5, 0. , 0.5, 0.5, 0.5]])
    """
    told = np.maximum(1, np.count_nonzero(values, axis=1))
    return np.asarray(values / np.sqrt(told)[:, None])


def _generator(name: str) -> np.random.Generator:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=_SEED).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
