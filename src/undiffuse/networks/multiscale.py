"""The image network of Sohl-Dickstein et al. 2015, appendix D: all pixels at several scales at once.

A multi-scale convolution pools its input to several scales, convolves at each, brings the results back to
full resolution and sums them before its non-linearity. A dense pathway may see the whole image beside a
stack of those (CIFAR-10) or in its place (MNIST). 1x1 convolutions turn the features of a pixel into
coefficients y_j of bumps in time, the only place where time enters:

    h = softplus(sum_s up(conv_s(pool_s(h)))),   y = upper(h, dense(x_t)),   f(x_t, t) = sum_j y_j g_j(t)
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from undiffuse.networks.layers import Layer, zeroed
from undiffuse.networks.readout import Bumps
from undiffuse.tensors import dims

Activation = Callable[[], nn.Module]
LEAKY = partial(nn.LeakyReLU, 0.05)
ACTIVATIONS: dict[str, tuple[Activation, Activation]] = {  # of convolutions, of everything else
    "paper": (nn.Softplus, nn.Tanh),
    "leaky": (LEAKY, LEAKY),
}


class MultiScale(nn.Module):
    """(B, C, H, W), (B,) -> (B, outputs C, H, W).

    `layers` multi-scale convolutions of `channels` at `scales` scales; if `dense` is not 0, a pathway of
    `dense_layers` layers of `dense` units to `dense_outputs` features a pixel; then `upper` 1x1 convolutions
    of `upper_channels`. `activation` is the paper's (softplus, and tanh in all other layers) or the
    reference implementation's leaky ReLU; `bumps`, `bump_width` and `bump_ends` are those of `Bumps`. The
    last layer starts at zero. Raises ValueError for data that are no images or too small, or no pathway.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int = 1,
        channels: int = 20,
        layers: int = 4,
        scales: int = 3,
        dense: int = 0,
        dense_layers: int = 2,
        dense_outputs: int = 2,
        upper: int = 2,
        upper_channels: int = 20,
        activation: Literal["paper", "leaky"] = "paper",
        bumps: int = 10,
        bump_width: float = 1.0,
        bump_ends: bool = False,
    ) -> None:
        super().__init__()
        _check_image(shape, scales if layers else 1)
        _check_depths(layers, dense, upper)
        _check_sizes(channels=channels, upper_channels=upper_channels)
        convolved, other = ACTIVATIONS[activation]
        self.bumps = Bumps(bumps, bump_width, bump_ends)
        self.convolutions = nn.Sequential(
            *(MultiScaleConv(*pair, scales, convolved) for pair in pairwise([shape[0]] + [channels] * layers))
        )
        self.dense = DensePathway(shape, dense, dense_layers, dense_outputs, other) if dense else None
        width = (channels if layers else 0) + (dense_outputs if dense else 0)
        widths = [width] + [upper_channels] * upper
        self.upper = nn.Sequential()
        for before, after in pairwise(widths):
            self.upper.extend([_scaled(nn.Conv2d(before, after, 1)), other()])
        self.last = zeroed(nn.Conv2d(widths[-1], bumps * outputs * shape[0], 1))

    def features(self, x_t: Tensor) -> Tensor:
        """What is known of each pixel before time enters: (B, features, H, W)."""
        paths = [self.convolutions(x_t)] if len(self.convolutions) else []
        if self.dense is not None:
            paths.append(self.dense(x_t))
        out: Tensor = self.upper(torch.cat(paths, 1))
        return out

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        out: Tensor = self.bumps(self.last(self.features(x_t)), t)
        return out


class MultiScaleConv(nn.Module):
    """(B, inputs, H, W) -> (B, channels, H, W): 3x3 convolutions at several scales, summed.

    Scale s sees means over 2^s x 2^s pixels, s = 0, 1, .., scales - 1; blocks that the lower or right edge
    cuts off are means over the pixels they have.
    """

    def __init__(self, inputs: int, channels: int, scales: int, activation: Activation) -> None:
        super().__init__()
        fine, *coarse = (
            _scaled(nn.Conv2d(inputs, channels, 3, padding=1), math.sqrt(2 / scales)) for _ in range(scales)
        )
        self.fine, self.coarse = fine, nn.ModuleList(coarse)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """activation(sum_s up(conv_s(pool_s(x))))."""
        height, width = x.shape[-2:]
        out: Tensor = self.fine(x)
        for s, convolution in enumerate(self.coarse, 1):
            seen = convolution(avg_pool2d(x, 2**s, ceil_mode=True))
            # nearest: cheaper than bilinear, and its gradient on a GPU is the same on every run
            out = out + interpolate(seen, scale_factor=float(2**s), mode="nearest")[..., :height, :width]
        activated: Tensor = self.activation(out)
        return activated


class DensePathway(nn.Module):
    """(B, C, H, W) -> (B, features, H, W): layers of hidden units that see the whole image."""

    def __init__(
        self, shape: tuple[int, ...], hidden: int, layers: int, features: int, activation: Activation
    ) -> None:
        super().__init__()
        _check_sizes(dense=hidden, dense_layers=layers, dense_outputs=features)
        self.shape = (features, *shape[1:])
        widths = [dims(shape)] + [hidden] * layers + [dims(self.shape)]
        self.layers = nn.Sequential(nn.Flatten())
        for before, after in pairwise(widths):
            self.layers.extend([_scaled(nn.Linear(before, after)), activation()])

    def forward(self, x: Tensor) -> Tensor:
        """Features of each pixel."""
        out: Tensor = self.layers(x)
        return out.view(-1, *self.shape)


def _scaled(layer: Layer, gain: float = math.sqrt(2.0)) -> Layer:
    """The layer, started with He et al.'s weights, and no bias."""
    # PyTorch's own weights are a factor sqrt(6) smaller: six layers without skips would let signals fade
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _check_image(shape: tuple[int, ...], scales: int) -> None:
    if len(shape) != 3:
        raise ValueError(
            f"a multi-scale network needs images (C, H, W), the data are {shape}; use network.kind=mlp"
        )
    if scales < 1:
        raise ValueError(f"scales={scales}: full resolution is the first scale, so there is at least one")
    if min(shape[1:]) < 2 ** (scales - 1):
        raise ValueError(f"images of {shape[1]}x{shape[2]} are too small for {scales} scales; use fewer")


def _check_depths(layers: int, dense: int, upper: int) -> None:
    if min(layers, dense, upper) < 0:
        raise ValueError(f"layers={layers}, dense={dense}, upper={upper}: none of them is negative")
    if layers + dense == 0:
        raise ValueError("layers=0, dense=0: give some multi-scale layers, dense units, or both")


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}: there is at least one")
