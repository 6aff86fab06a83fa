"""Closed-form encoders for the bank: a vector for each subject, and a customer is the sum of what was done.

    customer (b, D) = Σ over history, decayed, of table (S, D)  +  constant (D,)          no torch, no passes

Three ways to make the table, each a family of its own:

    linear  ridge regression from histories to choices, cut to D directions (reduced-rank regression, Izenman 1975)
    graph   smoothest directions of the graph of subjects and products (GF-CF, see `graph.py`)
    text    words: a subject is near the products that speak of it; knows nothing of what anybody did
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from embeddings.bundle import Arrays
from embeddings.interactions import TrainingSet
from embeddings.spectral import directions
from embeddings.text import Lexical
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Vector

KINDS = ("linear", "graph", "text")
_RANK = 64  # directions kept
_HALVING = 16.0  # events after which a subject weighs half
_PENALTY = 30.0  # choices that a subject must be seen with before it is believed by half


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The tables; inner products of customers and products are preferences."""

    table: Vector  # (S + 1, D), row 0 is padding
    constant: Vector  # (D,)
    products: Vector  # (P, D)

    def customers(self, history: NDArray[np.int32]) -> Vector:
        """(b, D) for histories (b, H) of subject rows + 1, the oldest first, padded at the end."""
        found: Vector = _weighted(history, n_subjects=len(self.table) - 1) @ self.table[1:] + self.constant
        return np.asarray(found, dtype=np.float32)

    def arrays(self) -> Arrays:
        """What a bundle keeps."""
        return {"table": self.table, "constant": self.constant, "products": self.products}


def project(kind: str, data: TrainingSet, *, texts: tuple[str, ...] = ()) -> Projection:
    """Solve one of `KINDS` on the positives; `texts` (P,) are the products' words.

    Raises:
        InvalidConfiguration: no such kind.
    """
    if kind == "linear":
        return _linear(data)
    if kind == "graph":
        return _graph(data)
    if kind == "text":
        return _text(data, texts=texts)
    raise InvalidConfiguration(f"no closed form is called {kind}: choose from {', '.join(KINDS)}")


def _linear(data: TrainingSet) -> Projection:
    """min ‖Y − XW‖² + λ‖W‖² over centred choices Y, then W ≈ A Bᵀ by its singular vectors."""
    n_products = len(data.products)
    x = _weighted(data.history, n_subjects=len(data.subjects))  # (n, S)
    share = (data.product_counts + 0.5) / (len(data) + 0.5 * n_products)  # (P,) popularity
    y = sparse.csr_matrix(
        (np.ones(len(data)), (np.arange(len(data)), data.product_rows)), shape=(len(data), n_products)
    )
    gram = np.asarray((x.T @ x).todense(), dtype=np.float64)  # (S, S)
    gram[np.diag_indices(len(gram))] += _PENALTY
    aimed = np.asarray((x.T @ y).todense()) - np.asarray(x.sum(axis=0)).T @ share[None, :]  # (S, P)
    weights = linalg.solve(gram, aimed, assume_a="pos") if len(gram) else np.zeros((0, n_products))
    left, strength, right = np.linalg.svd(weights, full_matrices=False)
    rank = min(_RANK, len(strength))
    root = np.sqrt(strength[:rank])
    table = left[:, :rank] * root  # (S, D)
    return _projection(table, right[:rank].T * root, popularity=share)


def _graph(data: TrainingSet) -> Projection:
    """Rows are occasions, columns subjects and products; what shares smooth directions is near."""
    n_products = len(data.products)
    x = _weighted(data.history, n_subjects=len(data.subjects))  # (n, S)
    y = sparse.csr_matrix(
        (np.ones(len(data)), (np.arange(len(data)), data.product_rows)), shape=(len(data), n_products)
    )
    both = sparse.hstack([x, y]).tocsr()  # (n, S + P)
    rows = np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1e-9) ** -0.5
    columns = np.maximum(np.asarray(both.sum(axis=0)).ravel(), 1.0) ** -0.5
    smooth = (sparse.diags(rows) @ both @ sparse.diags(columns)).astype(np.float32)
    rank = max(1, min(_RANK, min(both.shape) - 1, n_products))
    found = directions(sparse.csr_matrix(smooth), rank=rank)  # (S + P, D)
    n_subjects = len(data.subjects)
    table = found[:n_subjects] * columns[:n_subjects, None]
    products = found[n_subjects:] / columns[n_subjects:, None]
    share = (data.product_counts + 0.5) / (len(data) + 0.5 * n_products)
    spread = float(np.abs(products).max()) or 1.0
    return _projection(table, products / spread, popularity=share)


def _text(data: TrainingSet, *, texts: tuple[str, ...]) -> Projection:
    """Subjects by their own words, products by theirs; popularity only parts what words leave equal."""
    encoder = Lexical.of(texts)
    share = (data.product_counts + 0.5) / (len(data) + 0.5 * len(data.products))
    return _projection(encoder.encode(data.subjects.ids), encoder.encode(texts), popularity=0.01 * share)


def _projection(
    table: NDArray[np.floating], products: NDArray[np.floating], *, popularity: NDArray[np.floating]
) -> Projection:
    """Tables with one more coordinate, along which every customer stands at 1 and a product at its popularity."""
    wide = np.zeros((len(table) + 1, table.shape[1] + 1), dtype=np.float32)
    wide[1:, :-1] = table
    constant = np.zeros(wide.shape[1], dtype=np.float32)
    constant[-1] = 1.0
    return Projection(wide, constant, np.column_stack([products, popularity]).astype(np.float32))


def _weighted(history: NDArray[np.int32], *, n_subjects: int) -> sparse.csr_matrix:
    """(n, S) decayed counts of each history, of unit length, so that a long history is not a loud one."""
    lengths = (history > 0).sum(axis=1)
    rows, places = np.nonzero(history)
    ages = lengths[rows] - 1 - places
    values = 0.5 ** (ages / _HALVING)
    matrix = sparse.csr_matrix((values, (rows, history[rows, places] - 1)), shape=(len(history), n_subjects))
    matrix.sum_duplicates()
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.maximum(norms, 1e-9)) @ matrix)
