"""How the times of a training batch are drawn: as positions u in [0, 1) along the chain."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from undiffuse.random import uniform


class Times(ABC):
    """Draws (B,) positions in [0, 1), each uniform on its own."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` positions, float64 on the CPU."""


class Independent(Times):
    """Every example draws its own position."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent uniform numbers."""
        return uniform((count,), generator)


class Stratified(Times):
    """Low-discrepancy: one shared offset, spread evenly over the batch (Kingma et al. 2021, App. I.1).

    Every position is uniform, but a batch covers the whole chain, so the loss varies less.
    """

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(u + i / B) mod 1 for i = 0 .. B-1."""
        offset = uniform((1,), generator)
        return (offset + torch.arange(count, dtype=torch.float64) / count) % 1


def place(grid: Tensor | None, u: Tensor, first: float = 1e-4) -> Tensor:
    """Times at the positions u: on the grid, or continuous from `first` to 1 if there is none."""
    if grid is None:
        return first + (1 - first) * u
    return grid[(u * len(grid)).long()]
