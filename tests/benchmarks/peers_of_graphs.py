"""LightGCN (He et al. 2020), in an environment of its own: `python peers_of_graphs.py FOLDER`.

As published: mean of the layers' embeddings, BPR on sampled negatives, a penalty on the first embeddings, Adam. scipy
multiplies the graph, as torch's sparse products are slow on a CPU; it is symmetric: the gradient is the same product.
in.npz: users and items (n,), asked (m,) users; in.json: k, drop, n_items, tries ((layers, rate, epochs), …).
out.npz: lists (tries, m, k) of items, -1 where there is none; out.json: CPU seconds of the last fit and its passes.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import embedding, softplus

DIM, BATCH, PENALTY = 64, 8192, 1e-4


class Hop(torch.autograd.Function):
    """One product with the normalised graph."""

    @staticmethod
    def forward(ctx, x, graph):
        ctx.graph = graph
        return torch.from_numpy(graph @ x.numpy())

    @staticmethod
    def backward(ctx, grad):
        return torch.from_numpy(ctx.graph @ grad.numpy()), None


def fitted(matrix: sparse.csr_matrix, *, layers: int, rate: float, epochs: int) -> np.ndarray:
    """(U + P, D) of customers and products."""
    n_users = matrix.shape[0]
    both = sparse.bmat([[None, matrix], [matrix.T, None]]).tocsr()
    scale = sparse.diags(1.0 / np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1.0)))
    graph = (scale @ both @ scale).tocsr().astype(np.float32)
    torch.manual_seed(0)
    dice = np.random.default_rng(0)
    start = torch.nn.Parameter(torch.randn(graph.shape[0], DIM) * 0.1)
    optimiser = torch.optim.Adam([start], lr=rate)
    users, items = matrix.nonzero()
    chosen = np.sort(users.astype(np.int64) * matrix.shape[1] + items)

    def spread() -> torch.Tensor:
        total = layer = start
        for _ in range(layers):
            layer = Hop.apply(layer, graph)
            total = total + layer
        return total / (layers + 1)

    for _ in range(epochs):
        order = dice.permutation(len(users))
        for at in range(0, len(order), BATCH):
            some = order[at : at + BATCH]
            who, liked = users[some], items[some]
            other = dice.integers(0, matrix.shape[1], size=len(some))
            for _ in range(5):  # drawn again where it was chosen after all
                pairs = who.astype(np.int64) * matrix.shape[1] + other
                met = chosen[np.searchsorted(chosen, pairs).clip(max=len(chosen) - 1)] == pairs
                other[met] = dice.integers(0, matrix.shape[1], size=int(met.sum()))
            rows = [torch.from_numpy(each.astype(np.int64)) for each in (who, n_users + liked, n_users + other)]
            x = spread()
            customer, right, wrong = (embedding(each, x) for each in rows)
            gap = (customer * (right - wrong)).sum(dim=1)
            size = (embedding(torch.cat(rows), start) ** 2).sum() / (2 * len(some))
            loss = softplus(-gap).mean() + PENALTY * size
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return spread().numpy()


def main(folder: Path) -> None:
    told = json.loads((folder / "in.json").read_text())
    with np.load(folder / "in.npz") as opened:
        users, items, asked = opened["users"], opened["items"], opened["asked"]
    torch.set_num_threads(1)
    n_users, n_items = max(int(users.max()), int(asked.max())) + 1, told["n_items"]
    matrix = sparse.coo_matrix(
        (np.ones(len(users), dtype=np.float32), (users, items)), shape=(n_users, n_items)
    ).tocsr()
    matrix.data[:] = 1.0
    lists, seconds = [], 0.0
    for layers, rate, epochs in told["tries"]:
        began = time.process_time()
        x = fitted(matrix, layers=int(layers), rate=rate, epochs=int(epochs))
        seconds = time.process_time() - began
        scores = x[asked] @ x[n_users:].T
        if told["drop"]:
            scores[matrix[asked].nonzero()] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, : told["k"]]
        lists.append(np.where(np.isfinite(np.take_along_axis(scores, best, axis=1)), best, -1).astype(np.int64))
    np.savez(folder / "out.npz", lists=np.stack(lists))
    (folder / "out.json").write_text(json.dumps({"seconds": seconds, "passes": 0}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
