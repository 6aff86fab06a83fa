"""Gaussian beliefs about weights, and the one step by which a yes or no changes them.

A prediction is a logit: the sum over independent beliefs of their weights times features. A lesson
moves the weights to where prior belief and likelihood agree (the mode, found on a line because only
the prediction is told of), and takes from each covariance what the curvature there says was learned:
assumed-density filtering with a Laplace step (Opper 1998; Minka 2001; Chapelle and Li 2011 with full
covariances). No learning rate: early lessons move much, later ones little, by themselves. A lesson's
weight multiplies its likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from recsys.vocabulary import Floats

_STEPS = 60
_CLOSE = 1e-10


class Belief:
    """Weights as a Gaussian: `mean` (d,) and `covariance` (d, d). Mutable; its learner owns it."""

    __slots__ = ("covariance", "mean")

    def __init__(self, deviations: Floats) -> None:
        self.mean: Floats = np.zeros(deviations.size)
        self.covariance: Floats = np.diag(deviations**2)

    @classmethod
    def of(cls, mean: Floats, covariance: Floats) -> Belief:
        """A belief with this mean and covariance, copied."""
        belief = cls(np.empty(0))
        belief.mean, belief.covariance = np.array(mean, dtype=np.float64), np.array(covariance, dtype=np.float64)
        return belief

    @classmethod
    def view(cls, mean: Floats, covariance: Floats) -> Belief:
        """A belief over these very arrays."""
        belief = cls.__new__(cls)
        belief.mean, belief.covariance = mean, covariance
        return belief

    def grow(self, deviations: Floats) -> None:
        """Take in weights not yet heard of, with these prior standard deviations."""
        d = self.mean.size
        wider = np.diag(np.concatenate([np.zeros(d), deviations**2]))
        wider[:d, :d] = self.covariance
        self.mean, self.covariance = np.concatenate([self.mean, np.zeros(deviations.size)]), wider

    def make_room(self, place: int, *, deviation: float) -> None:
        """Take in one weight not yet heard of in front of the one at `place`."""
        self.mean = np.insert(self.mean, place, 0.0)
        self.covariance = np.insert(np.insert(self.covariance, place, 0.0, axis=0), place, 0.0, axis=1)
        self.covariance[place, place] = deviation**2

    def forget(self, kept: float, *, deviations: Floats) -> None:
        """Keep this share of what lessons added to the prior's precision; the mean stays the best guess.

        >>> belief = Belief(np.array([1.0]))
        >>> belief.covariance[0, 0] = 0.25  # three lessons' worth beside a prior of one
        >>> belief.forget(1 / 3, deviations=np.array([1.0]))
        >>> round(float(belief.covariance[0, 0]), 9)
        0.5
        """
        if not self.mean.size:
            return
        precision = kept * np.linalg.inv(self.covariance)
        precision[np.diag_indices(deviations.size)] += (1.0 - kept) / deviations**2
        covariance = np.linalg.inv(precision)
        self.covariance[...] = (covariance + covariance.T) / 2.0


Parts: TypeAlias = Sequence[tuple[Belief, Floats]]


def learn(parts: Parts, *, start: float, label: float, weight: float = 1.0) -> None:
    """Update every belief by one lesson: features `x` of each part, and `label` in [0, 1].

    >>> belief = Belief(np.array([1.0, 1.0]))
    >>> learn([(belief, np.array([1.0, 0.0]))], start=0.0, label=1.0)
    >>> belief.mean.round(3), belief.covariance.diagonal().round(3)
    (array([0.401, 0.   ]), array([0.806, 1.   ]))
    """
    if weight == 0.0:
        return
    gains = [belief.covariance.dot(x) for belief, x in parts]
    before, spread = start, 0.0
    for gain, (belief, x) in zip(gains, parts, strict=True):
        before += float(belief.mean.dot(x))
        spread += float(gain.dot(x))
    chance = sigmoid(mode(before, spread=weight * spread, label=label))
    curvature = weight * chance * (1.0 - chance)
    learned = math.sqrt(curvature / (1.0 + curvature * spread))
    for gain, (belief, _) in zip(gains, parts, strict=True):
        belief.mean += (weight * (label - chance)) * gain
        told = learned * gain
        belief.covariance -= told[:, None] * told  # symmetric to the last bit


def mode(before: float, *, spread: float, label: float) -> float:
    """The logit z = before + spread · (label − sigmoid(z)): Newton's steps, bisection where they leave the bracket.

    >>> mode(0.0, spread=0.0, label=1.0)
    0.0
    """
    low, high = before + spread * (label - 1.0), before + spread * label
    logit = before
    for _ in range(_STEPS):
        chance = sigmoid(logit)
        off = logit - before - spread * (label - chance)
        low, high = (low, logit) if off > 0.0 else (logit, high)
        step = off / (1.0 + spread * chance * (1.0 - chance))
        if abs(step) <= _CLOSE * (1.0 + abs(logit)):
            break
        logit = logit - step if low < logit - step < high else (low + high) / 2.0
    return logit


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(−logit)), without overflow."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    small = math.exp(logit)
    return small / (1.0 + small)
