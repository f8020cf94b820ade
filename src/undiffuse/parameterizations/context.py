"""Widths that depend on the context: on the prediction itself, which encoder and decoder both know.

A network is surest of values at the ends of the data's range, so that the mean squared error of x_0-hat is
a steep function of it. Here such a function is piecewise linear, in its log and in the prediction's log-odds:

    log2 f(x) = sum_k h_k(x) c_k,      h_k: hats on K knots, evenly spaced from u = -1 to u = 1,
    u(x) = atanh(x / (1 + d)) / atanh(1 / (1 + d)),      d = `SOFT`

It is continuous, so that a prediction whose last digits differ gives a width whose last digits differ. One
knot is one width for all.
"""

import math
from typing import Any

import torch
from torch import Tensor

from undiffuse.devices import fetched, wide, widest
from undiffuse.distributions import Distribution
from undiffuse.kernels import Bridge, Gaussian
from undiffuse.parameterizations.decoder import DiscretizedDecoder
from undiffuse.parameterizations.variance import Single, step_index
from undiffuse.tensors import like

SOFT = 1e-3  # how far beyond the ends of [-1, 1] the log-odds are taken


class Hats:
    """The hat functions of K knots at a prediction (B, *shape): the two that are not zero there."""

    def __init__(self, x_0: Tensor, knots: int) -> None:
        last = knots - 1
        u = torch.atanh(wide(x_0).clamp(-1, 1) / (1 + SOFT)) / math.atanh(1 / (1 + SOFT))
        y = (u + 1) * (last / 2)
        self.knots, self.below = knots, y.long().clamp(0, max(0, last - 1))  # also where y is no number
        self.above = (self.below + 1).clamp(max=last)
        self.share = y - self.below  # of the one above

    def __call__(self, values: Tensor) -> Tensor:
        """sum_k h_k values_k of knots (K,) or (B, K): float64 of the prediction's shape."""
        each = values.to(self.share).expand(len(self.share), self.knots)
        low, high = (each.gather(1, at.flatten(1)).view_as(at) for at in (self.below, self.above))
        return torch.lerp(low, high, self.share)

    def sums(self, x: Tensor) -> Tensor:
        """The sum of h_k x over all elements, (K,); x is of the prediction's shape, float64."""
        found = torch.zeros(self.knots, dtype=widest(x.device), device=x.device)
        found.index_add_(0, self.below.flatten(), ((1 - self.share) * x).flatten())
        return found.index_add_(0, self.above.flatten(), (self.share * x).flatten())


class Contextual(Single):
    """(1 + 2^c(x_0-hat)) beta-tilde, the knots of c being `knots[i]` (K,) for the step that leaves grid[i].

    `grid` is (T,) and `knots` (T, K), whose first row has no use: the decoder replaces that step.
    """

    def __init__(self, grid: Tensor, knots: Tensor) -> None:
        self.grid, self.knots = fetched(grid), knots

    def step(
        self, kernel: Any, x_0: Tensor, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor
    ) -> Distribution:
        """The bridge to the prediction, widened; ValueError unless the step is one of the grid's."""
        knots = self.knots[step_index(self.grid, s, t)]
        return super().step(kernel, x_0, Hats(x_0, knots.shape[-1])(knots), x_t, s, t)

    def __call__(self, bridge: Bridge, raw: Tensor | None, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """`raw` is c."""
        assert raw is not None
        return like(bridge.var, x_t) * (1 + raw.exp2())


class ContextualDecoder(DiscretizedDecoder):
    """Another decoder's levels, its variance times 2^c(x_0-hat); `knots` (K,) are those of c."""

    def __init__(self, decoder: DiscretizedDecoder, knots: Tensor) -> None:
        super().__init__(decoder.levels, decoder.std)
        self.knots = knots

    def width(self, x_0: Tensor, t: Tensor, kernel: Gaussian) -> Tensor:
        """Standard deviation, float64 of x_0's shape."""
        return super().width(x_0, t, kernel) * (0.5 * Hats(x_0, len(self.knots))(self.knots)).exp2()
