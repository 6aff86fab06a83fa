"""How well rankings of the whole catalogue find what customers chose: a value for each customer first.

No sampled negatives: they reorder methods (Krichene and Rendle 2020). Means, intervals and slices are
taken from the values per customer, so that they come free and a busy customer counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from embeddings.histories import Histories, Rows
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, Floats, Vector

_CELLS = 8_000_000  # scores held at once: 32 MB, whatever the catalogue's size

Scorer: TypeAlias = Callable[[Histories], Vector]
"""Histories of b customers → (b, P) float32 preferences, higher is better."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What each of U customers chose later: ragged rows of products."""

    starts: Rows  # (U + 1,)
    product_rows: Rows  # (n,)

    @classmethod
    def one(cls, product_rows: Rows) -> Wanted:
        """One product a customer, −1 for none."""
        lengths = (product_rows >= 0).astype(np.int64)
        return cls(np.concatenate([[0], np.cumsum(lengths)]), product_rows[product_rows >= 0])

    @property
    def lengths(self) -> Rows:
        """(U,) products wanted by each."""
        return np.diff(self.starts)

    def only(self, rows: Rows) -> Wanted:
        """Of the customers picked, in that order."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Wanted(
            starts, self.product_rows[np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The first k of every judged customer, and what was right about them."""

    lists: NDArray[np.int32]  # (m, k) product rows, −1 where the catalogue ended
    hits: Bools  # (m, k)
    first: Floats  # (m,) 1 / rank of the best wanted product in the whole ranking, 0 where it was not ranked
    n_wanted: Rows  # (m,)
    customers: Rows  # (m,) rows of the judged
    popularity: Floats  # (P,) share of training choices

    def recall(self, k: int) -> Floats:
        """(m,) share of the wanted found among the first k; with one wanted product it is the hit rate."""
        return np.asarray(self.hits[:, :k].sum(axis=1) / self.n_wanted)

    def hit_rate(self, k: int) -> Floats:
        """(m,) 1.0 where anything wanted is among the first k."""
        return np.asarray(self.hits[:, :k].any(axis=1), dtype=np.float64)

    def ndcg(self, k: int) -> Floats:
        """(m,) discounted gain over the best possible (Järvelin and Kekäläinen 2002)."""
        gains = 1.0 / np.log2(np.arange(2, k + 2))  # (k,)
        ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(self.n_wanted, k)]
        return np.asarray(self.hits[:, :k] @ gains[: self.hits.shape[1]] / ideal)

    def metrics(self, ks: Sequence[int] = (5, 10, 20)) -> dict[str, float]:
        """Means over customers, and what the lists are like as a whole.

        Coverage: share of the catalogue that is shown to anybody. Novelty: mean −log2 of the training share
        of what is shown, in bits. Popularity bias: mean training share of what is shown, over that of a product
        drawn by popularity (1: lists are as popular as choices are; above 1 they favour the popular).
        """
        found: dict[str, float] = {"customers": float(len(self.first)), "mrr": float(self.first.mean())}
        for k in ks:
            found[f"hr_at_{k}"] = float(self.hit_rate(k).mean())
            found[f"recall_at_{k}"] = float(self.recall(k).mean())
            found[f"ndcg_at_{k}"] = float(self.ndcg(k).mean())
        shown = self.lists[:, : ks[-1]]
        shares = self.popularity[shown[shown >= 0]]
        floor = 0.5 * self.popularity[self.popularity > 0].min()  # a product never chosen is rarer than any chosen
        found["coverage"] = len(np.unique(shown[shown >= 0])) / len(self.popularity)
        found["novelty"] = float(-np.log2(np.maximum(shares, floor)).mean())
        found["popularity_bias"] = float(shares.mean() / (self.popularity**2).sum())
        return found

    def standard_error(self, values: Floats) -> float:
        """Of a mean over customers; infinite for a single one."""
        return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("inf")


