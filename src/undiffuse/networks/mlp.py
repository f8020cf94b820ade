"""A time-conditioned multilayer perceptron, for vectors and anything small enough to be flattened."""

from torch import Tensor, nn

from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.layers import zeroed
from undiffuse.tensors import dims


class MLP(nn.Module):
    """(B, *shape), (B,) -> (B, outputs * shape[0], *shape[1:]): residual SiLU layers, shifted by time.

    The last layer starts at zero. Raises ValueError unless hidden and layers are at least 1.
    """

    def __init__(self, shape: tuple[int, ...], hidden: int = 128, layers: int = 4, outputs: int = 1) -> None:
        super().__init__()
        if hidden < 1 or layers < 1:
            raise ValueError(f"hidden={hidden}, layers={layers}: an MLP needs at least one of each")
        size = dims(shape)
        self.shape = (outputs * shape[0], *shape[1:])
        self.embed = TimeEmbedding(max(4, min(hidden, 128) // 2 * 2))
        self.first = nn.Linear(size, hidden)
        width = self.embed.frequencies.numel() * 2
        self.times = nn.Linear(width, hidden * layers)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.last = zeroed(nn.Linear(hidden, size * outputs))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        h = self.first(x_t.flatten(1))
        shifts = self.times(nn.functional.silu(self.embed(t))).chunk(len(self.layers), 1)
        for layer, shift in zip(self.layers, shifts, strict=True):
            h = h + layer(nn.functional.silu(h + shift))
        out: Tensor = self.last(nn.functional.silu(h))
        return out.view(-1, *self.shape)
