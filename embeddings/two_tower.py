"""Two towers: what is known of a customer, what is known of a product, each to one unit vector.

Covington, Adams and Sargin 2016 (deep retrieval) with the product side of Yi et al. 2019. Both towers
start from facts, so a new customer and a new product have a vector before anybody chose anything; the
product's own id only adds a correction, which starts at zero and is zero for a product never trained on.
Identity of the customer never enters.

    facts (B, F) ─ standardised ─┐                      features (C, G) ──┐
    history (B, H) ─ mean pool ──┴─ two layers ─ unit   words (C, W) pool ─┴─ two layers ─ + id ─ unit
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from embeddings.product_facts import WORD_BUCKETS


@dataclass(frozen=True, slots=True)
class TwoTowerConfig:
    """Shape of the network; each default with its reason."""

    dim: int = 32  # D: 21 to 50,000 products separate well; the search costs D multiplications a product
    hidden: int = 128  # width of the one hidden layer; half as much told new products apart less well (measured)
    subject_dim: int = 32  # E: one activity subject
    word_dim: int = 64  # one word; new products have nothing else: their recall@10 0.45 → 0.55 from 16 (measured)
    clip: float = 5.0  # standardised facts beyond this are outliers, not information


class TwoTower(nn.Module):
    """The network; rows of ids are shifted by one everywhere, 0 meaning "none"."""

    fact_mean: Tensor  # (F,)
    fact_scale: Tensor  # (F,)

    def __init__(
        self, config: TwoTowerConfig, *, n_facts: int, n_subjects: int, n_features: int, n_products: int
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("fact_mean", torch.zeros(n_facts))
        self.register_buffer("fact_scale", torch.ones(n_facts))
        self.subjects = nn.Embedding(n_subjects + 1, config.subject_dim, padding_idx=0)
        self.words = nn.Embedding(WORD_BUCKETS + 1, config.word_dim, padding_idx=0)
        self.product_ids = nn.Embedding(n_products + 1, config.dim, padding_idx=0)
        nn.init.zeros_(self.product_ids.weight)
        self.customer_layers = _two_layers(n_facts + config.subject_dim, config)
        self.product_layers = _two_layers(n_features + config.word_dim, config)

    def customer(self, facts: Tensor, *, history: Tensor) -> Tensor:
        """(B, F) float, (B, H) int → (B, D) of unit length."""
        clip = self.config.clip
        known = ((facts - self.fact_mean) / self.fact_scale).clamp(-clip, clip)  # (B, F)
        did = _pooled(self.subjects, rows=history)  # (B, E)
        vectors: Tensor = self.customer_layers(torch.cat([known, did], dim=1))  # (B, D)
        return functional.normalize(vectors, dim=1)

    def product(self, id_rows: Tensor, *, features: Tensor, words: Tensor) -> Tensor:
        """(C,) int with 0 for an unknown id, (C, G) float, (C, W) int → (C, D) of unit length."""
        said = _pooled(self.words, rows=words)  # (C, word_dim)
        vectors: Tensor = self.product_layers(torch.cat([features, said], dim=1))  # (C, D)
        return functional.normalize(vectors + self.product_ids(id_rows), dim=1)


def _two_layers(n_inputs: int, config: TwoTowerConfig) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_inputs, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.dim))


def _pooled(table: nn.Embedding, *, rows: Tensor) -> Tensor:
    """Mean of the embeddings of the rows that are not padding; zeros where all are. (n, L) → (n, E)."""
    n_known = (rows > 0).sum(dim=1, keepdim=True).clamp(min=1)  # (n, 1)
    summed: Tensor = table(rows).sum(dim=1)  # (n, L, E) → (n, E)
    return summed / n_known
