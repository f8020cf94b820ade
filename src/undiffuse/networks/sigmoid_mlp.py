"""The multilayer perceptron that learned the binary heartbeat in Sohl-Dickstein et al. 2015, section 3.

    h_l = sigmoid(W_l h_{l-1} + b_l),   h_0 = x_t,   f(x_t, t) = W_i h_L + b_i,   i = t T - 1

The sigmoid layers are shared by all times; each time has a read-out of its own.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from undiffuse.networks.readout import PerStep
from undiffuse.tensors import dims


class SigmoidMLP(nn.Module):
    """(B, *shape), (B,) -> (B, outputs * shape[0], *shape[1:]) on a chain of `steps` steps.

    The read-out starts at zero. Raises ValueError unless hidden and layers are at least 1, and for times
    that are not on the chain.
    """

    def __init__(
        self, shape: tuple[int, ...], steps: int, outputs: int = 1, hidden: int = 50, layers: int = 3
    ) -> None:
        super().__init__()
        if hidden < 1 or layers < 1:
            raise ValueError(f"hidden={hidden}, layers={layers}: a sigmoid MLP needs at least one of each")
        size = dims(shape)
        self.shape = (outputs * shape[0], *shape[1:])
        widths = [size] + [hidden] * layers
        self.layers = nn.ModuleList(
            _sigmoidal(nn.Linear(*pair), mean=0.5 if i else 0.0) for i, pair in enumerate(pairwise(widths))
        )
        self.readout = PerStep(hidden, size * outputs, steps, network="sigmoid-mlp")

    def hidden(self, x_t: Tensor) -> Tensor:
        """The last layer's units at x_t (B, *shape): (B, hidden)."""
        h = x_t.flatten(1)
        for layer in self.layers:
            h = layer(h).sigmoid()
        return h

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        out: Tensor = self.readout(self.hidden(x_t), t)
        return out.view(-1, *self.shape)


def _sigmoidal(layer: nn.Linear, mean: float) -> nn.Linear:
    """The layer, started for sigmoids, on inputs of this mean."""
    # A sigmoid's slope is 1/4 at zero: with Glorot's weights times 4 neither signals nor gradients fade from
    # layer to layer. The bias takes away the inputs' mean (a sigmoid's is 1/2), which would saturate them.
    nn.init.xavier_uniform_(layer.weight, gain=4.0)
    with torch.no_grad():
        layer.bias.copy_(layer.weight.sum(1)).mul_(-mean)
    return layer
