"""The normalised radial basis functions that learned the swiss roll in Sohl-Dickstein et al. 2015, section 3.

    h_k(x)     prop. to exp(-|x - c_k|^2 / (2 s_k^2)),   sum_k h_k = 1
    f(x_t, t)  = W_i h(x_t) + b_i,                       i = t T - 1

Centres c_k and widths s_k are shared by all times and outputs; each time has a read-out of its own.
"""

import math

import torch
from torch import Tensor, nn

from undiffuse.networks.readout import PerStep
from undiffuse.tensors import dims


class RBF(nn.Module):
    """(B, *shape), (B,) -> (B, outputs * shape[0], *shape[1:]) on a chain of `steps` steps: one hidden layer.

    The read-out starts at zero. Raises ValueError unless units >= 1, and for times that are not on the chain.
    """

    def __init__(self, shape: tuple[int, ...], steps: int, outputs: int = 1, units: int = 16) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"units={units}: a network of radial basis functions needs at least one")
        size = dims(shape)
        self.shape = (outputs * shape[0], *shape[1:])
        self.centres = nn.Parameter(torch.empty(units, size).normal_(std=1.5))
        # |x - c|^2 differs by about sqrt(size) from unit to unit: such widths let every unit take part
        self.log_widths = nn.Parameter(torch.full((units,), math.log(size) / 4))
        self.readout = PerStep(units, size * outputs, steps, network="rbf")

    def hidden(self, x_t: Tensor) -> Tensor:
        """h_k of x_t (B, *shape): (B, units)."""
        squares = (x_t.flatten(1).unsqueeze(1) - self.centres).square().sum(2)
        return (-squares / 2 * (-2 * self.log_widths).exp()).softmax(1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        out: Tensor = self.readout(self.hidden(x_t), t)
        return out.view(-1, *self.shape)
