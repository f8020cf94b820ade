"""How time enters the networks of Sohl-Dickstein et al. 2015: in the read-out alone.

Everything below the read-out is shared by all times. What is read out of features h(x_t) is, on the chain
t = 1/T, 2/T, .., 1 (section 3), or for images at any t and with J bumps in time (eqs. 62 and 63),

    PerStep   z = W_i h + b_i,            i = t T - 1
    Bumps     z = sum_j y_j(h) g_j(t),    g_j(t) prop. to exp(-(t - tau_j)^2 / (2 w^2)),  sum_j g_j(t) = 1
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from undiffuse.networks.layers import numbers, placed

OFF = 1e-3  # how far from a whole number t T may be: float32 is that good up to T = 8000


class PerStep(nn.Module):
    """(B, inputs), (B,) -> (B, outputs): a linear layer for each of the T = steps times, all zero at first.

    `network` is the name that errors give to what it belongs to. Raises ValueError for sizes below 1, and
    when called at a time that is no step of the chain.
    """

    def __init__(self, inputs: int, outputs: int, steps: int, network: str = "this network") -> None:
        super().__init__()
        if min(inputs, outputs, steps) < 1:
            raise ValueError(
                f"inputs={inputs}, outputs={outputs}, steps={steps}: a read-out for each step has at least "
                f"one of each"
            )
        self.steps, self.network = steps, network
        self.weight = nn.Parameter(torch.zeros(steps, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(steps, outputs))

    def forward(self, h: Tensor, t: Tensor) -> Tensor:
        """W_i h + b_i, with each row's own i."""
        i = self.index(t)
        if len(i) == 1:
            weight = embedding(i, self.weight.flatten(1)).view(self.weight.shape[1:])
            return linear(h, weight, embedding(i, self.bias).squeeze(0))
        # embedding, not weight[i]: its gradient is the same on every run, with several threads too
        weight = embedding(i, self.weight.flatten(1)).view(-1, *self.weight.shape[1:])
        return torch.baddbmm(embedding(i, self.bias).unsqueeze(2), weight, h.unsqueeze(2)).squeeze(2)

    def index(self, t: Tensor) -> Tensor:
        """The steps 0 .. T - 1 of times (B,): (B,), or (1,) if t is one time expanded to all rows.

        Times of no step are refused where that can be seen without waiting for a device.
        """
        t = t[:1] if t.stride(0) == 0 else t
        place = t * self.steps
        i = place.round().long() - 1
        on = ((place - i - 1).abs() <= OFF) & (i >= 0) & (i < self.steps)
        if t.device.type == "cpu" and not on.all():
            raise ValueError(
                f"t={t[~on][0]:g} is no step of {self.network}, which has a read-out for each of its "
                f"T={self.steps} steps: train, sample and evaluate on that chain"
            )
        return i.clamp(0, self.steps - 1)


class Bumps(nn.Module):
    """(B, J * C, ...), (B,) -> (B, C, ...): J = count coefficients, weighted by bumps in time.

    The channels are those of y_1, then of y_2 and so on. `width` is w in units of the spacing of the centres
    tau_j, which lie at (j - 1/2) / J or, with `ends`, from 0 to 1. The paper has width 1, its reference
    implementation width 1/2 and ends. Raises ValueError unless count >= 1 and width > 0.
    """

    centres: Tensor

    def __init__(self, count: int, width: float = 1.0, ends: bool = False) -> None:
        super().__init__()
        if count < 1 or not width > 0:
            raise ValueError(f"count={count}, width={width:g}: there is at least one bump, of positive width")
        spacing = 1 / max(count - 1, 1) if ends else 1 / count
        centres = numbers(count) * spacing if ends else (numbers(count) + 0.5) * spacing
        self.width = width * spacing
        self.register_buffer("centres", placed(centres), persistent=False)

    def weights(self, t: Tensor) -> Tensor:
        """g_j(t) for t (B,): (B, J)."""
        distances = (t.unsqueeze(1) - self.centres.to(t.dtype)) / self.width
        return (-distances.square() / 2).softmax(1)

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        """sum_j y_j g_j(t)."""
        y = y.view(len(y), len(self.centres), -1, *y.shape[2:])
        return torch.einsum("bj...,bj->b...", y, self.weights(t).to(y.dtype))
