"""Scores → a distribution over the candidates still open, with a stated floor inside that set.

Pure functions in float64. Sums over candidates go through `math.fsum`, which is exactly rounded, so
permuting the candidates permutes the pmf bit for bit; candidates that tie share evenly; one open
candidate gets exactly 1; scores of closed candidates have no influence.

Sources: epsilon-greedy and softmax are folklore; inverse-gap weighting is SquareCB (Foster and
Rakhlin 2020), whose scale must grow with what was learned and fit the reward gaps of the domain: at
1 % base rates VW's default of 10 would explore 45 % of the time (statistics.md 3). So gaps may be
measured in what a slot earned so far (`unit`), and by scores that are optimistic by `bonus` deviations:
the optimism of UCB (Auer 2002; logistic: Filippi et al. 2010) with the exact propensities of SquareCB.
A `quota` is what products that are new (bandits/newcomers.py) get together of each slot, whatever the kind and only
while any is: no less, so that none starves, and beside products that are known no more, so that none takes the slots of
those before anybody has seen what comes of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from bandits.policy import check_finite
from recsys.errors import InvalidConfiguration, InvalidPmf
from recsys.vocabulary import Bools, Floats

_LATER: dict[str, float | str] = {
    "unit": "point",
    "bonus": 0.0,
    "quota": 0.0,
    "new_until": 2_000.0,
}  # settings that older recipes did not have, and what they meant
KINDS = ("greedy", "epsilon_greedy", "softmax", "squarecb", "uniform")


@dataclass(frozen=True, slots=True)
class Exploration:
    """How a recipe explores. Raises `InvalidConfiguration` for settings that contradict themselves.

    >>> Exploration("epsilon_greedy", epsilon=0.1).pmf(np.array([3.0, 1.0]), open_=np.array([True, True]))
    array([0.95, 0.05])
    """

    kind: str = "epsilon_greedy"
    epsilon: float = 0.05  # total probability spread evenly over the open candidates
    temperature: float = 1.0  # softmax: score differences of one temperature are a factor e
    gamma: float = 100.0  # squarecb: inverse of the gap at which a candidate loses half of its even share, × n
    exponent: float = 0.5  # squarecb: gamma grows with lessons ** exponent
    unit: str = "point"  # squarecb: gaps are measured in points, or in what a slot "earned" on average so far
    bonus: float = 0.0  # standard deviations of optimism that a learner which knows them adds to its scores
    quota: float = 0.0  # share of each slot that open products which are new get evenly, and no more beside known ones
    new_until: float = 2_000.0  # displays learned from, after which a product is new no more

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidConfiguration(f'"{self.kind}" is no exploration: use one of {", ".join(KINDS)}')
        if not 0.0 <= self.epsilon <= 1.0:
            raise InvalidConfiguration(f"exploration: epsilon is a probability, got {self.epsilon}")
        if not (math.isfinite(self.temperature) and self.temperature > 0.0):
            raise InvalidConfiguration(f"exploration: temperature must be above 0, got {self.temperature}")
        if not (math.isfinite(self.gamma) and self.gamma > 0.0 and 0.0 <= self.exponent <= 1.0):
            raise InvalidConfiguration(
                f"exploration: squarecb needs gamma above 0 and an exponent in [0, 1], "
                f"got {self.gamma} and {self.exponent}"
            )
        if self.unit not in ("point", "earned"):
            raise InvalidConfiguration(f'exploration: unit is "point" or "earned", not "{self.unit}"')
        if not 0.0 <= self.bonus <= 10.0:
            raise InvalidConfiguration(f"exploration: bonus must be in [0, 10], got {self.bonus}")
        if not (0.0 <= self.quota < 1.0 and 0.0 < self.new_until < math.inf):
            raise InvalidConfiguration(
                f"exploration: quota is a share below 1 and new_until a number of displays, "
                f"got {self.quota} and {self.new_until}"
            )

    @property
    def plain(self) -> dict[str, float | str]:
        """As JSON values; what came later is left out at its default, under which every older recipe was approved."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value != _LATER[name]}

    @property
    def floor(self) -> float:
        """Total probability spread evenly whatever the scores."""
        return min(self._even * (1.0 - self.quota), self.quota) if self.quota else self._even

    @property
    def _even(self) -> float:
        """The same of slots that no new product takes part in."""
        return {"greedy": 0.0, "uniform": 1.0}.get(self.kind, self.epsilon)

    def pmf(
        self, scores: Floats, *, open_: Bools, lessons: int = 0, unit: float = 1.0, new: Bools | None = None
    ) -> Floats:
        """(n,) distribution over `open_`; `lessons` taught the scores, and a slot earned `unit` on average.

        `new` (2, n) are the products with a quota, and those that are known (newcomers.newness).

        >>> few = Exploration("greedy", quota=0.1)
        >>> new = np.array([[True, False, True], [False, True, False]])
        >>> few.pmf(np.array([3.0, 2.0, 1.0]), open_=np.ones(3, dtype=bool), new=new)
        array([0.05, 0.9 , 0.05])
        """
        if new is None:
            return self._settled(scores, open_=open_, lessons=lessons, unit=unit)
        settled = self._settled(scores, open_=beside_new(open_, new), lessons=lessons, unit=unit)
        return self.shared_out(settled, open_ & new[0])

    def shared_out(self, pmf: Floats, new: Bools) -> Floats:
        """(..., n) with the quota of those that are new and open, where there are any."""
        some = new.sum(axis=-1, keepdims=True)
        quota = np.where(some > 0, self.quota, 0.0)
        return np.asarray((1.0 - quota) * pmf + quota * new / np.maximum(some, 1))

    def _settled(self, scores: Floats, *, open_: Bools, lessons: int, unit: float) -> Floats:
        match self.kind:
            case "softmax":
                return softmax(scores, open_=open_, temperature=self.temperature, epsilon=self.epsilon)
            case "squarecb":
                gamma = self.gamma * max(1, lessons) ** self.exponent / (unit if self.unit == "earned" else 1.0)
                return squarecb(scores, open_=open_, gamma=gamma, epsilon=self.epsilon)
        return epsilon_greedy(scores, open_=open_, epsilon=self._even)

    def pmfs(
        self, scores: Floats, *, open_: Bools, lessons: int = 0, unit: float = 1.0, new: Bools | None = None
    ) -> Floats:
        """(m, n) the same for m masks (m, n) at once, equal to rounding; each must leave something open."""
        if self.kind in ("softmax", "squarecb"):
            return np.stack([self.pmf(scores, open_=row, lessons=lessons, unit=unit, new=new) for row in open_])
        settled = open_ if new is None else beside_new(open_, new)
        inside = np.where(settled, scores, -np.inf)
        best = inside == inside.max(axis=1, keepdims=True)
        even = settled / settled.sum(axis=1, keepdims=True)
        pmfs = np.asarray((1.0 - self._even) * best / best.sum(axis=1, keepdims=True) + self._even * even)
        return pmfs if new is None else self.shared_out(pmfs, open_ & new[0])


