"""What is known without a network: popularity, transition counts, and EASE in closed form.

On next-item data a transition count over a window of about forty beats many published networks, and
EASE most published graph models on sets, so every encoder is measured beside these three.

    popularity   how often each product was chosen
    transitions  how often j followed i within W events, the nearer the heavier (a windowed Markov chain)
    EASE         B = argmin ‖X − XB‖² + λ‖B‖², diag B = 0 (Steck 2019, "Embarrassingly shallow autoencoders")
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from embeddings.histories import Histories, Rows
from recsys.errors import InvalidConfiguration
from recsys.vocabulary import Floats, Vector

DENSE_UP_TO = 6000  # products of a dense matrix in float32: 144 MB, and its inverse in about 10 s
_PAIRS = 4_000_000  # counted at once: 100 MB


@dataclass(frozen=True, slots=True, eq=False)
class Popularity:
    """One list for all, by training counts."""

    chosen: Rows  # (P,)
    counts = True

    @classmethod
    def of(cls, data: Histories) -> Popularity:
        """Count the choices."""
        return cls(data.product_counts)

    def scores(self, histories: Histories) -> Vector:
        """(b, P) counts."""
        return np.tile(self.chosen.astype(np.float32), (len(histories), 1))


@dataclass(frozen=True, slots=True)
class TransitionsConfig:
    """Each default with its reason."""

    window: int = 40  # events back that still tell of the next
    halving: float = 10.0  # events after which a count weighs half as much; baskets and binges are about so long
    damping: float = 0.5  # power of the count of i that a row is divided by: 1 a probability, 0 a raw count

    def __post_init__(self) -> None:
        if self.window < 1 or not (self.halving > 0 and 0 <= self.damping <= 1):
            raise InvalidConfiguration("transitions: window ≥ 1, halving > 0 and damping within [0, 1]")

    def weights(self) -> Floats:
        """(W,) weight of a lag of 1, 2, … events."""
        return np.asarray(0.5 ** (np.arange(self.window) / self.halving))


@dataclass(frozen=True, slots=True, eq=False)
class Transitions:
    """What tends to follow what."""

    table: sparse.csr_matrix  # (S, P)
    config: TransitionsConfig
    counts = True

    @classmethod
    def of(cls, data: Histories, *, config: TransitionsConfig | None = None) -> Transitions:
        """Count pairs within the window."""
        config = config or TransitionsConfig()
        shape = (len(data.subjects), data.n_products)
        owners, rows = data.customer_rows, data.subject_rows.astype(np.int64)
        table = sparse.csr_matrix(shape, dtype=np.float32)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.int64], float]] = []
        n_waiting = 0
        for lag, weight in enumerate(config.weights(), start=1):
            if lag >= data.n_events:
                break
            same = (owners[:-lag] == owners[lag:]) & (rows[lag:] < data.n_products)
            waiting.append((rows[:-lag][same], rows[lag:][same], float(weight)))
            n_waiting += int(same.sum())
            if n_waiting > _PAIRS:
                table, waiting, n_waiting = table + _counted(waiting, shape=shape), [], 0
        table = table + _counted(waiting, shape=shape) if waiting else table
        counts = np.maximum(np.bincount(rows, minlength=shape[0]), 1.0)
        damped = sparse.diags((counts**-config.damping).astype(np.float32)) @ table
        return cls(sparse.csr_matrix(damped), config)

    def scores(self, histories: Histories) -> Vector:
        """(b, P): the rows of the last W events, the latest the heaviest."""
        recent = histories.recent(self.config.window)
        weights = self.config.weights()[recent.from_the_end].astype(np.float32)
        return _dense(matrix_of(recent, values=weights) @ self.table)


@dataclass(frozen=True, slots=True, eq=False)
class Ease:
    """Products explained by the other products of the same customer."""

    weights: Vector  # (M, M) over the products that are common enough
    members: Rows  # (M,) their rows: all products, up to `DENSE_UP_TO` of them
    n_products: int
    counts = False

    @classmethod
    def of(cls, data: Histories, *, penalty: float) -> Ease:
        """Solve for the weights; beyond `DENSE_UP_TO` products only the most chosen take part."""
        counts = data.product_counts
        members = np.sort(np.argsort(-counts, kind="stable")[:DENSE_UP_TO])
        chosen = binary(data)[:, members]
        gram = _dense(chosen.T @ chosen)  # (M, M)
        gram[np.diag_indices(len(members))] += np.float32(penalty)
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return cls(weights.astype(np.float32), members, data.n_products)

    def scores(self, histories: Histories) -> Vector:
        """(b, P): sums of weights of what the customer has."""
        found = np.zeros((len(histories), self.n_products), dtype=np.float32)
        found[:, self.members] = binary(histories)[:, self.members] @ self.weights
        return found


def matrix_of(data: Histories, *, values: Vector) -> sparse.csr_matrix:
    """(U, S) with `values` (N,) summed where a customer did a thing more than once."""
    shape = (len(data), len(data.subjects))
    columns = data.subject_rows.copy()  # the matrix sorts its columns in place, and histories keep their order
    return sparse.csr_matrix((values, columns, data.starts), shape=shape)


def binary(data: Histories) -> sparse.csr_matrix:
    """(U, P) 1 where a customer ever chose a product."""
    matrix = matrix_of(data, values=np.ones(data.n_events, dtype=np.float32))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return sparse.csr_matrix(matrix[:, : data.n_products])


def _counted(
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64], float]], *, shape: tuple[int, int]
) -> sparse.csr_matrix:
    left = np.concatenate([each[0] for each in pairs])
    right = np.concatenate([each[1] for each in pairs])
    weights = np.concatenate([np.full(len(each[0]), each[2], dtype=np.float32) for each in pairs])
    return sparse.coo_matrix((weights, (left, right)), shape=shape).tocsr()


def _dense(matrix: sparse.csr_matrix) -> Vector:
    return np.asarray(matrix.toarray(), dtype=np.float32)
