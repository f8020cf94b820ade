"""The U-Net of The Annotated Diffusion Model: two blocks a level both ways, linear attention at every level.

It differs from that of Ho et al. 2020 in that attention follows only the second block of a level, that the
last level changes its width instead of its resolution, and that the very first features come back at the end.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from undiffuse.networks.attention import Full, Linear
from undiffuse.networks.blocks import Block, Standardized
from undiffuse.networks.embed import Clock, TimeEmbedding
from undiffuse.networks.layers import group_norm, zeroed
from undiffuse.networks.resample import Up, halved
from undiffuse.networks.unet import Stage, check_images, padded


class AnnotatedUNet(nn.Module):
    """(B, C, H, W), (B,) -> (B, outputs C, H, W); `channels` times `multipliers[i]` after i halvings.

    The notebook's own has 28 channels, times 1, 2 and 4, `groups` of 4, and `steps` is its chain's T = 200,
    whose steps it numbers from 0. Raises ValueError for data that are no images.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: int = 28,
        multipliers: tuple[int, ...] = (1, 2, 4),
        groups: int = 4,
        block: Block | None = None,
        outputs: int = 1,
        steps: int = 200,
    ) -> None:
        super().__init__()
        check_images(shape, channels, multipliers)
        self.factor = 2 ** (len(multipliers) - 1)
        widths, width = [channels, *(channels * m for m in multipliers)], 4 * channels
        one = partial(group_norm, groups=1)
        made = partial(
            block or Standardized(), embedding=width, dropout=0.0, norm=partial(group_norm, groups=groups)
        )
        self.embed = TimeEmbedding(width, channels, Clock(scale=steps, offset=-1), nn.GELU)
        self.first = nn.Conv2d(shape[0], channels, 1)

        def level(channels_in: int, wide: int, change: nn.Module, up: bool) -> _Level:
            stages = [
                Stage(made(channels_in, wide), None),
                Stage(made(channels_in, wide), Linear()(wide, one)),
            ]
            return _Level(stages, change, up)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        levels = list(pairwise(widths))
        for i, (narrow, wide) in enumerate(levels):
            last = i == len(levels) - 1
            change = nn.Conv2d(narrow, wide, 3, padding=1) if last else halved("folded", narrow, wide)
            self.down.append(level(narrow, narrow, change, up=False))
        attention = Full(head=32, heads=4)(wide, one)
        self.middle = nn.ModuleList([Stage(made(wide, wide), attention), Stage(made(wide, wide), None)])
        for i, (narrow, wide) in reversed(list(enumerate(levels))):
            change = Up(wide, narrow) if i > 0 else nn.Conv2d(wide, narrow, 3, padding=1)
            self.up.append(level(wide + narrow, wide, change, up=True))
        self.final = made(2 * channels, channels)
        self.last = zeroed(nn.Conv2d(channels, outputs * shape[0], 1))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's output at x_t and t."""
        height, width = x_t.shape[-2:]
        embedding = silu(self.embed(t))
        h = first = self.first(padded(x_t, self.factor))
        skips: list[Tensor] = []
        for level in self.down:
            h = level(h, embedding, skips)
        for part in self.middle:
            h = part(h, embedding)
        for level in self.up:
            h = level(h, embedding, skips)
        out: Tensor = self.last(self.final(torch.cat([h, first], 1), embedding))
        return out[..., :height, :width]


class _Level(nn.Module):
    """Two blocks, the second attended, and a change of size; down, what they give is kept for the way up."""

    def __init__(self, stages: list[Stage], change: nn.Module, up: bool) -> None:
        super().__init__()
        self.stages, self.change, self.up = nn.ModuleList(stages), change, up

    def forward(self, h: Tensor, embedding: Tensor, skips: list[Tensor]) -> Tensor:
        """The features of the next level; fills `skips`, or takes from it."""
        for stage in self.stages:
            h = stage(torch.cat([h, skips.pop()], 1) if self.up else h, embedding)
            if not self.up:
                skips.append(h)
        out: Tensor = self.change(h)
        return out
