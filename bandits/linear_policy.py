"""What the exact linear learner serves: an immutable snapshot of its beliefs, asked by a few small sums in numpy.

Variances are quadratic forms in one vector that all candidates share but for its head. A snapshot therefore keeps
every covariance once as a row of its upper triangle, and asks all products and stages by one product of a matrix
and a vector: half of the numbers, read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandits.beliefs import Belief
from bandits.chain import Chain, null_among
from bandits.chained import ChainedPolicy
from bandits.columns import Columns
from bandits.designs import Design
from bandits.exploration import Exploration
from bandits.priors import HEAD, family_of
from bandits.stacked import Stacked
from recsys.shelves import Candidates, Memo, Rows, Shelf
from recsys.vocabulary import Bools, Candidate, Context, Floats, ProductId

_MOST_LIKENESSES = 20_000


class LinearPolicy(ChainedPolicy):
    """Scores, probabilities and standard deviations; `frozen` unless its learner goes on under it."""

    def __init__(
        self,
        name: str,
        *,
        start: float,
        contexts: Design,
        features: Columns,
        shared: Sequence[Belief],
        alike: Sequence[Belief],
        own: Stacked,
        kin: Stacked,
        chain: Chain,
        exploration: Exploration,
        lessons: int,
        rates: Sequence[float] = (),
        met: Mapping[ProductId, float] | None = None,
        frozen: bool = True,
    ) -> None:
        super().__init__(name, chain=chain, exploration=exploration, lessons=lessons, rates=rates, met=met)
        self._start = start
        self._contexts = contexts
        self._features = features
        self._own, self._kin = own, kin
        self._shared = np.array([belief.mean for belief in shared])  # (stages, columns)
        self._alike = np.array([belief.mean for belief in alike])  # (stages, features)
        self._shared_unsure, self._alike_unsure = shared, alike
        self._frozen = frozen
        self._weights = Memo(self._weighed)  # both by pairs of a product and its family
        self._packed = Memo(self._packing)
        self._standing = Memo(self._stood)
        self._likeness: dict[tuple[tuple[str, ...], tuple[float, ...]], Floats] = {}

    def probabilities(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) probability of each stage given the one before; 0 for the null choice."""
        return self.pair_probabilities(context.names, np.array([context.values]), candidates)

    def pair_probabilities(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""
        candidates = Candidates.of(candidates)
        x, at = self._contexts.rows(names, values, candidates), self._standing_of(candidates)
        chances = _logistic(self._logits(x, at, shelf=candidates.shelf) + at.likeness[0])
        chances[:, at.null] = 0.0
        return chances

    def spreads(self, context: Context, candidates: Sequence[Candidate]) -> Floats:
        """(stages, n) posterior standard deviation of each stage's logit; 0 for the null choice."""
        return self.judged(context, candidates)[1]

    def judged(self, context: Context, candidates: Sequence[Candidate]) -> tuple[Floats, Floats]:
        """(stages, n) each: probabilities and standard deviations, from one look at context and candidates."""
        candidates, values = Candidates.of(candidates), np.array([context.values])
        if not candidates or not self._frozen:
            return self.probabilities(context, candidates), self.pair_spreads(context.names, values, candidates)
        x, at = self._contexts.rows(context.names, values, candidates), self._standing_of(candidates)
        variances = self._packed(candidates.shelf).variances(x, rows=_sliced(at.pairs)) + at.likeness[1]
        chances = _logistic(self._logits(x, at, shelf=candidates.shelf) + at.likeness[0])
        chances[:, at.null] = variances[:, at.null] = 0.0
        return chances, np.sqrt(np.maximum(variances, 0.0))

    def pair_spreads(self, names: tuple[str, ...], values: Floats, candidates: Sequence[Candidate]) -> Floats:
        """(stages, m) the same for candidate i in the context of row i; `values` is (m, len(names))."""
        candidates = Candidates.of(candidates)
        x, at = self._contexts.rows(names, values, candidates), self._standing_of(candidates)
        variances = np.zeros((len(self._shared), len(candidates)))
        for beliefs, rows in ((self._own, at.rows), (self._kin, at.kin)):
            for row in np.unique(rows[rows >= 0]).tolist():
                mine = rows == row
                variances[:, mine] += _quadratic(beliefs.covariances[:, row], x[mine])
        for stage, belief in enumerate(self._shared_unsure):
            variances[stage] += _quadratic(belief.covariance[None], x)[0]
        variances += at.likeness[1]
        variances[:, at.null] = 0.0
        return np.asarray(np.sqrt(np.maximum(variances, 0.0)))

    def norm(self) -> float:
        """The largest Euclidean norm among the weights of a product, or of what products are like, at a stage."""
        own = np.linalg.norm(self._own.means + self._shared[:, None], axis=2).max(initial=0.0)
        kin = np.linalg.norm(self._kin.means, axis=2).max(initial=0.0)
        return float(max(own, kin, np.linalg.norm(self._alike, axis=1).max(initial=0.0)))

    def _logits(self, x: Floats, at: _Standing, *, shelf: Shelf) -> Floats:
        """(stages, n) from (n, columns), without what products are like."""
        if self._frozen:
            weights = self._weights(shelf)[:, _sliced(at.pairs)]
        else:
            weights = self._own.means[:, _sliced(at.rows)] + self._shared[:, None]
            if self._kin.rows:
                weights = weights + self._kin.means[:, np.maximum(at.kin, 0)]
        return np.asarray(self._start + np.einsum("snd,nd->sn", weights, x))

    def _weighed(self, shelf: Shelf) -> Floats:
        """(stages, pairs, columns) all weights of products and families but of what products are like."""
        rows, kin = self._pairs(shelf)
        return np.asarray(self._own.means[:, rows] + self._kin.means[:, np.maximum(kin, 0)] + self._shared[:, None])

    def _packing(self, shelf: Shelf) -> _Packed:
        """Their covariances."""
        rows, kin = self._pairs(shelf)
        covariances = (
            self._own.covariances[:, rows] + np.array([each.covariance for each in self._shared_unsure])[:, None]
        )
        related = kin >= 0
        covariances[:, related] += self._kin.covariances[:, kin[related]]
        return _Packed(covariances)

    def _pairs(self, shelf: Shelf) -> tuple[Rows, Rows]:
        """(pairs,) rows of the products and of the families of a shelf, each pair once."""
        at = self._standing(shelf)
        first = np.unique(at.pairs, return_index=True)[1]
        return at.rows[first], at.kin[first]

    def _standing_of(self, candidates: Candidates) -> _Standing:
        """How this policy knows the candidates, in their order."""
        at, rows = self._standing(candidates.shelf), candidates.rows
        return _Standing(at.rows[rows], at.kin[rows], at.pairs[rows], at.likeness[..., rows], at.null[rows])

    def _stood(self, shelf: Shelf) -> _Standing:
        """Where the products of a shelf stand here, and what their own features add."""
        likeness = np.array([self._like(candidate) for candidate in shelf.candidates])
        families = [family_of(candidate) for candidate in shelf.candidates]
        rows = np.array([self._own.rows.get(product, 0) for product in shelf.ids], dtype=np.intp)
        kin = np.array([self._kin.rows.get(name, 0) if name else -1 for name in families], dtype=np.intp)
        return _Standing(
            rows=rows,
            kin=kin,
            pairs=_numbered(rows, kin),
            likeness=likeness.reshape(-1, 2, len(self._shared)).transpose(1, 2, 0),
            null=null_among(shelf.ids),
        )

    def _like(self, candidate: Candidate) -> Floats:
        """(2, stages) the same of one."""
        key = (candidate.names, candidate.values)
        found = self._likeness.get(key)
        if found is None:
            if len(self._likeness) >= _MOST_LIKENESSES:
                self._likeness.clear()
            vector = self._features.vector(candidate.names, candidate.values)
            mean = np.einsum("sf,f->s", self._alike, vector)
            spread = np.array([vector @ belief.covariance @ vector for belief in self._alike_unsure])
            found = self._likeness[key] = np.stack([mean, spread])
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """Products as one policy knows them."""

    rows: Rows  # (n,) of beliefs about a product's own
    kin: Rows  # (n,) of beliefs about its family, -1 where it has none
    pairs: Rows  # (n,) which pair of the two it is, in the order of its shelf
    likeness: Floats  # (2, stages, n) what its features add to logits, and to their variances
    null: Bools  # (n,)


class _Packed:
    """Covariances (stages, rows, d, d) as upper triangles, for contexts that differ only in their heads."""

    def __init__(self, covariances: Floats) -> None:
        n = len(HEAD)
        tail = covariances[..., n:, n:]
        self._above = np.triu_indices(tail.shape[-1])
        twice = np.where(self._above[0] == self._above[1], 1.0, 2.0)
        self._tails = tail[..., self._above[0], self._above[1]] * twice
        self._heads = covariances[..., :n, :].copy()  # (stages, rows, heads, d)

    def variances(self, x: Floats, *, rows: Rows | slice) -> Floats:
        """(stages, n) x · C · x of (n, d) columns that are alike but for their heads."""
        heads, tail = x[:, : len(HEAD)], x[0, len(HEAD) :]
        squares = tail[self._above[0]] * tail[self._above[1]]
        found = self._tails[:, rows] @ squares
        crossed = self._heads[:, rows] @ np.concatenate([np.zeros(len(HEAD)), 2.0 * tail])  # (stages, n, heads)
        crossed += np.einsum("snij,nj->sni", self._heads[:, rows, :, : len(HEAD)], heads)
        return np.asarray(found + np.einsum("sni,ni->sn", crossed, heads))


def _numbered(rows: Rows, kin: Rows) -> Rows:
    """(n,) a number for each pair, in the order in which pairs first come.

    >>> _numbered(np.array([3, 0, 0, 3]), np.array([1, 1, 1, 1]))
    array([0, 1, 1, 0])
    """
    numbers: dict[tuple[int, int], int] = {}
    pairs = zip(rows.tolist(), kin.tolist(), strict=True)
    return np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs], dtype=np.intp)


def _sliced(rows: Rows) -> Rows | slice:
    """The same rows; as a slice, which copies nothing, where they stand one after another."""
    start, n = int(rows[0]) if rows.size else 0, rows.size
    consecutive = n and rows[-1] == start + n - 1 and bool((rows == np.arange(start, start + n)).all())
    return slice(start, start + n) if consecutive else rows


def _logistic(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(np.minimum(-logits, 500.0))))


def _quadratic(covariances: Floats, x: Floats) -> Floats:
    """(stages, n) x · C · x of covariances (stages, d, d) and rows x (n, d)."""
    return np.asarray(np.einsum("snd,nd->sn", x @ covariances, x))
