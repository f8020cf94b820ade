"""A transformer over the columns of a table: one token a column, which all look at one another.

Every column has an embedding of its own, from its features (`undiffuse.mixed`) to a token, and a head of its
own, from the token to what is said of it; what lies between is shared by all columns. Layers begin with a
norm, which time shifts and scales (Peebles and Xie 2023, adaLN), and add to the tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from undiffuse.kernels.mixed import feature_places
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.fitting import fitting_dropout
from undiffuse.networks.layers import zeroed


class ColumnTransformer(nn.Module):
    """(B, F), (B,) -> (B, 2 F): of a table whose `columns` have so many symbols, 0 for numbers.

    `dropout` None is chosen by the number of training `examples`. Raises ValueError without columns, or for a
    width that the heads do not divide.
    """

    seen: Tensor  # (D, f): places of every column's features, F for none
    said: Tensor  # (D, o): and of what is said of it, 2 F for none

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: int = 64,
        layers: int = 3,
        heads: int = 4,
        dropout: float | None = None,
        outputs: int = 2,
        examples: int = 1000,
        columns: list[int] | None = None,
    ) -> None:
        super().__init__()
        if columns is None or outputs != 2:
            raise ValueError("a transformer over columns is for tables: kernel.kind=mixed")
        if hidden < 4 or layers < 1 or heads < 1 or hidden % heads:
            raise ValueError(f"hidden={hidden}, layers={layers}, heads={heads}: heads divide what is hidden")
        dropout = fitting_dropout(examples) if dropout is None else dropout
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a share of the units, from 0 to below 1")
        (self.size,) = shape
        seen, said = feature_places(columns)
        for name, places, missing in (("seen", seen, self.size), ("said", said, 2 * self.size)):
            most = max(map(len, places))
            padded = [[*each, *[missing] * (most - len(each))] for each in places]
            self.register_buffer(name, torch.tensor(padded), persistent=False)
        count = len(columns)
        self.into = nn.Parameter(torch.randn(count, self.seen.shape[1], hidden) / self.seen.shape[1] ** 0.5)
        self.column = nn.Parameter(0.1 * torch.randn(count, hidden))
        self.embed = TimeEmbedding(hidden // 2 * 2)
        self.layers = nn.ModuleList(Layer(hidden, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Parameter(torch.zeros(count, hidden, self.said.shape[1]))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        padded = torch.cat([x_t, x_t.new_zeros(len(x_t), 1)], 1)
        h = torch.einsum("bdf,dfh->bdh", padded[:, self.seen], self.into) + self.column
        embedding = silu(self.embed(t))
        for layer in self.layers:
            h = layer(h, embedding)
        each = torch.einsum("bdh,dho->bdo", self.norm(h), self.out)
        out = x_t.new_zeros(len(x_t), 2 * self.size + 1)
        return out.index_copy(1, self.said.flatten(), each.flatten(1))[:, :-1]


class Layer(nn.Module):
    """Attention among the tokens (B, D, hidden), then a dense layer of each; both add to them."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(hidden, elementwise_affine=False) for _ in range(2))
        self.time = nn.Linear(hidden // 2 * 2, 4 * hidden)
        self.qkv, self.mix = nn.Linear(hidden, 3 * hidden), zeroed(nn.Linear(hidden, hidden))
        self.up, self.down = nn.Linear(hidden, 2 * hidden), zeroed(nn.Linear(2 * hidden, hidden))
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """The tokens, further."""
        scale, shift, again, beside = self.time(embedding).unsqueeze(1).chunk(4, 2)
        x = self.norms[0](h) * (1 + scale) + shift
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        h = h + self.mix(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        x = self.norms[1](h) * (1 + again) + beside
        found: Tensor = h + self.down(self.drop(silu(self.up(x))))
        return found
