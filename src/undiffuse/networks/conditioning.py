"""How a network takes conditions in, by what they are.

class, vector    features that are added to those of time: they shift and scale every layer
image            at the resolution of x_t, beside its channels
sequence         tokens that the network looks at by attention

What is not told is 0 in the place of its value, and a mask beside it says so.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from undiffuse.conditions import Classes, Condition, Conditions, Image, Numbers, Series, check_name
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.labels import Labels
from undiffuse.networks.layers import numbers, placed, zeroed
from undiffuse.tensors import dims

Value = Tensor | Mapping[str, Tensor] | None


class Conditioning(nn.Module):
    """Conditions as features of this width, tokens of as many numbers, and channels of images.

    What it is called with is a tensor, of one condition, or several by name; None tells nothing.
    """

    def __init__(self, conditions: Conditions, width: int) -> None:
        super().__init__()
        self.conditions = {check_name(name): each for name, each in conditions.items()}
        self.features = nn.ModuleDict()
        self.sequences = nn.ModuleDict()
        for name, each in self.conditions.items():
            if isinstance(each, Classes):
                self.features[name] = Labels(each.count, width)
            elif isinstance(each, Series):
                self.sequences[name] = Tokens(each, width)
            elif not isinstance(each, Image):
                self.features[name] = Features(each, width)
        self.images = nn.ModuleDict(
            {name: Standard(each) for name, each in self.conditions.items() if isinstance(each, Image)}
        )

    @property
    def channels(self) -> int:
        """How many the images have, masks included."""
        return sum(2 * self.conditions[name].shape[0] for name in self.images)

    @property
    def values(self) -> int:
        """How many numbers the images have, masks included."""
        return sum(2 * dims(self.conditions[name].shape) for name in self.images)

    def named(self, value: Value) -> Mapping[str, Tensor]:
        """What is told, by name."""
        if isinstance(value, Tensor):
            return {next(iter(self.conditions)): value}
        return {} if value is None else value

    def shift(self, value: Value, embedding: Tensor) -> Tensor:
        """The features of time (B, width), and of classes and numbers added to them."""
        told = self.named(value)
        for name, part in self.features.items():
            embedding = embedding + part(told.get(name), embedding)
        return embedding

    def maps(self, value: Value, like: Tensor) -> list[Tensor]:
        """The images and their masks at the resolution of `like` (B, C, H, W)."""
        size = tuple(like.shape[-2:])
        return [
            part if tuple(part.shape[-2:]) == size else interpolate(part, size, mode="area")
            for part in self.pixels(value, like)
        ]

    def pixels(self, value: Value, like: Tensor) -> list[Tensor]:
        """The images and their masks as they are, a row for each of `like`."""
        told = self.named(value)
        return [part for name, each in self.images.items() for part in each(told.get(name), like)]

    def tokens(self, value: Value, like: Tensor) -> tuple[Tensor, Tensor] | None:
        """Tokens (B, n, width) of the sequences, and which of them are told, (B, n); None without any."""
        if not self.sequences:
            return None
        told = self.named(value)
        parts = [part(told.get(name), like) for name, part in self.sequences.items()]
        return torch.cat([tokens for tokens, _ in parts], 1), torch.cat([known for _, known in parts], 1)


class Standard(nn.Module):
    """Numbers (B, *shape) -> of mean 0 and deviation 1 in the training data, 0 where nothing is told; and 1
    where something is. Of none told, for every row of `like`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        assert isinstance(condition, Numbers)
        self.shape = condition.shape
        for name, value in zip(("mean", "std"), condition.moments(), strict=True):
            self.register_buffer(name, value, persistent=False)  # run.json keeps them

    def forward(self, value: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Both, (B, *shape)."""
        if value is None:
            nothing = like.new_zeros(()).expand(len(like), *self.shape)
            return nothing, nothing
        value = (value.to(like.dtype) - self.mean.to(like.dtype)) / self.std.to(like.dtype)
        return value.nan_to_num(0.0), value.isfinite().to(like.dtype)


class Features(nn.Module):
    """Numbers (B, D) and what is told of them -> (B, width)."""

    def __init__(self, condition: Condition, width: int) -> None:
        super().__init__()
        self.standard = Standard(condition)
        self.dense = nn.Sequential(
            nn.Linear(2 * dims(condition.shape), width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, value: Tensor | None, like: Tensor) -> Tensor:
        """The features, for every row of `like`."""
        out: Tensor = self.dense(torch.cat(self.standard(value, like), 1))
        return out


class Tokens(nn.Module):
    """A sequence (B, L, D) -> tokens (B, L, width) that know their place, and which of them are told.

    An element is told if any of its numbers is.
    """

    places: Tensor

    def __init__(self, condition: Condition, width: int) -> None:
        super().__init__()
        self.standard = Standard(condition)
        self.dense = nn.Linear(2 * condition.shape[1], width)
        self.place = TimeEmbedding(width, max(4, width // 2 * 2))
        places = placed(numbers(condition.shape[0]) / condition.shape[0])
        self.register_buffer("places", places, persistent=False)

    def forward(self, value: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens, for every row of `like`."""
        values, told = self.standard(value, like)
        tokens = self.dense(torch.cat([values, told], 2)) + self.place(self.places.to(like.dtype))
        return silu(tokens), told.any(2)


class CrossAttention(nn.Module):
    """(B, n, channels) that look at tokens (B, L, width): x + attention; the last layer starts at zero.

    One more token, of its own, is always there, so that there is something to look at where nothing is told.
    """

    def __init__(self, channels: int, width: int, head: int = 32) -> None:
        super().__init__()
        self.heads = max(1, channels // head)
        inner = self.heads * min(head, channels)
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, inner)
        self.pairs = nn.Linear(width, 2 * inner)
        self.nothing = nn.Parameter(torch.zeros(width))
        self.out = zeroed(nn.Linear(inner, channels))

    def forward(self, x: Tensor, tokens: Tensor, told: Tensor) -> Tensor:
        """Every element of x looks at all tokens that are told."""
        b = len(x)
        tokens = torch.cat([self.nothing.to(tokens.dtype).expand(b, 1, -1), tokens], 1)
        told = torch.cat([told.new_ones(()).expand(b, 1), told], 1)
        q = self.query(self.norm(x)).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.pairs(tokens).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(q, k, v, attn_mask=told[:, None, None, :])
        out: Tensor = x + self.out(seen.transpose(1, 2).flatten(2))
        return out


class CrossPixels(nn.Module):
    """The same for the pixels of (B, channels, H, W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.attention = CrossAttention(channels, width)

    def forward(self, x: Tensor, tokens: Tensor, told: Tensor) -> Tensor:
        """Every pixel looks at all tokens that are told."""
        seen: Tensor = self.attention(x.flatten(2).transpose(1, 2), tokens, told)
        return seen.transpose(1, 2).view_as(x)
