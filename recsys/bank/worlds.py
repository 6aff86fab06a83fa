"""Four worlds that differ in how wants come about, so that a method tuned in one can be judged in others.

A world is four pure functions of one customer and one product at a time: need, the chance of a tap,
of being persuaded once tapped, and of coming without us. What a bank can see, its money and its
calendar are the same everywhere, and so are the base rates (`intercepts`).

- `plain`: need adds up (state · weights + loading · theta + taste) and a tap is logistic. The default.
- `thresholds`: wants switch on when they are met twice, by who one is and by the moment, and saturate.
- `types`: eight latent kinds of people; how a product appeals to the kind multiplies every chance.
- `distances`: each product has an ideal customer, and need falls with the squared distance from them;
  taps by the complementary log-log link.

The last three are held back: nothing in the house may be tuned in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from recsys.bank.dice import Ints
from recsys.bank.hidden import Hidden
from recsys.bank.truth import TASTE, Truths
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats


class World(Protocol):
    """How wants come about. `need` is about 0 on average with a standard deviation of about 1.7."""

    @property
    def name(self) -> str:
        """What it is called."""

    def liking(self, hidden: Hidden, *, truths: Truths) -> Floats:
        """(n, P) the part of need that stays."""

    def need(self, liking: Floats, *, states: Floats, truths: Truths) -> Floats:
        """(n, P) need today, of `liking` (n, P) and `states` (n, STATES)."""

    def taps(self, index: Floats) -> Floats:
        """P(tap | seen) of a click index, in any shape."""

    def persuaded(self, need: Floats, *, persuadable: Floats, truths: Truths, eased: Floats) -> Floats:
        """(n, P) P(the card brings the opening about | tap); `eased` (n, P) is taken off the logit."""

    def anyway(self, need: Floats, *, truths: Truths) -> Floats:
        """(n, P) chance of opening within 30 days with no help of ours."""


def logistic(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), element by element."""
    out = np.negative(logits)
    np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


@dataclass(frozen=True, slots=True)
class Plain:
    """Need adds up; taps are logistic. The other worlds differ from it in what they override."""

    name: str = "plain"

    def liking(self, hidden: Hidden, *, truths: Truths) -> Floats:
        """loading · theta + taste."""
        liking: Floats = np.einsum("nt,pt->np", hidden.theta, truths.loading) + hidden.taste
        return liking

    def need(self, liking: Floats, *, states: Floats, truths: Truths) -> Floats:
        """liking + state · weights."""
        return liking + _moment(states, truths=truths)

    def taps(self, index: Floats) -> Floats:
        """Logistic."""
        return logistic(index)

    def persuaded(self, need: Floats, *, persuadable: Floats, truths: Truths, eased: Floats) -> Floats:
        """Logistic; whoever needs a thing badly is less moved by a card (domain 3.6)."""
        logits = np.maximum(need - 0.8, 0.0)
        logits *= -0.7
        logits += 0.6 * persuadable
        logits -= eased
        logits += truths.convert - 0.3
        return logistic(logits)

    def anyway(self, need: Floats, *, truths: Truths) -> Floats:
        """Log-linear in need, never more than .6."""
        return np.minimum(truths.organic * np.exp(np.minimum(0.9 * need, 3.0)), 0.6)


@dataclass(frozen=True, slots=True)
class Thresholds(Plain):
    """A want is there or not; the right moment counts only for those who have it."""

    name: str = "thresholds"

    def need(self, liking: Floats, *, states: Floats, truths: Truths) -> Floats:
        """A gate of liking, and behind it a gate of the moment."""
        wants = logistic(3.0 * (liking - 0.7))
        moment = logistic(4.0 * (_moment(states, truths=truths) - 0.2))
        need: Floats = -1.2 + 2.7 * wants + 2.8 * wants * moment
        return need

    def taps(self, index: Floats) -> Floats:
        """Saturates at .35."""
        return 0.35 * -np.expm1(np.exp(index) / -0.35)


@dataclass(frozen=True, slots=True)
class Types(Plain):
    """Eight kinds of people, each with an appeal of every product that multiplies."""

    name: str = "types"

    def liking(self, hidden: Hidden, *, truths: Truths) -> Floats:
        """log appeal of the product to the customer's kind, and a little of their own taste."""
        appeal = np.array([[_hashed(kind, product) for product in truths.ids] for kind in range(_KINDS)])
        own: Floats = 1.15 * appeal[_kinds_of(hidden.theta)] + 0.6 * hidden.taste
        return own

    def taps(self, index: Floats) -> Floats:
        """Logarithmic: appeals multiply, up to .4."""
        return np.minimum(np.exp(index), 0.4)


@dataclass(frozen=True, slots=True)
class Distances(Plain):
    """Need falls with the squared distance between a customer's traits and the product's ideal ones."""

    name: str = "distances"

    def liking(self, hidden: Hidden, *, truths: Truths) -> Floats:
        """Of |theta - ideal|², with ideals one and a half times as far out as the loadings point."""
        ideal = 1.5 / TASTE * truths.loading
        crossed = np.einsum("nt,pt->np", hidden.theta, ideal)
        squared = (hidden.theta**2).sum(axis=1)[:, None] - 2.0 * crossed + (ideal**2).sum(axis=1)
        liking: Floats = 3.0 - 0.3 * squared + hidden.taste
        return liking

    def taps(self, index: Floats) -> Floats:
        """Complementary log-log."""
        return -np.expm1(-np.exp(np.minimum(index, 3.0)))


WORLDS: Mapping[str, World] = MappingProxyType(
    {world.name: world for world in (Plain(), Thresholds(), Types(), Distances())}
)
HELD_BACK = ("thresholds", "types", "distances")


def world_of(name: str) -> World:
    """The world of this name, or InvalidConfiguration in one sentence."""
    if name not in WORLDS:
        raise InvalidConfiguration(f"there is no world {name!r}; there are {', '.join(WORLDS)}")
    return WORLDS[name]


def _moment(states: Floats, *, truths: Truths) -> Floats:
    """(n, P) what the day adds; without BLAS, so that the last bit does not hang on the number of cores."""
    moment: Floats = np.einsum("ns,ps->np", states, truths.state)
    return moment


_KINDS = 8


def _kinds_of(theta: Floats) -> Ints:
    """(n,) the kind whose direction a customer's traits point along most."""
    directions = np.array(
        [[_hashed(kind, f"trait {trait}") for trait in range(theta.shape[1])] for kind in range(_KINDS)]
    )
    kinds: Ints = np.argmax(np.einsum("nt,kt->nk", theta, directions), axis=1)
    return kinds


def _hashed(kind: int, name: str) -> float:
    """A standard normal that hangs on the two names alone."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    first, second = ((int.from_bytes(digest[at : at + 7], "little") + 0.5) * 2.0**-56 for at in (0, 8))
    return float(np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * second))
