"""A blend: each member says how probable each product is, and later choices say how far to believe it.

    log p (b, P) = Σ_m w_m log p_m          w ≥ 0, one weight a member, from coordinate ascent

A product of experts (Hinton 2002): a product that one member holds impossible is out, one that several find
likely is in. A member that adds nothing on later choices gets no weight and costs nothing afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from embeddings.families import Family, Later
from embeddings.fitting import Epoch
from embeddings.histories import Histories, Rows
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats, Vector

_GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)
_ROUNDS = 3
_WORTH = 1e-4  # a gain smaller than this is noise


class Blend:
    """Several families as one."""

    name = "blend"

    def __init__(self, members: Sequence[Family]) -> None:
        """`members` in the order in which they are tried; the first of equals wins."""
        if not members:
            raise InvalidConfiguration("a blend needs at least one member")
        self.members = tuple(members)
        self.weights: dict[str, float] = {}

    def fit(self, learn: Histories, *, later: Later, seed: int, checkpoint: Path | None = None) -> Iterator[Epoch]:
        """Fit the members one after another, then weigh them on later choices."""
        number = 0
        for member in self.members:
            own = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{member.name}")
            for epoch in member.fit(learn, later=later, seed=seed, checkpoint=own):
                number += 1
                yield replace(epoch, number=number)
        few = later.some()
        logs = [log_probabilities(member.scores(few.histories)) for member in self.members]
        if few.seen == "drop":
            known = few.histories.subject_rows < few.histories.n_products
            for each in logs:
                each[few.histories.customer_rows[known], few.histories.subject_rows[known]] = -1e9
        any_one = np.arange(len(few.wanted.lengths)) * 7919 % few.wanted.lengths  # not the first: rows are no chance
        weights = weighed(logs, wanted=few.wanted.product_rows[few.wanted.starts[:-1] + any_one])
        self.weights = {m.name: float(w) for m, w in zip(self.members, weights, strict=True)}

    def refit(self, whole: Histories, *, seed: int) -> None:
        """Learn from everything; members without weight are left as they are."""
        for member in self.members:
            if self.weights.get(member.name):
                member.refit(whole, seed=seed)

    def scores(self, histories: Histories) -> Vector:
        """(b, P) log probabilities, up to a constant of each row."""
        if not self.weights:
            raise InvalidConfiguration("blend has not been fitted")
        found = np.zeros((len(histories), histories.n_products), dtype=np.float32)
        for member in self.members:
            if weight := self.weights[member.name]:
                found += np.float32(weight) * log_probabilities(member.scores(histories))
        return found

    def chosen(self) -> Mapping[str, float]:
        """The weight of each member, and what each settled on."""
        told = {f"weight_{name}": weight for name, weight in self.weights.items()}
        for member in self.members:
            if self.weights.get(member.name):
                told |= {f"{member.name}_{key}": value for key, value in member.chosen().items()}
        return told


def log_probabilities(scores: Vector) -> Vector:
    """(b, P) log softmax, a copy.

    >>> log_probabilities(np.zeros((1, 4), dtype=np.float32)).round(2).tolist()
    [[-1.3899999856948853, -1.3899999856948853, -1.3899999856948853, -1.3899999856948853]]
    """
    found = scores - scores.max(axis=1, keepdims=True)
    found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
    return np.asarray(found, dtype=np.float32)


def weighed(logs: Sequence[Vector], *, wanted: Rows) -> Floats:
    """(M,) weights of M members' log probabilities (m, P) that put the wanted (m,) product highest.

    Judged by the mean of 1 / log2(1 + rank) over the whole ranking: the NDCG without a cut, to which every
    customer contributes, so that it is less of a lottery than a hit among ten.
    """
    alone = [_gain(each, wanted=wanted) for each in logs]
    weights = np.zeros(len(logs))
    weights[best := int(np.argmax(alone))] = 1.0
    reached, mixed = alone[best], logs[best].copy()
    for _ in range(_ROUNDS):
        before = reached
        for place, each in enumerate(logs):
            without = mixed - np.float32(weights[place]) * each
            for weight in _GRID:
                if weight == weights[place] or (weight == 0.0 and weights[place] == weights.sum()):
                    continue
                trial = without + np.float32(weight) * each
                if (gain := _gain(trial, wanted=wanted)) > reached + _WORTH:
                    reached, mixed, weights[place] = gain, trial, weight
        if reached <= before + _WORTH:
            break
    return weights


def _gain(scores: Vector, *, wanted: Rows) -> float:
    """Mean of 1 / log2(1 + rank); equal scores share the middle of their ranks."""
    own = np.take_along_axis(scores, wanted[:, None], axis=1)  # (m, 1)
    ahead = (scores > own).sum(axis=1) + 0.5 * ((scores == own).sum(axis=1) - 1)
    return float((1.0 / np.log2(2.0 + ahead)).mean())
