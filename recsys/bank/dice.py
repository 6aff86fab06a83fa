"""Chance that depends on names, never on the order of calls.

Two kinds of dice, both functions of (seed, purpose, day) alone: `generator` for what is drawn for
every customer at once, and `uniforms` for what is drawn one visit at a time, where each number
hangs on its own key. So a day lived in one call or in a hundred is the same day, and two policies
compared in two copies of a bank meet the same luck (common random numbers).
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.vocabulary import Floats

Ints: TypeAlias = NDArray[np.int64]
Keys: TypeAlias = NDArray[np.uint64]


def _salt(seed: int, purpose: str, day: int) -> bytes:
    return hashlib.sha256(f"{seed}/{purpose}/{day}".encode()).digest()


def generator(seed: int, *, purpose: str, day: int = 0) -> np.random.Generator:
    """A counter-based generator of its own for each (seed, purpose, day).

    >>> float(generator(7, purpose="salary", day=3).random()) == float(generator(7, purpose="salary", day=3).random())
    True
    """
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_salt(seed, purpose, day)[:16], "little")))


def uniforms(seed: int, *, purpose: str, day: int, keys: Keys) -> Floats:
    """One number in (0, 1) for each key (n,): SplitMix64 (Steele et al. 2014) of key and salt.

    >>> uniforms(7, purpose="seen", day=3, keys=np.array([1, 2, 1], dtype=np.uint64)).round(3).tolist()
    [0.315, 0.172, 0.315]
    """
    salts = np.frombuffer(_salt(seed, purpose, day)[:16], dtype="<u8")
    mixed = _mixed(_mixed(keys + salts[:1]) ^ salts[1:])
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(seed: int, *, purpose: str, day: int, keys: Keys) -> Floats:
    """One standard normal for each key (n,), by Box and Muller."""
    radius = np.sqrt(-2.0 * np.log(uniforms(seed, purpose=f"{purpose}/radius", day=day, keys=keys)))
    turn: Floats = np.cos(2.0 * np.pi * uniforms(seed, purpose=f"{purpose}/turn", day=day, keys=keys))
    return radius * turn


def _mixed(keys: Keys) -> Keys:
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
