"""Softmax over a sample of the catalogue, corrected for how likely each product was to be in it.

A softmax over the batch's own products meets popular ones far more often than rare ones, and so
learns to push the popular away. Subtracting log q, q the probability that a product is in the
sample, takes this out again (Yi et al. 2019, "Sampling-bias-corrected neural modeling"; Bengio and
Senécal 2008). With the whole catalogue as the sample q is one everywhere, and this *is* the softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sampled_softmax(
    customers: Tensor, *, products: Tensor, targets: Tensor, log_q: Tensor, temperature: float
) -> Tensor:
    """Mean −log P(target | customer), in nats, a scalar.

    `customers` (B, D) and `products` (C, D) are unit vectors, `targets` (B,) the place of each
    customer's product among the C, `log_q` (C,) of inclusion in the sample.
    """
    logits = customers @ products.T / temperature - log_q  # (B, C)
    return functional.cross_entropy(logits, targets)


def log_inclusion(popularity: Tensor, *, n_batch: int, n_uniform: int) -> Tensor:
    """(P,) log probability that a product is among `n_batch` draws by popularity or `n_uniform` even draws.

    >>> log_inclusion(torch.tensor([0.5, 0.5]), n_batch=1, n_uniform=0).exp()
    tensor([0.5000, 0.5000])
    """
    absent = n_batch * torch.log1p(-popularity.double().clamp(max=1 - 1e-12))  # (P,)
    absent += n_uniform * torch.log1p(torch.tensor(-1.0 / max(len(popularity), 2), dtype=torch.float64))
    return torch.log(-torch.expm1(absent)).clamp(min=-50.0).float()