def beside_new(open_: Bools, new: Bools) -> Bools:
    """(..., n) what is left to the scores: where a known product is open, everything open but what is new."""
    known = (open_ & new[1]).any(axis=-1, keepdims=True)
    return np.asarray(open_ & ~(known & new[0]))


def epsilon_greedy(scores: Floats, *, open_: Bools, epsilon: float) -> Floats:
    """(n,) `epsilon / n_open` each, and the rest to the best, shared evenly among ties."""
    rows, inside = _open_among(scores, open_)
    best = rows[inside == np.maximum.reduce(inside)]
    pmf = np.zeros(scores.size)
    pmf[rows] = even = epsilon / rows.size
    pmf[best] = (1.0 - epsilon) * (1.0 / best.size) + even
    return pmf


def softmax(scores: Floats, *, open_: Bools, temperature: float, epsilon: float) -> Floats:
    """(n,) proportional to exp(score / temperature), mixed with `epsilon` of the even choice."""
    rows, inside = _open_among(scores, open_)
    weights = np.exp((inside - inside.max()) / temperature)
    return _spread(weights / math.fsum(weights), rows=rows, n=scores.size, epsilon=epsilon)


def squarecb(scores: Floats, *, open_: Bools, gamma: float, epsilon: float) -> Floats:
    """(n,) 1 / (n_open + gamma × gap to the best), what is left to the best, mixed with `epsilon`."""
    rows, inside = _open_among(scores, open_)
    top = inside.max()
    best = inside == top
    shares = 1.0 / (rows.size + gamma * (top - inside))
    shares[best] = (1.0 - math.fsum(shares[~best].tolist())) / np.count_nonzero(best)
    return _spread(shares, rows=rows, n=scores.size, epsilon=epsilon)


def _open_among(scores: Floats, open_: Bools) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Floats]:
    """Rows of the open candidates and their scores, after checking what came."""
    if scores.shape != open_.shape:
        raise InvalidPmf(f"{scores.shape} scores for {open_.shape} candidates", where="exploration")
    (rows,) = open_.nonzero()
    if not rows.size:
        raise InvalidPmf("no candidate is open", where="exploration")
    inside = scores[rows]
    check_finite(inside, where="exploration")
    return rows, inside


def _spread(shares: Floats, *, rows: np.ndarray[tuple[int], np.dtype[np.intp]], n: int, epsilon: float) -> Floats:
    """Put shares of the open candidates back among all n, over a floor of `epsilon`."""
    pmf = np.zeros(n)
    pmf[rows] = (1.0 - epsilon) * shares + epsilon / rows.size
    return pmf


def chance_share(pmf: Floats, row: int) -> float:
    """How much of a candidate's probability the least likely open one had too: what was chance and not preference.

    Read from the distribution alone, so that a record can tell it years later. 0 where nothing else was open.

    >>> pmf = np.array([0.96, 0.02, 0.02, 0.0])
    >>> round(chance_share(pmf, 0), 3), chance_share(pmf, 1), chance_share(np.array([0.0, 1.0]), 1)
    (0.021, 1.0, 0.0)
    """
    possible = [each for each in pmf.tolist() if each > 0.0]
    return min(possible) / float(pmf[row]) if len(possible) > 1 else 0.0
