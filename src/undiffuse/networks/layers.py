"""Small things that every network of ours uses."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def zeroed(layer: Layer) -> Layer:
    """The layer, started at zero: what it feeds begins as the identity, or as no output."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def numbers(count: int) -> Tensor:
    """0, 1, ..., count - 1 on the CPU, to compute constants of a network with: see `placed`."""
    return torch.arange(count, device="cpu")


def placed(constants: Tensor) -> Tensor:
    """Them on the default device. Were they computed there, the first would take seconds on "meta"."""
    return constants.to(torch.get_default_device())


def group_norm(channels: int, groups: int = 8, eps: float = 1e-5) -> nn.GroupNorm:
    """GroupNorm with the largest number of groups up to `groups` that divides the channels."""
    count = next(g for g in range(min(groups, channels), 0, -1) if channels % g == 0)
    return nn.GroupNorm(count, channels, eps)


class StandardizedConv2d(nn.Conv2d):
    """A convolution whose filters have mean 0 and variance 1 when they are used (Qiao et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """The convolution with standardised filters."""
        var, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        filters = (self.weight - mean) * (var + 1e-5).rsqrt()
        out: Tensor = self._conv_forward(x, filters, self.bias)
        return out
