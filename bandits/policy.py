"""What a policy is, and the check that a distribution is one.

A policy has two verbs. `scores` looks at the context and the candidates once; `pmf` turns those
scores into a distribution over the candidates still open, and is asked again for every slot, so
that greedy order and exact conditional propensities cost a single prediction.

Laws (tests/laws): the pmf sums to one over the open candidates and is zero elsewhere; permuting the
candidates permutes it; asking twice gives the same; one open candidate gets 1; every open candidate
gets at least `floor / n_open`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np

from recsys.errors import InvalidPmf
from recsys.vocabulary import Bools, Candidate, Context, Floats

Basis: TypeAlias = Literal["person", "popularity", "order", "even", "words"]
"""What scores come from: this customer, everybody's choices, an approved order, nothing (all alike), or a search."""


class Policy(Protocol):
    """(context, candidates) → pmf; immutable, named `name@version`."""

    @property
    def basis(self) -> Basis:
        """What its scores come from: an explanation may say no more than that."""

    @property
    def name(self) -> str:
        """`name@version`, as logged with every decision."""

    @property
    def floor(self) -> float:
        """Total probability spread evenly over the open candidates whatever the scores; 0 if deterministic."""

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) float64, higher is better; pure."""

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) float64 distribution over `open_` candidates; zero where closed."""


def check_finite(scores: Floats, *, where: str) -> None:
    """Raise `InvalidPmf` where a score is not finite."""
    if not math.isfinite(float(np.add.reduce(scores))) and not np.isfinite(scores).all():  # a sum alone may overflow
        raise InvalidPmf("a score is not finite", where=where)


def checked_pmf(pmf: Floats, *, open_: Bools, where: str) -> Floats:
    """Return `pmf`, or raise `InvalidPmf` saying what is wrong with it.

    >>> checked_pmf(np.array([0.25, 0.75]), open_=np.array([True, True]), where="uniform@1")
    array([0.25, 0.75])
    >>> checked_pmf(np.array([0.5, 0.6]), open_=np.array([True, True]), where="uniform@1")
    Traceback (most recent call last):
    ...
    recsys.errors.InvalidPmf: uniform@1: not a probability distribution: sums to 1.1
    """
    if pmf.shape != open_.shape or not pmf.size:
        raise InvalidPmf(f"{pmf.shape[0]} probabilities for {open_.shape[0]} candidates", where=where)
    least, total = np.minimum.reduce(pmf), float(np.add.reduce(pmf))
    if least >= 0.0 and abs(total - 1.0) <= 1e-9 and not np.count_nonzero(pmf > open_):
        return pmf  # nearly always, and in few passes: only a closed candidate's mass is above its 0, none is above 1
    if not np.isfinite(pmf).all():
        raise InvalidPmf("a value is not finite", where=where)
    if (pmf < 0).any():
        raise InvalidPmf(f"a value is negative ({pmf.min():g})", where=where)
    if pmf[~open_].any():
        raise InvalidPmf("a closed candidate has mass", where=where)
    if total and abs(total - 1.0) > 1e-9:
        raise InvalidPmf(f"sums to {total:g}", where=where)
    if not total:
        raise InvalidPmf("sums to 0", where=where)
    return pmf
