"""A time-conditioned multilayer perceptron, for vectors and anything small enough to be flattened."""

import torch
from torch import Tensor, nn

from undiffuse.conditions import Conditions
from undiffuse.networks.conditioning import Conditioning, CrossAttention, Value
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.fitting import fitting_dropout, fitting_width
from undiffuse.networks.layers import zeroed
from undiffuse.tensors import dims


class MLP(nn.Module):
    """(B, *shape), (B,) -> (B, outputs * shape[0], *shape[1:]): residual SiLU layers, shifted by time.

    Of its `conditions` classes and vectors shift them too, images stand beside x_t, and sequences are looked
    at before the first layer.
    `hidden` and `dropout` that are None are chosen by the number of training `examples` and of their values
    (`undiffuse.networks.fitting`). The last layer starts at zero. Raises ValueError unless hidden and layers
    are at least 1, and dropout a share.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: int | None = 128,
        layers: int = 4,
        dropout: float | None = 0.0,
        outputs: int = 1,
        examples: int = 1000,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__()
        hidden = fitting_width(examples, dims(shape)) if hidden is None else hidden
        dropout = fitting_dropout(examples) if dropout is None else dropout
        if hidden < 1 or layers < 1:
            raise ValueError(f"hidden={hidden}, layers={layers}: an MLP needs at least one of each")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a share of the units, from 0 to below 1")
        size = dims(shape)
        self.shape = (outputs * shape[0], *shape[1:])
        self.embed = TimeEmbedding(max(4, min(hidden, 128) // 2 * 2))
        width = self.embed.frequencies.numel() * 2
        self.conditions = dict(conditions or {})
        self.given = Conditioning(self.conditions, width)
        self.first = nn.Linear(size + self.given.values, hidden)
        self.looks = CrossAttention(hidden, width) if self.given.sequences else None
        self.times = nn.Linear(width, hidden * layers)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.drop = nn.Dropout(dropout)
        self.last = zeroed(nn.Linear(hidden, size * outputs))

    def forward(self, x_t: Tensor, t: Tensor, condition: Value = None) -> Tensor:
        """The network's output at x_t and t, given what it is told."""
        flat = [part.flatten(1) for part in (x_t, *self.given.pixels(condition, x_t))]
        h = self.first(torch.cat(flat, 1) if len(flat) > 1 else flat[0])
        tokens = self.given.tokens(condition, x_t)
        if self.looks is not None and tokens is not None:
            h = self.looks(h.unsqueeze(1), *tokens).squeeze(1)
        embedding = self.given.shift(condition, self.embed(t))
        shifts = self.times(nn.functional.silu(embedding)).chunk(len(self.layers), 1)
        for layer, shift in zip(self.layers, shifts, strict=True):
            h = h + layer(self.drop(nn.functional.silu(h + shift)))
        out: Tensor = self.last(nn.functional.silu(h))
        return out.view(-1, *self.shape)
