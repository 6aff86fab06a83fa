"""Self-attention over what a customer did, each event asking for the next choice.

Kang and McAuley 2018 ("Self-attentive sequential recommendation"), in the pre-norm form, with the softmax of
Klenitskiy and Vasilev 2023 ("Turning dross into gold loss") instead of one sampled negative, which is
where most of the distance between published results lies. Events may be of many kinds: all of them are read, only
products are proposed. Where times are known, the time since the event before is read too.

    subjects (B, L) ─ embedding ─ + place + gap ─ n × [causal attention, two layers] ─ h (B, L, D)
    preference for product j = h · e_j + b_j, with e_j the embedding by which j is read (tied)

`b` starts at the log of popularity, so that the network begins as the popularity baseline and only learns
to depart from it. A preference is an inner product of [h, 1] and [e, b]: `products` gives those as vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

GAPS = 24  # buckets of time between two events: powers of two from one second to half a year, 0 for unknown


@dataclass(frozen=True, slots=True)
class SequentialConfig:
    """Shape of the network; each default with its reason."""

    dim: int = 64  # D
    blocks: int = 2  # one reads pairs, two read patterns of pairs
    heads: int = 2
    widening: int = 2  # of the two layers after attention
    length: int = 128  # L, events read: 2 × the window after which transition counts stop gaining
    dropout: float = 0.2
    start: float = (
        0.125  # standard deviation of embeddings at first; 0.02 where most products are rare (`settings_for`)
    )


class Sequential(nn.Module):
    """The network. Row 0 of the embedding is padding, row r + 1 is subject r."""

    def __init__(self, config: SequentialConfig, *, n_subjects: int, n_products: int) -> None:
        super().__init__()
        self.config = config
        self.n_products = n_products
        self.subjects = nn.Embedding(n_subjects + 1, config.dim, padding_idx=0)
        self.places = nn.Embedding(config.length, config.dim)
        self.gaps = nn.Embedding(GAPS, config.dim, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(n_products))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)
        for table in (self.subjects, self.places):
            nn.init.normal_(table.weight, std=config.start)
        nn.init.zeros_(self.gaps.weight)
        with torch.no_grad():
            self.subjects.weight[0].zero_()

    def forward(self, subjects: Tensor, *, gaps: Tensor | None = None) -> Tensor:
        """(B, L) rows + 1, padded at the end, (B, L) gap buckets → (B, L, D); later events are never seen."""
        x = self.subjects(subjects) * self.config.dim**0.5  # (B, L, D)
        x = x + self.places.weight[: subjects.shape[1]]
        if gaps is not None:
            x = x + self.gaps(gaps)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        hidden: Tensor = self.norm(x)
        return hidden

    @property
    def products(self) -> Tensor:
        """(P, D + 1): [e, b] of every product."""
        return torch.cat([self.subjects.weight[1 : self.n_products + 1], self.bias[:, None]], dim=1)


class _Block(nn.Module):
    def __init__(self, config: SequentialConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.rate = config.dropout
        self.norm_attention, self.norm_layers = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.asked = nn.Linear(config.dim, 3 * config.dim)
        self.told = nn.Linear(config.dim, config.dim)
        self.widen = nn.Linear(config.dim, config.widening * config.dim)
        self.narrow = nn.Linear(config.widening * config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        for layer in (self.asked, self.told, self.widen, self.narrow):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, length, dim = x.shape
        qkv = self.asked(self.norm_attention(x)).view(n, length, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, D / heads)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.told(seen.transpose(1, 2).reshape(n, length, dim)))
        wide = functional.gelu(self.widen(self.norm_layers(x)))  # (B, L, widening · D)
        out: Tensor = x + self.dropout(self.narrow(wide))
        return out
