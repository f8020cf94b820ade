"""Blocks of the U-Nets; one signature: block(channels_in, channels_out, embedding, dropout, norm) -> module.

A module takes (B, channels_in, H, W) and the activated embedding of time (B, embedding), and gives
(B, channels_out, H, W): a skip, by a 1x1 convolution where the widths differ, plus what the block adds.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from undiffuse.networks.attention import Norm
from undiffuse.networks.layers import StandardizedConv2d, zeroed


class Block(ABC):
    """What makes the blocks of a network."""

    @abstractmethod
    def __call__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, norm: Norm
    ) -> nn.Module:
        """A block that starts as its skip alone."""


@dataclass(frozen=True)
class ResNet(Block):
    """Two 3x3 convolutions; time shifts the features between them, and scales them unless told to `shift`."""

    time: Literal["scale-shift", "shift"] = "scale-shift"

    def __call__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, norm: Norm
    ) -> nn.Module:
        """Norm, SiLU, convolution, twice."""
        return ResNetBlock(channels_in, channels_out, embedding, dropout, norm, self.time == "scale-shift")


@dataclass(frozen=True)
class Standardized(Block):
    """The annotated notebook's: standardised convolution, norm, time, SiLU, twice, norms behind."""

    def __call__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, norm: Norm
    ) -> nn.Module:
        """Convolution, norm, SiLU, twice."""
        return StandardizedBlock(channels_in, channels_out, embedding, dropout, norm)


@dataclass(frozen=True)
class ConvNeXT(Block):
    """A 7x7 convolution of every channel alone, then two convolutions with `expansion` as many channels."""

    expansion: int = 2
    kernel: int = 3

    def __post_init__(self) -> None:
        if self.expansion < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(
                f"expansion={self.expansion}, kernel={self.kernel}: a positive factor and an odd size"
            )

    def __call__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, norm: Norm
    ) -> nn.Module:
        """Depthwise, time, norm, wide, narrow."""
        inner = self.expansion * channels_out
        return ConvNeXTBlock(channels_in, channels_out, embedding, dropout, inner, self.kernel)


def _skip(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()


class ResNetBlock(nn.Module):
    """GroupNorm, SiLU and convolution twice; time in between; the second convolution starts at zero."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        embedding: int,
        dropout: float,
        norm: Norm,
        scales: bool = True,
    ) -> None:
        super().__init__()
        self.scales = scales
        self.norm_1 = norm(channels_in)
        self.conv_1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(embedding, (2 if scales else 1) * channels_out)
        self.norm_2 = norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.skip = _skip(channels_in, channels_out)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x plus what the block adds."""
        h = self.conv_1(silu(self.norm_1(x)))
        time = self.time(embedding)[:, :, None, None]
        if self.scales:
            scale, shift = time.chunk(2, 1)
            h = self.norm_2(h) * (1 + scale) + shift
        else:
            h = self.norm_2(h + time)
        out: Tensor = self.skip(x) + self.conv_2(self.dropout(silu(h)))
        return out


class StandardizedBlock(nn.Module):
    """Convolution with standardised filters, GroupNorm and SiLU twice; time scales and shifts the first."""

    def __init__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, norm: Norm
    ) -> None:
        super().__init__()
        self.time = nn.Linear(embedding, 2 * channels_out)
        self.conv_1 = StandardizedConv2d(channels_in, channels_out, 3, padding=1)
        self.norm_1 = norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = StandardizedConv2d(channels_out, channels_out, 3, padding=1)
        self.norm_2 = norm(channels_out)
        self.skip = _skip(channels_in, channels_out)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x plus what the block adds."""
        scale, shift = self.time(embedding)[:, :, None, None].chunk(2, 1)
        h = silu(self.norm_1(self.conv_1(x)) * (1 + scale) + shift)
        out: Tensor = self.skip(x) + silu(self.norm_2(self.conv_2(self.dropout(h))))
        return out


class ConvNeXTBlock(nn.Module):
    """Liu et al. 2022, as the annotated notebook has it: one norm group, GELU, time after the 7x7."""

    def __init__(
        self, channels_in: int, channels_out: int, embedding: int, dropout: float, inner: int, kernel: int
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.time = nn.Linear(embedding, channels_in)
        self.depthwise = nn.Conv2d(channels_in, channels_in, 7, padding=3, groups=channels_in)
        self.norm_1 = nn.GroupNorm(1, channels_in)
        self.wide = nn.Conv2d(channels_in, inner, kernel, padding=padding)
        self.norm_2 = nn.GroupNorm(1, inner)
        self.dropout = nn.Dropout(dropout)
        self.narrow = zeroed(nn.Conv2d(inner, channels_out, kernel, padding=padding))
        self.skip = _skip(channels_in, channels_out)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x plus what the block adds."""
        h = self.norm_1(self.depthwise(x) + self.time(embedding)[:, :, None, None])
        out: Tensor = self.skip(x) + self.narrow(self.dropout(self.norm_2(gelu(self.wide(h)))))
        return out


BLOCKS: dict[str, type[Block]] = {"resnet": ResNet, "convnext": ConvNeXT, "standardized": Standardized}
