"""Self-attention over the pixels of a feature map: full, or linear in the number of pixels.

full      softmax(q k' / sqrt(d)) v                    every pixel looks at every other
linear    softmax_d(q) (softmax_n(k)' v) / sqrt(d)     all pixels share one d x d summary (Shen et al. 2018)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from undiffuse.networks.layers import zeroed

Norm = Callable[[int], nn.Module]


class Attend(ABC):
    """What makes the attention layers of a network: (channels, norm) -> module of (B, C, H, W)."""

    @abstractmethod
    def __call__(self, channels: int, norm: Norm) -> nn.Module:
        """A layer that leaves the shape as it is, and starts as the identity."""


@dataclass(frozen=True)
class Full(Attend):
    """Heads of `head` channels each (one head of all channels if None), as many as fit, or `heads`."""

    head: int | None = 32
    heads: int | None = None

    def __call__(self, channels: int, norm: Norm) -> nn.Module:
        """x + attention(norm(x)). Raises ValueError if the channels do not split into heads."""
        heads = self.heads or max(1, channels // (self.head or channels))
        if self.heads is None and channels % heads:
            raise ValueError(f"channels={channels} cannot be split into heads of {self.head}")
        width = channels // heads if self.heads is None or self.head is None else self.head
        return Attention(channels, norm, heads, width)


@dataclass(frozen=True)
class Linear(Attend):
    """`heads` heads of `head` channels each."""

    heads: int = 4
    head: int = 32

    def __call__(self, channels: int, norm: Norm) -> nn.Module:
        """x + norm(attention(norm(x)))."""
        return LinearAttention(channels, norm, self.heads, self.head)


class Attention(nn.Module):
    """(B, C, H, W) -> the same, x + attention(norm(x)); the last layer starts at zero."""

    def __init__(self, channels: int, norm: Norm, heads: int, head: int) -> None:
        super().__init__()
        self.heads, self.head = heads, head
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * head, 1)
        self.out = zeroed(nn.Conv2d(heads * head, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Every pixel looks at every other."""
        b, _, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(b, 3, self.heads, self.head, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        seen = scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(b, -1, h, w)
        out: Tensor = x + self.out(seen)
        return out


class LinearAttention(nn.Module):
    """(B, C, H, W) -> the same, x + norm(attention(norm(x))); the last norm starts at zero."""

    def __init__(self, channels: int, norm: Norm, heads: int = 4, head: int = 32) -> None:
        super().__init__()
        self.heads, self.head = heads, head
        self.norm = norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * head, 1, bias=False)
        self.out = nn.Conv2d(heads * head, channels, 1)
        self.last = nn.GroupNorm(1, channels)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Every pixel reads the summary of all pixels."""
        b, _, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, 3, self.heads, self.head, h * w).unbind(1)
        summary = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
        seen = torch.einsum("bhde,bhdn->bhen", summary, q.softmax(-2) * self.head**-0.5)
        out: Tensor = x + self.last(self.out(seen.reshape(b, -1, h, w)))
        return out


ATTENTIONS: dict[str, type[Attend]] = {"full": Full, "linear": Linear}
