"""What customers did, as arrays a network can learn from.

Each row is one positive: a customer, as known *at the moment of the decision*, chose a product.
Facts and history are frozen then and joined with the outcome later; computing them afterwards would
let the outcome leak into its own cause (TRN-2, and metarank's `TrainBuffer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embeddings.identifiers import IdMap
from embeddings.masking import unmasked
from recsys.artefacts import canonical
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools, ProductId, Vector

HISTORY_LENGTH = 32  # subjects kept, the most recent; older ones say little once pooled
_MOST_CELLS = 500_000_000  # bytes of "what could have been chosen"
_WHERE = "interactions"


@dataclass(frozen=True, slots=True)
class Interaction:
    """One positive (a tap or an opening); `history` holds subjects before it, the oldest first."""

    token: str
    facts: Sequence[float]  # (F,)
    history: tuple[str, ...]
    product_id: ProductId
    happened_at: datetime
    among: tuple[ProductId, ...] = ()  # what could have been chosen; empty where nobody knows


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """n positives as columns. Make one with `of` or `from_columns`, which check their input."""

    facts: Vector  # (n, F) at the moment of the decision
    history: NDArray[np.int32]  # (n, H) subject row + 1, 0 is padding
    product_rows: NDArray[np.int64]  # (n,)
    customer_rows: NDArray[np.int64]  # (n,)
    happened_at: NDArray[np.datetime64]  # (n,) microseconds, UTC
    products: IdMap
    subjects: IdMap
    fact_names: tuple[str, ...]
    eligible: Bools | None = None  # (n, P) what could have been chosen instead; None where nobody knows

    @classmethod
    def of(
        cls,
        interactions: Sequence[Interaction],
        *,
        products: IdMap,
        fact_names: tuple[str, ...],
        history_length: int = HISTORY_LENGTH,
    ) -> TrainingSet:
        """Build from interactions in any order; raises `InvalidTable` as `from_columns` does."""
        return cls.from_columns(
            _rectangle([i.facts for i in interactions], width=len(fact_names)),
            histories=[i.history for i in interactions],
            product_ids=[i.product_id for i in interactions],
            tokens=[i.token for i in interactions],
            happened_at=[i.happened_at for i in interactions],
            products=products,
            fact_names=fact_names,
            history_length=history_length,
            eligible=_matrix([i.among for i in interactions], products=products),
        )

    @classmethod
    def from_columns(
        cls,
        facts: ArrayLike,
        *,
        histories: Sequence[Sequence[str]],
        product_ids: Sequence[ProductId],
        tokens: Sequence[str],
        happened_at: Sequence[datetime],
        products: IdMap,
        fact_names: tuple[str, ...],
        history_length: int = HISTORY_LENGTH,
        eligible: Bools | None = None,
    ) -> TrainingSet:
        """Build from columns of equal length n; `facts` is (n, F). Sensitive subjects are left out (VUL-2).

        `eligible` (n, P) is what each row could have chosen; what was chosen counts as eligible.

        Raises:
            InvalidTable: nothing to learn from, columns that do not fit, facts that are not finite,
                products that are not in the catalogue, times without a zone; with row numbers.
        """
        if len(products) < 2:
            raise InvalidTable(f"a catalogue of {len(products)} leaves nothing to choose; add products", where=_WHERE)
        if not (n := len(product_ids)):
            raise InvalidTable("there are none, so there is nothing to learn from", where=_WHERE)
        if {len(histories), len(tokens), len(happened_at)} != {n}:
            raise InvalidTable(f"columns differ in length; each must have {n} rows", where=_WHERE)
        histories = [unmasked(history) for history in histories]
        subjects = IdMap(tuple(sorted({subject for history in histories for subject in history})))
        product_rows = products.rows(product_ids, where=f"{_WHERE}, product")
        return cls(
            facts=checked_facts(facts, n_rows=n, n_facts=len(fact_names), where=_WHERE),
            history=padded_history(histories, subjects=subjects, length=history_length),
            product_rows=product_rows,
            customer_rows=np.unique(np.asarray(tokens, dtype=np.str_), return_inverse=True)[1].astype(np.int64),
            happened_at=_instants(happened_at),
            products=products,
            subjects=subjects,
            fact_names=fact_names,
            eligible=None if eligible is None else _with_chosen(eligible, product_rows, n_products=len(products)),
        )

    def __len__(self) -> int:
        return len(self.product_rows)

    @property
    def product_counts(self) -> NDArray[np.int64]:
        """(products,) how often each product was chosen: the popularity baseline."""
        return np.bincount(self.product_rows, minlength=len(self.products)).astype(np.int64)

    @property
    def digest(self) -> str:
        """Digest of every row and vocabulary, as a run and a bundle name the data they learned from."""
        content = sha256(canonical([self.fact_names, self.products.ids, self.subjects.ids]).encode())
        for column in (self.facts, self.history, self.product_rows, self.customer_rows, self.happened_at):
            content.update(f"{column.dtype}{column.shape}".encode() + np.ascontiguousarray(column).tobytes())
        if self.eligible is not None:
            content.update(np.packbits(self.eligible).tobytes())
        return content.hexdigest()[:32]

    def where(self, rows: Bools | NDArray[np.int64]) -> TrainingSet:
        """The rows a mask or row numbers pick, with the same vocabularies."""
        return TrainingSet(
            self.facts[rows],
            self.history[rows],
            self.product_rows[rows],
            self.customer_rows[rows],
            self.happened_at[rows],
            self.products,
            self.subjects,
            self.fact_names,
            None if self.eligible is None else self.eligible[rows],
        )

    def choosing_among(self, eligible: Bools) -> TrainingSet:
        """The same rows, with (n, P) what each could have chosen; `InvalidTable` where that does not fit."""
        whole = _with_chosen(eligible, self.product_rows, n_products=len(self.products))
        return replace(self, eligible=whole)

    def histories(self) -> list[tuple[str, ...]]:
        """(n,) the subjects of each row, the oldest first."""
        names = ("", *self.subjects.ids)
        return [tuple(names[row] for row in rows if row) for rows in self.history.tolist()]

    def products_first(self) -> TrainingSet:
        """The same rows, with the products first among the subjects: the vocabulary of encoders of behaviour."""
        subjects = self.products.appended(self.subjects.ids)
        places = np.array([0, *(1 + subjects.rows(self.subjects.ids, where=_WHERE))], dtype=np.int32)
        return replace(self, history=places[self.history], subjects=subjects)

    def split(self, share: float) -> tuple[TrainingSet, TrainingSet]:
        """(earlier, later) by time, about `share` of the rows in the first; one instant is never cut in two.

        Raises:
            InvalidTable: a part would be empty (too few rows, or all at one instant).
        """
        cut = np.sort(self.happened_at)[min(int(len(self) * share), len(self) - 1)]
        earlier = self.happened_at < cut
        if not earlier.any():
            raise InvalidTable("too few different times to split by time; bring a longer period", where=_WHERE)
        return self.where(earlier), self.where(~earlier)


def checked_facts(facts: ArrayLike, *, n_rows: int, n_facts: int, where: str) -> Vector:
    """(n, F) float32, or `InvalidTable` naming the rows that are not finite (never their values)."""
    try:
        array = np.asarray(facts, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidTable(f"facts must be {n_facts} numbers a row", where=where) from None
    if array.shape != (n_rows, n_facts):
        raise InvalidTable(f"facts have shape {array.shape}, expected ({n_rows}, {n_facts})", where=where)
    if not (finite := np.isfinite(array).all(axis=1)).all():
        raise InvalidTable("a fact is not finite", where=where, rows=(np.flatnonzero(~finite) + 1).tolist())
    return array


def padded_history(histories: Sequence[Sequence[str]], *, subjects: IdMap, length: int) -> NDArray[np.int32]:
    """(n, length): the last known subjects of each history as row + 1, then zeros. Unknown ones are left out.

    >>> padded_history([["pay", "isa", "?"], []], subjects=IdMap(("isa", "pay")), length=3)
    array([[2, 1, 0],
           [0, 0, 0]], dtype=int32)
    """
    padded = np.zeros((len(histories), length), dtype=np.int32)
    for row, history in enumerate(histories):
        known = [place + 1 for subject in history if (place := subjects.row(subject)) is not None][-length:]
        padded[row, : len(known)] = known
    return padded


def _matrix(among: Sequence[Sequence[ProductId]], *, products: IdMap) -> Bools | None:
    """(n, P) of what each row could have chosen; None where some row does not say, or it would not fit in memory."""
    if not among or not all(among) or len(among) * len(products) > _MOST_CELLS:
        return None
    found = np.zeros((len(among), len(products)), dtype=np.bool_)
    for row, ids in enumerate(among):
        known = [place for each in ids if (place := products.row(each)) is not None]
        found[row, known] = True
    return found


def _with_chosen(eligible: Bools, product_rows: NDArray[np.int64], *, n_products: int) -> Bools:
    if eligible.shape != (expected := (len(product_rows), n_products)):
        raise InvalidTable(f"eligibility has shape {eligible.shape}, expected {expected}", where=_WHERE)
    whole = eligible.copy()
    whole[np.arange(len(whole)), product_rows] = True
    return whole


def _rectangle(facts: Sequence[Sequence[float]], *, width: int) -> list[Sequence[float]]:
    wrong = [row + 1 for row, values in enumerate(facts) if len(values) != width]
    if wrong:
        raise InvalidTable(f"expected {width} facts", where=_WHERE, rows=wrong)
    return list(facts)


def _instants(times: Sequence[datetime]) -> NDArray[np.datetime64]:
    naive = [row + 1 for row, at in enumerate(times) if at.tzinfo is None]
    if naive:
        raise InvalidTable("a time has no zone", where=_WHERE, rows=naive)
    return np.array([at.astimezone(UTC).replace(tzinfo=None) for at in times], dtype="datetime64[us]")
