"""Who did what, in order: the ragged table that every encoder of behaviour learns from.

A subject is anything a customer can do or touch: a product chosen, a page seen, a category paid. The
products come first among the subjects, so that row r is a product when r < P; all the others are
context that may explain a choice and are never proposed. Identity stops here: encoders see row numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from embeddings.identifiers import IdMap
from recsys.artefacts import canonical
from recsys.errors import InvalidTable
from recsys.vocabulary import Bools

Rows = NDArray[np.int64]
_WHERE = "histories"


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """N events of U customers, each customer's own in order of time. Make one with `of`."""

    starts: Rows  # (U + 1,) customer u did events starts[u] up to starts[u + 1]
    subject_rows: NDArray[np.int32]  # (N,) row of `subjects`
    happened_at: Rows  # (N,) microseconds, or the place in the file where no time is known
    customers: IdMap
    subjects: IdMap  # (S,) the products, then everything else
    n_products: int  # P ≤ S
    timed: bool  # whether `happened_at` is time

    @classmethod
    def of(
        cls,
        customers: Sequence[str],
        *,
        subjects: Sequence[str],
        happened_at: Sequence[int] | Rows | None = None,
        products: IdMap | None = None,
        masked: Collection[str] = (),
    ) -> Histories:
        """Build from N events in any order; `happened_at` absent means that they stand in order.

        Times may run backwards in the file: each customer's events are sorted, those of one instant keep
        their order. `products` names what may be proposed, every subject met where it is absent. Subjects
        in `masked` (sensitive merchant categories) are forgotten before anything is counted (VUL-2).

        Raises:
            InvalidTable: columns of unequal length, nothing left, fewer than two products, negative times.
        """
        n = len(customers)
        times = np.arange(n) if happened_at is None else np.asarray(happened_at, dtype=np.int64)
        if len(subjects) != n or times.shape != (n,):
            raise InvalidTable(f"columns differ in length; each must have {n} rows", where=_WHERE)
        if (times < 0).any():
            raise InvalidTable("a time is negative", where=_WHERE, rows=(np.flatnonzero(times < 0) + 1).tolist())
        known = products or IdMap(tuple(dict.fromkeys(each for each in subjects if each not in set(masked))))
        every = known.appended(each for each in dict.fromkeys(subjects) if each not in masked)
        people = IdMap(tuple(dict.fromkeys(customers)))
        subject_rows = np.fromiter((-1 if (r := every.row(s)) is None else r for s in subjects), np.int64, count=n)
        customer_rows = people.rows(customers, where=_WHERE)
        return _ragged(
            customer_rows,
            subject_rows=subject_rows,
            times=times,
            customers=people,
            subjects=every,
            n_products=len(known),
            timed=happened_at is not None,
        )

    @classmethod
    def of_rows(
        cls, history: NDArray[np.int32], *, product_rows: Rows | None, subjects: IdMap, n_products: int
    ) -> Histories:
        """Each row of padded subject rows + 1 (n, H), then its choice (n,), as a customer of its own; no times."""
        lengths = (history > 0).sum(axis=1) + (product_rows is not None)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        events = np.empty(starts[-1], dtype=np.int32)
        last = np.zeros(len(events), dtype=np.bool_)
        if product_rows is not None:
            last[starts[1:] - 1] = True
            events[last] = product_rows
        events[~last] = history[history > 0] - 1
        nobody = IdMap(tuple(map(str, range(len(history)))))
        return cls(starts, events, np.arange(len(events)), nobody, subjects, n_products, timed=False)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def n_events(self) -> int:
        """N."""
        return len(self.subject_rows)

    @property
    def lengths(self) -> Rows:
        """(U,) events of each customer."""
        return np.diff(self.starts)

    @property
    def products(self) -> IdMap:
        """(P,) what may be proposed."""
        return IdMap(self.subjects.ids[: self.n_products])

    @property
    def customer_rows(self) -> Rows:
        """(N,) whose each event is."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def product_counts(self) -> Rows:
        """(P,) how often each product was chosen."""
        return np.bincount(self.subject_rows, minlength=len(self.subjects))[: self.n_products].astype(np.int64)

    @property
    def repeats(self) -> float:
        """Share of choices of a product that the same customer had chosen before, in [0, 1)."""
        chosen = self.subject_rows < self.n_products
        pairs = self.customer_rows[chosen] * self.n_products + self.subject_rows[chosen]
        return 1.0 - len(np.unique(pairs)) / max(len(pairs), 1)

    @property
    def digest(self) -> str:
        """Digest of every event and vocabulary but the customers' names."""
        content = sha256(canonical([self.subjects.ids, self.n_products]).encode())
        for column in (self.starts, self.subject_rows, self.happened_at):
            content.update(f"{column.dtype}{column.shape}".encode() + np.ascontiguousarray(column).tobytes())
        return content.hexdigest()[:32]

    def only(self, rows: Rows | Bools) -> Histories:
        """The customers that a mask or row numbers pick, in that order."""
        picked = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        lengths = self.lengths[picked]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        events = np.repeat(self.starts[picked] - starts[:-1], lengths) + np.arange(starts[-1])
        return replace(
            self,
            starts=starts,
            subject_rows=self.subject_rows[events],
            happened_at=self.happened_at[events],
            customers=IdMap(tuple(self.customers.ids[row] for row in picked.tolist())),
        )

    def kept(self, events: Bools) -> Histories:
        """The events a mask (N,) keeps; a customer without one stays, with nothing done."""
        lengths = np.bincount(self.customer_rows[events], minlength=len(self))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return replace(
            self, starts=starts, subject_rows=self.subject_rows[events], happened_at=self.happened_at[events]
        )

    def recent(self, length: int) -> Histories:
        """At most the last `length` events of each customer."""
        return self.kept(self.from_the_end < length)

    @property
    def from_the_end(self) -> Rows:
        """(N,) how many events of the same customer came after."""
        return np.repeat(self.starts[1:], self.lengths) - 1 - np.arange(self.n_events)

    def last_out(self) -> tuple[Histories, Rows]:
        """Everything before each customer's last choice of a product, and its product rows (U,), −1 for none.

        A customer with a single event keeps nothing and is not judged: there is nothing to tell it by.
        """
        chosen = np.where(self.subject_rows < self.n_products, np.arange(self.n_events), -1)
        last = np.full(len(self), -1, dtype=np.int64)
        np.maximum.at(last, self.customer_rows, chosen)
        judged = (last >= 0) & (self.lengths >= 2) & (last > self.starts[:-1])
        wanted = np.where(judged, self.subject_rows[np.maximum(last, 0)], -1).astype(np.int64)
        before = np.arange(self.n_events) < np.repeat(np.where(judged, last, self.starts[1:]), self.lengths)
        return self.kept(before), wanted

    def with_customers(self, customers: IdMap, *, starts: Rows) -> Histories:
        """The same events under a longer list of customers."""
        return replace(self, customers=customers, starts=starts)

    def before(self, at: int) -> Bools:
        """(N,) the events that happened before an instant."""
        return self.happened_at < at


def _ragged(
    customer_rows: Rows,
    *,
    subject_rows: Rows,
    times: Rows,
    customers: IdMap,
    subjects: IdMap,
    n_products: int,
    timed: bool,
) -> Histories:
    kept = subject_rows >= 0
    if not kept.any():
        raise InvalidTable("there are no events, so there is nothing to learn from", where=_WHERE)
    if n_products < 2:
        raise InvalidTable(f"a catalogue of {n_products} leaves nothing to choose; add products", where=_WHERE)
    customer_rows, subject_rows, times = customer_rows[kept], subject_rows[kept], times[kept]
    order = np.lexsort((times, customer_rows))
    starts = np.searchsorted(customer_rows[order], np.arange(len(customers) + 1)).astype(np.int64)
    return Histories(starts, subject_rows[order].astype(np.int32), times[order], customers, subjects, n_products, timed)