def ranked(
    scorer: Scorer, *, histories: Histories, wanted: Wanted, counts: Rows, k: int = 20, seen: str = "keep"
) -> Ranked:
    """Rank the whole catalogue for every customer who wanted something.

    `seen="drop"` keeps what is in a customer's history out of the ranking (protocols without repeats);
    `counts` (P,) are training choices. Equal scores rank in row order.

    Raises:
        InvalidTable: nobody wanted anything, or a score is not a number.
    """
    judged = np.flatnonzero(wanted.lengths > 0)
    if not len(judged):
        raise InvalidTable("nobody is left to judge by: every customer has fewer than two events", where="ranking")
    n_products = histories.n_products
    k = min(k, n_products)
    lists = np.empty((len(judged), k), dtype=np.int32)
    hits = np.zeros((len(judged), k), dtype=np.bool_)
    first = np.zeros(len(judged))
    for part in _parts(len(judged), width=n_products):
        rows = judged[part]
        known = histories.only(rows)
        scores = np.array(scorer(known), dtype=np.float32)  # (b, P), a copy: seen products are struck out
        if np.isnan(scores).any():
            raise InvalidTable("a score is not a number", where="ranking")
        if seen == "drop":
            chosen = known.subject_rows < n_products
            scores[known.customer_rows[chosen], known.subject_rows[chosen]] = -np.inf
        top = _top(scores, k=k)  # (b, k)
        owner = np.repeat(np.arange(len(rows)), wanted.lengths[rows])  # (w,)
        products = wanted.only(rows).product_rows  # (w,)
        right = np.zeros(scores.shape, dtype=np.bool_)
        right[owner, products] = True
        struck = np.isneginf(np.take_along_axis(scores, top, axis=1))
        hits[part] = np.take_along_axis(right, top, axis=1) & ~struck
        lists[part] = np.where(struck, -1, top)
        first[part] = _reciprocal(scores, owner=owner, products=products)
    shares = counts / max(counts.sum(), 1)
    return Ranked(lists, hits, first, wanted.lengths[judged], judged, shares)


def _top(scores: Vector, *, k: int) -> NDArray[np.int64]:
    """(b, k) rows of the best k, the best first, ties in row order."""
    n = scores.shape[1]
    if k < n:
        parted = np.argpartition(-scores, (k - 1, k), axis=1)[:, : k + 1]  # (b, k + 1), the last two in order
        among = np.sort(parted[:, :k], axis=1)
        last = np.take_along_axis(scores, parted[:, k - 1 :], axis=1)  # (b, 2)
        for row in np.flatnonzero(last[:, 0] == last[:, 1]):  # a tie across the edge: the first of the equals are in
            above = np.flatnonzero(scores[row] > last[row, 0])
            level = np.flatnonzero(scores[row] == last[row, 0])[: k - len(above)]
            among[row] = np.sort(np.concatenate([above, level]))
    else:
        among = np.broadcast_to(np.arange(n), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, among, axis=1), axis=1, kind="stable")
    return np.take_along_axis(among, order, axis=1)


def _reciprocal(scores: Vector, *, owner: Rows, products: Rows) -> Floats:
    """(b,) 1 / rank of the best wanted product; `owner` and `products` are the pairs that were wanted."""
    own = scores[owner, products]
    order = np.lexsort((products, -own, owner))  # each customer's best wanted product first
    first = order[np.unique(owner[order], return_index=True)[1]]  # (b,)
    best, place = own[first][:, None], products[first]
    ahead = (scores > best).sum(axis=1)
    for row in np.flatnonzero((scores == best).sum(axis=1) > 1):
        ahead[row] += int((scores[row, : place[row]] == best[row, 0]).sum())
    return np.where(np.isneginf(best[:, 0]), 0.0, 1.0 / (1.0 + ahead))


def _parts(n_rows: int, *, width: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(width, 1))
    return (slice(start, start + step) for start in range(0, n_rows, step))
