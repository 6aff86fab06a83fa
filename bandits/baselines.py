"""Policies that do not learn, and popularity, which only counts: what a bandit has to beat.

Uniform keeps evaluation possible, popularity within the rules is the honest rival, and a fixed
approved order serves fallbacks, hold-outs and broadcasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bandits.chain import Chain
from bandits.earned import typical
from bandits.exploration import Exploration
from bandits.policy import Basis
from recsys.vocabulary import NOTHING, Bools, Candidate, Context, Floats, ProductId

Counts = Mapping[ProductId, tuple[float, float]]  # happened, taught


class UniformPolicy:
    """Every open candidate alike, the null choice included.

    >>> UniformPolicy().pmf(np.zeros(4), open_=np.array([True, True, False, True])).round(3)
    array([0.333, 0.333, 0.   , 0.333])
    """

    basis: Basis = "even"
    floor = 1.0

    def __init__(self, name: str = "uniform@0") -> None:
        self._name = name
        self._exploration = Exploration("uniform")

    @property
    def name(self) -> str:
        """`name@version`."""
        return self._name

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) zeros."""
        return np.zeros(len(candidates))

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) 1 / n_open each."""
        return self._exploration.pmf(scores, open_=open_)

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) the same for m masks at once."""
        return self._exploration.pmfs(scores, open_=open_)


class StaticPolicy:
    """An approved order: the first open product of it, with probability 1.

    Products outside the order come last, in candidate order, and the null choice after them.
    """

    basis: Basis = "order"
    floor = 0.0

    def __init__(self, order: Sequence[ProductId], *, name: str = "static@0") -> None:
        self._name = name
        self._rank = {product: rank for rank, product in enumerate(order)}

    @property
    def name(self) -> str:
        """`name@version`."""
        return self._name

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) minus the place in the order."""
        last = len(self._rank)
        return -np.array([self._place(c.product_id, last=last) for c in candidates], dtype=np.float64)

    def _place(self, product: ProductId, *, last: int) -> int:
        return self._rank.get(product, last + 1 if product == NOTHING else last)

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) 1 on the best open candidate; the first of those that tie."""
        pmf = np.zeros(scores.size)
        pmf[int(np.where(open_, scores, -np.inf).argmax())] = 1.0
        return pmf


class PopularityPolicy:
    """Products by how often they did well with everybody: smoothed counts, no context.

    `by` is "taps" (the first stage's rate) or "value" (the whole chain's expected worth). The prior
    is a Beta with the mean of all products and `strength` lessons' weight, so that a product shown
    twice does not lead the list.
    """

    basis: Basis = "popularity"

    def __init__(
        self,
        name: str,
        *,
        counts: Sequence[Counts],
        chain: Chain,
        exploration: Exploration,
        by: str = "taps",
        strength: float = 20.0,
        lessons: int = 0,
    ) -> None:
        self._name = name
        self._counts = tuple(counts)  # one per stage
        self._means = tuple(_mean(of_stage) for of_stage in self._counts)
        self._chain = chain
        self._exploration = exploration
        self._by = by
        self._strength = strength
        self._lessons = lessons

    @property
    def name(self) -> str:
        """`name@version`."""
        return self._name

    @property
    def floor(self) -> float:
        """The exploration's."""
        return self._exploration.floor

    def scores(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(n,) smoothed rate or expected worth; the null choice is worth 0."""
        products = [candidate.product_id for candidate in candidates]
        rates = np.array([[self._rate(row, product) for product in products] for row in range(len(self._counts))])
        if self._by == "value":
            return self._chain.expected(rates, products)
        return np.where([product == NOTHING for product in products], 0.0, rates[0])

    def _rate(self, row: int, product: ProductId) -> float:
        happened, taught = self._counts[row].get(product, (0.0, 0.0))
        return (happened + self._strength * self._means[row]) / (taught + self._strength)

    def pmf(self, scores: Floats, *, open_: Bools) -> Floats:
        """(n,) by the recipe's exploration."""
        return self._exploration.pmf(scores, open_=open_, lessons=self._lessons, unit=typical(self._chain, self._means))

    def pmfs(self, scores: Floats, *, open_: Bools) -> Floats:
        """(m, n) the same for m masks at once."""
        return self._exploration.pmfs(
            scores, open_=open_, lessons=self._lessons, unit=typical(self._chain, self._means)
        )


def _mean(counts: Counts) -> float:
    """Rate over all products, from one half upwards or downwards."""
    happened = sum(h for h, _ in counts.values())
    taught = sum(t for _, t in counts.values())
    return (happened + 0.5) / (taught + 1.0)
