"""Chance that depends on names, never on the order of calls nor on the company.

Every number is a function of (seed, purpose, day, key) alone, where the key is a customer's number
or is made of one. So a day lived in one call or in a hundred is the same day, a slice of the
customers made alone is that slice of the whole, and two policies compared in two copies of a bank
meet the same luck (common random numbers).

A purpose and a day name a stream of SplitMix64 (Steele, Lea and Flood 2014), and a key the place in
it: the stream can be entered anywhere, because its state after k steps is start + k · gamma.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.vocabulary import Floats

Ints: TypeAlias = NDArray[np.int64]
Keys: TypeAlias = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW_HALF = np.uint64(0xFFFFFFFF)


def uniforms(seed: int, *, purpose: str, day: int, keys: Keys) -> Floats:
    """One number in (0, 1) for each key, in the shape of `keys`.

    >>> uniforms(7, purpose="seen", day=3, keys=np.array([1, 2, 1], dtype=np.uint64)).round(3).tolist()
    [0.397, 0.163, 0.397]
    """
    bits = _bits(seed, purpose=purpose, day=day, keys=keys)
    bits >>= np.uint64(11)
    numbers = bits.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-53
    return numbers


def normals(seed: int, *, purpose: str, day: int, keys: Keys) -> Floats:
    """One standard normal for each key, in the shape of `keys`, by Box and Muller.

    Radius and angle are the two halves of one hash, so no number lies further out than 6.7.
    """
    bits = _bits(seed, purpose=purpose, day=day, keys=keys)
    turn = (bits & _LOW_HALF).astype(np.float64)
    turn *= 2.0 * np.pi * 2.0**-32
    bits >>= np.uint64(32)
    radius = bits.astype(np.float64)
    radius += 0.5
    radius *= 2.0**-32
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    radius *= np.cos(turn, out=turn)
    return radius


def generator(seed: int, *, purpose: str, day: int = 0) -> np.random.Generator:
    """A generator for each (seed, purpose, day); what it draws hangs on the company, so it is on its way out."""
    name = hashlib.sha256(f"{seed}/{purpose}/{day}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(name[:16], "little")))


def keys_of(numbers: Ints) -> Keys:
    """Customer numbers, or whatever else is not negative, as keys."""
    return numbers.astype(np.uint64)


def cells(numbers: Ints, *, columns: int) -> Keys:
    """(n, columns) a key for each customer and column; the same columns ask for the same `columns`.

    >>> cells(np.array([0, 5]), columns=3).tolist()
    [[0, 1, 2], [15, 16, 17]]
    """
    table: Keys = np.add.outer(keys_of(numbers) * np.uint64(columns), np.arange(columns, dtype=np.uint64))
    return table


def choices(luck: Floats, *, cumulative: Floats) -> Ints:
    """(n,) which of k weights each number of `luck` (n,) falls on.

    `cumulative` holds the running sums of the weights, (k,) for everybody or (n, k) for each; the
    last is their total and need not be one.

    >>> choices(np.array([0.1, 0.6, 0.99]), cumulative=np.array([1.0, 3.0, 4.0])).tolist()
    [0, 1, 2]
    """
    if cumulative.ndim == 1:
        shared: Ints = np.searchsorted(cumulative[:-1], luck * cumulative[-1], side="right")
        return shared
    passed = (luck * cumulative[:, -1])[:, None] >= cumulative[:, :-1]
    each: Ints = passed.sum(axis=1)
    return each


def poisson(luck: Floats, *, rate: Floats) -> Ints:
    """(n,) Poisson counts by inversion: how many steps of its distribution each number of `luck` passes.

    Both (n,); made for rates of a few. One number decides a count, so who has a higher rate never
    counts fewer under the same luck.

    >>> poisson(np.array([0.3, 0.5, 0.95]), rate=np.array([1.0, 1.0, 1.0])).tolist()
    [0, 1, 3]
    """
    counts = np.zeros(len(luck), dtype=np.int64)
    term = np.exp(-rate)
    left = np.flatnonzero(luck >= term)
    luck, rate, term = luck[left], rate[left], term[left]
    reached, count = term.copy(), 0
    while len(left):
        count += 1
        counts[left] = count
        term *= rate / count
        before, reached = reached, reached + term
        on = (luck >= reached) & (reached > before)  # beyond the tail, rounding adds nothing more
        left, luck, rate, term, reached = left[on], luck[on], rate[on], term[on], reached[on]
    return counts


def _bits(seed: int, *, purpose: str, day: int, keys: Keys) -> Keys:
    """64 random bits for each key."""
    name = hashlib.sha256(f"{seed}/{purpose}/{day}".encode()).digest()
    bits = keys * _GAMMA
    bits += np.uint64(int.from_bytes(name[:8], "little"))
    bits ^= bits >> np.uint64(30)
    bits *= _FIRST
    bits ^= bits >> np.uint64(27)
    bits *= _SECOND
    bits ^= bits >> np.uint64(31)
    return bits
