"""The U-Net of Ho et al. 2020 for images of any channel count, height and width.

Levels halve the resolution; the way up sees the features of the way down. Sizes that the levels do not
divide are padded at the edges inside and cropped again outside.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, silu

from undiffuse.networks.attention import Attention
from undiffuse.networks.blocks import ResNetBlock
from undiffuse.networks.embed import TimeEmbedding
from undiffuse.networks.layers import group_norm, zeroed

BLOCKS = {"resnet": ResNetBlock}


class UNet(nn.Module):
    """(B, C, H, W), (B,) -> (B, outputs C, H, W).

    `channels` at full resolution, times `multipliers[i]` after i halvings; `blocks` blocks a level (one more
    on the way up); self-attention on the levels named in `attention` (0 is full resolution) and in the
    middle if `middle_attention`. Raises ValueError for data that are no images, or levels that do not exist.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: int = 32,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: int = 1,
        attention: tuple[int, ...] = (),
        middle_attention: bool = True,
        dropout: float = 0.0,
        block: Literal["resnet"] = "resnet",
        outputs: int = 1,
    ) -> None:
        super().__init__()
        _check(shape, channels, multipliers, blocks, attention)
        widths = [channels * m for m in multipliers]
        self.factor = 2 ** (len(widths) - 1)
        self.embed = TimeEmbedding(4 * channels)
        self.first = nn.Conv2d(shape[0], widths[0], 3, padding=1)

        def stage(channels_in: int, width: int, attend: bool) -> "_Stage":
            made = BLOCKS[block](channels_in, width, 4 * channels, dropout)
            return _Stage(made, Attention(width) if attend else None)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [widths[0]]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(stage(skips[-1], width, level in attention))
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = nn.ModuleList(stage(width, width, i == 0 and middle_attention) for i in range(2))
        for level in reversed(range(len(widths))):
            for _ in range(blocks + 1):
                self.up.append(stage(width + skips.pop(), widths[level], level in attention))
                width = widths[level]
            if level > 0:
                self.up.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = group_norm(width)
        self.last = zeroed(nn.Conv2d(width, outputs * shape[0], 3, padding=1))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        height, width = x_t.shape[-2:]
        embedding = silu(self.embed(t))
        h = self.first(_padded(x_t, self.factor))
        skips = [h]
        for part in self.down:
            h = part(h, embedding) if isinstance(part, _Stage) else part(h)
            skips.append(h)
        for part in self.middle:
            h = part(h, embedding)
        for part in self.up:
            if isinstance(part, _Stage):
                h = part(torch.cat([h, skips.pop()], 1), embedding)
            else:
                h = part(interpolate(h, scale_factor=2.0, mode="nearest"))
        out: Tensor = self.last(silu(self.norm(h)))
        return out[..., :height, :width]


class _Stage(nn.Module):
    """A block, then attention where there is any."""

    def __init__(self, block: nn.Module, attention: nn.Module | None) -> None:
        super().__init__()
        self.block, self.attention = block, attention

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.block(x, embedding)
        return out if self.attention is None else self.attention(out)


def _padded(x: Tensor, factor: int) -> Tensor:
    """x with its last rows and columns repeated up to a multiple of the factor."""
    down, right = -x.shape[-2] % factor, -x.shape[-1] % factor
    return pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def _check(
    shape: tuple[int, ...],
    channels: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
) -> None:
    if len(shape) != 3:
        raise ValueError(f"a U-Net needs images (C, H, W), the data are {shape}; use network.kind=mlp")
    if channels < 1 or blocks < 1:
        raise ValueError(f"channels={channels}, blocks={blocks}: a U-Net needs at least one of each")
    if not multipliers or min(multipliers) < 1:
        raise ValueError(f"multipliers={multipliers}: one positive factor a level, such as [1, 2, 2]")
    if any(not 0 <= level < len(multipliers) for level in attention):
        raise ValueError(f"attention={attention}: levels are 0 to {len(multipliers) - 1}")
    if min(shape[1:]) < 2 ** (len(multipliers) - 1):
        raise ValueError(
            f"images of {shape[1]}x{shape[2]} are too small for {len(multipliers)} levels; "
            f"use fewer multipliers"
        )
