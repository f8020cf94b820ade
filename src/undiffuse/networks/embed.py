"""Sinusoidal features of time (Vaswani et al. 2017; Ho et al. 2020)."""

import math

import torch
from torch import Tensor, nn


class TimeEmbedding(nn.Module):
    """t in [0, 1], (B,) -> (B, width): sines and cosines of 1000 t, then two dense layers.

    Raises ValueError unless width is even.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        if width < 4 or width % 2:
            raise ValueError(f"width={width}: a time embedding has an even width of at least 4")
        half = width // 2
        scale = -math.log(10_000) / (half - 1)
        self.register_buffer("frequencies", torch.exp(scale * torch.arange(half)), persistent=False)
        self.dense = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Features of t."""
        angles = 1000 * t[:, None] * self.frequencies.to(t.dtype)
        out: Tensor = self.dense(torch.cat([angles.sin(), angles.cos()], 1))
        return out
