"""The U-Net of Ho et al. 2020 for images of any channel count, height and width.

Levels halve the resolution; the way up sees the features of the way down. Sizes that the levels do not
divide are padded at the edges inside and cropped again outside. With a `patch` of p the net sees patches of
p x p pixels as channels: p^2 as fast at the same width, with convolutions wide enough to be efficient.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, silu

from undiffuse.conditions import Conditions
from undiffuse.networks.attention import Attend, Full
from undiffuse.networks.blocks import Block, ResNet
from undiffuse.networks.conditioning import Conditioning, CrossPixels, Value
from undiffuse.networks.embed import Clock, TimeEmbedding
from undiffuse.networks.fitting import fitting_channels, fitting_dropout, fitting_multipliers
from undiffuse.networks.layers import group_norm, zeroed
from undiffuse.networks.resample import Down, Up, halved
from undiffuse.tensors import dims


class UNet(nn.Module):
    """(B, C, H, W), (B,) -> (B, outputs C, H, W); and values of the `conditions`, if there are any.

    `channels` at full resolution, times `multipliers[i]` after i halvings; `blocks` blocks a level (one more
    on the way up); the attention `attend` on the levels named in `attention` (0 is full resolution), and
    full attention in the middle if `middle_attention`; there sequences are looked at too. `channels`,
    `multipliers` and `dropout` that are None are chosen by the size of the images and the number of training
    `examples` (`undiffuse.networks.fitting`). Raises ValueError for data that are no images, or too small.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: int | None = 32,
        multipliers: tuple[int, ...] | None = (1, 2, 2),
        blocks: int = 1,
        attention: tuple[int, ...] = (),
        middle_attention: bool = True,
        dropout: float | None = 0.0,
        block: Block | None = None,
        attend: Attend | None = None,
        down: Down = "strided",
        patch: int = 1,
        groups: int = 8,
        eps: float = 1e-5,
        clock: Clock | None = None,
        outputs: int = 1,
        examples: int = 1000,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__()
        if channels is None:
            channels = fitting_channels(examples, dims(shape))
        if multipliers is None:
            multipliers = fitting_multipliers(min(shape[-2:]) // max(patch, 1))
        if dropout is None:
            dropout = fitting_dropout(examples)
        check_images(shape, channels, multipliers, blocks, attention, patch)
        self.patch, self.factor = patch, patch * 2 ** (len(multipliers) - 1)
        norm, attend, width = partial(group_norm, groups=groups, eps=eps), attend or Full(), 4 * channels
        made = partial(block or ResNet(), embedding=width, dropout=dropout, norm=norm)
        self.embed = TimeEmbedding(width, channels if channels >= 4 else width, clock)
        self.conditions = dict(conditions or {})
        self.given = Conditioning(self.conditions, width)
        widths = [channels * m for m in multipliers]
        self.first = nn.Conv2d((shape[0] + self.given.channels) * patch**2, widths[0], 3, padding=1)

        def looking(channels: int) -> CrossPixels | None:
            return CrossPixels(channels, width) if self.given.sequences else None

        def stage(channels_in: int, level: int) -> "Stage":
            attends = attend(widths[level], norm) if level in attention else None
            looks = looking(widths[level]) if level in attention else None
            return Stage(made(channels_in, widths[level]), attends, looks)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [widths[0]]
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                self.down.append(stage(skips[-1], level))
                skips.append(wide)
            if level < len(widths) - 1:
                self.down.append(halved(down, wide))
                skips.append(wide)
        full = attend if isinstance(attend, Full) else Full()
        middle = full(wide, norm) if middle_attention else None
        self.middle = nn.ModuleList(
            [Stage(made(wide, wide), middle, looking(wide)), Stage(made(wide, wide), None)]
        )
        for level in reversed(range(len(widths))):
            for _ in range(blocks + 1):
                self.up.append(stage(wide + skips.pop(), level))
                wide = widths[level]
            if level > 0:
                self.up.append(Up(wide))
        self.norm = norm(wide)
        self.last = zeroed(nn.Conv2d(wide, outputs * shape[0] * patch**2, 3, padding=1))

    def forward(self, x_t: Tensor, t: Tensor, condition: Value = None) -> Tensor:
        """The network's output at x_t and t, given what it is told."""
        height, width = x_t.shape[-2:]
        embedding = self.given.shift(condition, self.embed(t))
        seen = torch.cat([x_t, *self.given.maps(condition, x_t)], 1) if self.given.images else x_t
        h = self.first(pixel_unshuffle(padded(seen, self.factor), self.patch))
        h = self._through(h, silu(embedding), self.given.tokens(condition, x_t))
        out = pixel_shuffle(self.last(silu(self.norm(h))), self.patch)
        return out[..., :height, :width]

    def _through(self, h: Tensor, embedding: Tensor, tokens: tuple[Tensor, Tensor] | None) -> Tensor:
        """Down, through the middle, and up."""
        skips = [h]
        for part in self.down:
            h = part(h, embedding, tokens) if isinstance(part, Stage) else part(h)
            skips.append(h)
        for part in self.middle:
            h = part(h, embedding, tokens)
        for part in self.up:
            stage = isinstance(part, Stage)
            h = part(torch.cat([h, skips.pop()], 1), embedding, tokens) if stage else part(h)
        return h


class Stage(nn.Module):
    """A block, then attention where there is any, to itself and to what it is given."""

    def __init__(self, block: nn.Module, attention: nn.Module | None, looks: nn.Module | None = None) -> None:
        super().__init__()
        self.block, self.attention, self.looks = block, attention, looks

    def forward(self, x: Tensor, embedding: Tensor, tokens: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The block's output, attended."""
        out: Tensor = self.block(x, embedding)
        out = out if self.attention is None else self.attention(out)
        return out if self.looks is None or tokens is None else self.looks(out, *tokens)


def padded(x: Tensor, factor: int) -> Tensor:
    """x with its last rows and columns repeated up to a multiple of the factor."""
    below, right = -x.shape[-2] % factor, -x.shape[-1] % factor
    return pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def check_images(
    shape: tuple[int, ...],
    channels: int,
    multipliers: tuple[int, ...],
    blocks: int = 1,
    attention: tuple[int, ...] = (),
    patch: int = 1,
) -> None:
    """Raise ValueError for data that are no images or too small, and levels that cannot be."""
    if len(shape) != 3:
        raise ValueError(f"a U-Net needs images (C, H, W), the data are {shape}; use network.kind=mlp")
    if channels < 1 or blocks < 1 or patch < 1:
        raise ValueError(
            f"channels={channels}, blocks={blocks}, patch={patch}: a U-Net needs at least one of each"
        )
    if not multipliers or min(multipliers) < 1:
        raise ValueError(f"multipliers={multipliers}: one positive factor a level, such as [1, 2, 2]")
    if any(not 0 <= level < len(multipliers) for level in attention):
        raise ValueError(f"attention={attention}: levels are 0 to {len(multipliers) - 1}")
    if min(shape[1:]) < patch * 2 ** (len(multipliers) - 1):
        raise ValueError(
            f"images of {shape[1]}x{shape[2]} are too small for {len(multipliers)} levels"
            + (f" of patches of {patch}; use a smaller patch or" if patch > 1 else "; use")
            + " fewer multipliers"
        )
