"""The main directions of a sparse matrix, and inner products as cosines."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from recsys.vocabulary import Vector

_PASSES = 4  # power iterations of the randomised SVD
_SPARE = 32  # directions found beside those asked for, so that the last of these are right too


def directions(matrix: sparse.csr_matrix, *, rank: int, seed: int = 0) -> Vector:
    """(n_columns, rank) right singular vectors of the largest singular values (Halko et al. 2011), signs fixed."""
    dice = np.random.default_rng(seed)
    n_columns = matrix.shape[1]
    width = min(rank + _SPARE, min(matrix.shape))
    basis = dice.standard_normal((n_columns, width)).astype(np.float32)
    for _ in range(_PASSES):
        basis, _ = np.linalg.qr(matrix.T @ (matrix @ basis))
    _, _, turned = np.linalg.svd(matrix @ basis, full_matrices=False)
    found = (basis @ turned.T)[:, :rank]
    signs = np.sign(found[np.abs(found).argmax(axis=0), np.arange(rank)])
    return np.asarray(found * signs, dtype=np.float32)


def as_cosines(products: Vector) -> Vector:
    """(P, D + 1) unit vectors whose cosines with [q, 0] / |q| rank as the inner products q · p do.

    Each product gets the one coordinate that makes all lengths equal (Bachrach et al. 2014), so that any encoder whose
    preference is an inner product can publish affinities, and nothing of its ranking is lost.

    >>> vectors = as_cosines(np.array([[3.0, 0.0], [1.0, 1.0]], dtype=np.float32))
    >>> np.linalg.norm(vectors, axis=1).round(6).tolist(), (vectors[:, :2] * 3).round(3).tolist()
    ([1.0, 1.0], [[3.0, 0.0], [1.0, 1.0]])
    """
    squares = (products.astype(np.float64) ** 2).sum(axis=1)
    longest = max(float(squares.max()), 1e-12)
    missing = np.sqrt(np.maximum(longest - squares, 0.0))
    found = np.column_stack([products, missing]) / np.sqrt(longest)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def as_queries(customers: Vector) -> Vector:
    """(b, D + 1) unit vectors [q, 0] / |q|; one that is all zeros lies along the last coordinate."""
    padded = np.column_stack([customers, np.zeros(len(customers), dtype=np.float32)])
    lengths = np.linalg.norm(padded, axis=1, keepdims=True)
    last = np.zeros(padded.shape[1], dtype=np.float32)
    last[-1] = 1.0
    return np.where(lengths > 1e-12, padded / np.maximum(lengths, 1e-12), last).astype(np.float32)
