"""Several processes that teach one network: each learns from its share of every batch, and all take the same step.

Every process holds the same data, seed and weights and rolls the same dice, so they agree on each batch and on the
products it is compared with; of its rows each takes every n-th. Gradients are weighed by rows and summed, which is
the gradient of the whole batch: the result is one process's, up to the order in which floats are added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, distributed, nn


class Together(Protocol):
    """Those who teach one network."""

    def share(self, rows: Tensor) -> Tensor:
        """Of the rows (B,) of a batch those that this process learns from; perhaps none."""

    def combine(self, parameters: Iterable[nn.Parameter], *, n: int) -> None:
        """Put in the place of this process's gradients, means over its `n` rows, the mean over everybody's."""

    def total(self, *values: float) -> list[float]:
        """Each value summed over everybody."""


class Alone:
    """One process; fulfils `Together`."""

    def share(self, rows: Tensor) -> Tensor:
        """All of them."""
        return rows

    def combine(self, parameters: Iterable[nn.Parameter], *, n: int) -> None:
        """They are whole already."""

    def total(self, *values: float) -> list[float]:
        """As they are."""
        return list(values)


ALONE = Alone()


class Group:
    """The processes of torch's group, which must have begun; fulfils `Together`."""

    def share(self, rows: Tensor) -> Tensor:
        """Every n-th row, from this process's own number on."""
        return rows[distributed.get_rank() :: distributed.get_world_size()]

    def combine(self, parameters: Iterable[nn.Parameter], *, n: int) -> None:
        """One sum over the group: gradients times rows, and the rows."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([*(each.reshape(-1).cpu() for each in gradients), torch.ones(1)]) * n  # gloo's, on any device
        if n == 0:  # a share without rows has no mean to speak of
            flat = torch.zeros_like(flat)
        distributed.all_reduce(flat)
        parts = torch.split(flat[:-1] / flat[-1], [each.numel() for each in gradients])
        for gradient, whole in zip(gradients, parts, strict=True):
            gradient.copy_(whole.view_as(gradient))

    def total(self, *values: float) -> list[float]:
        """One sum over the group, in double precision."""
        summed = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(summed)
        return [float(each) for each in summed]
