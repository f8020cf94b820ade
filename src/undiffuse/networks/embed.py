"""Sinusoidal features of time (Vaswani et al. 2017; Ho et al. 2020)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from undiffuse.networks.layers import numbers, placed


@dataclass(frozen=True)
class Clock:
    """How time becomes an angle: sines and cosines of (scale t + offset) 10000^(-i / (half - shift)).

    A network that was trained on the numbers 0, ..., T-1 of a chain's steps has scale T and offset -1.
    """

    scale: float = 1000.0
    offset: float = 0.0
    shift: float = 1.0
    cosine_first: bool = False


class TimeEmbedding(nn.Module):
    """t in [0, 1], (B,) -> (B, width): `features` sines and cosines, then two dense layers.

    `features` is `width` unless given. Raises ValueError unless it is even and at least 4.
    """

    frequencies: Tensor

    def __init__(
        self,
        width: int,
        features: int | None = None,
        clock: Clock | None = None,
        activation: type[nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        features = features or width
        if features < 4 or features % 2:
            raise ValueError(f"{features} features of time: an even number of at least 4 is needed")
        self.clock = clock or Clock()
        half = features // 2
        scale = -math.log(10_000) / (half - self.clock.shift)
        self.register_buffer("frequencies", placed(torch.exp(scale * numbers(half))), persistent=False)
        self.dense = nn.Sequential(nn.Linear(features, width), activation(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Features of t."""
        number = self.clock.scale * t[:, None] + self.clock.offset
        angles = number * self.frequencies.to(t.dtype)
        waves = [angles.sin(), angles.cos()]
        out: Tensor = self.dense(torch.cat(waves[::-1] if self.clock.cosine_first else waves, 1))
        return out
