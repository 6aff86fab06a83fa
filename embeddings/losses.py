"""Softmax over a sample of the catalogue, corrected for how likely each product was to be in it.

A softmax over the batch's own products meets popular ones far more often than rare ones, and so
learns to push the popular away. Subtracting log q, q the probability that a product is in the
sample, takes this out again (Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Bengio and
Senécal 2008). With the whole catalogue as the sample q is one everywhere, and this *is* the softmax.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax(
    customers: Tensor,
    *,
    products: Tensor,
    targets: Tensor,
    log_q: Tensor,
    temperature: float,
    open_: Tensor | None = None,
) -> Tensor:
    """Mean −log P(target | customer), in nats, a scalar.

    `customers` (B, D) and `products` (C, D) are unit vectors, `targets` (B,) the place of each
    customer's product among the C, `log_q` (C,) of inclusion in the sample. `open_` (B, C) leaves out what a
    customer could not have chosen.
    """
    logits = customers @ products.T / temperature - log_q  # (B, C)
    if open_ is not None:
        logits = logits.masked_fill(~open_, -torch.inf)
    return functional.cross_entropy(logits, targets)


def log_inclusion(popularity: Tensor, *, n_batch: int, n_uniform: int) -> Tensor:
    """(P,) log probability that a product is among `n_batch` draws by popularity or `n_uniform` even draws.

    >>> log_inclusion(torch.tensor([0.5, 0.5]), n_batch=1, n_uniform=0).exp()
    tensor([0.5000, 0.5000])
    """
    absent = n_batch * torch.log1p(-popularity.double().clamp(max=1 - 1e-12))  # (P,)
    absent += n_uniform * torch.log1p(torch.tensor(-1.0 / max(len(popularity), 2), dtype=torch.float64))
    return torch.log(-torch.expm1(absent)).clamp(min=-50.0).float()


_CELLS = 131_072  # logits held at once: half a MiB of float32 stays in a core's second cache


class _SharedSoftmax(torch.autograd.Function):
    """`shared_softmax`: gradients are made on the way forward, so that no (N, K) array ever lies in memory."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, products: Tensor, targets: Tensor, sampled: Tensor, log_q: Tensor) -> Tensor:
        n_rows, chosen, others = len(hidden), products[targets], products[sampled]  # N, (N, D), (K, D)
        place = torch.full((len(products),), -1, dtype=torch.int64, device=hidden.device)
        place[sampled] = torch.arange(len(sampled), device=hidden.device)
        place = place[targets]  # (N,) where a row's own product is among the sampled, else −1
        own = (hidden * chosen).sum(dim=1)  # (N,)
        hidden_grad, others_grad, own_grad = torch.empty_like(hidden), torch.zeros_like(others), torch.empty_like(own)
        total = hidden.new_zeros(())
        step = max(1, _CELLS // len(sampled))
        for start in range(0, n_rows, step):
            part = slice(start, start + step)
            logits = torch.addmm(-log_q, hidden[part], others.T)  # (n, K)
            twice = torch.nonzero(place[part] >= 0)[:, 0]
            logits[twice, place[part][twice]] = -torch.inf  # a row's own product counts once
            most = torch.maximum(logits.amax(dim=1), own[part])  # (n,)
            logits.sub_(most[:, None]).exp_()
            lead = (own[part] - most).exp()
            mass = logits.sum(dim=1) + lead
            total += (mass.log() + most - own[part]).sum()
            logits.div_(mass[:, None] * n_rows)  # probabilities, in shares of the mean
            hidden_grad[part] = logits @ others
            others_grad.addmm_(logits.T, hidden[part])
            own_grad[part] = (lead / mass - 1.0) / n_rows
        hidden_grad.addcmul_(own_grad[:, None], chosen)
        products_grad = torch.zeros_like(products)
        products_grad.index_add_(0, targets, hidden * own_grad[:, None])
        products_grad.index_add_(0, sampled, others_grad)
        ctx.save_for_backward(hidden_grad, products_grad)
        return total / n_rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_grad, products_grad = ctx.saved_tensors
        return hidden_grad * grads[0], products_grad * grads[0], None, None, None


def shared_softmax(hidden: Tensor, *, products: Tensor, targets: Tensor, sampled: Tensor, log_q: Tensor) -> Tensor:
    """Mean −log P(target | hidden), in nats, a scalar: each row's own product against a sample shared by all.

    `hidden` (N, D) and `products` (P, D) are multiplied as they are; `targets` (N,) and the distinct
    `sampled` (K,) are product rows, `log_q` (K,) the log probability that each came into the sample. With the
    whole catalogue sampled and q = 1 it is the softmax.

    >>> hidden, products, every = torch.eye(2), torch.eye(2), torch.arange(2)
    >>> loss = shared_softmax(hidden, products=products, targets=every, sampled=every, log_q=torch.zeros(2))
    >>> torch.allclose(loss, functional.cross_entropy(hidden @ products.T, every))
    True
    """
    loss: Tensor = _SharedSoftmax.apply(hidden, products, targets, sampled, log_q)  # type: ignore[no-untyped-call]
    return loss
