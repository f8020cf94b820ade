"""Halving and doubling the resolution of feature maps.

| down     | what halves                                                                    |
|----------|--------------------------------------------------------------------------------|
| strided  | a 3x3 convolution of stride 2, padded all around                               |
| corner   | the same, padded right and below only, as in the code of Ho et al. 2020        |
| pooled   | the mean of 2x2 pixels, then a 3x3 convolution                                 |
| folded   | 2x2 pixels become channels, then a 1x1 convolution (the annotated notebook)    |
"""

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import interpolate

Down = Literal["strided", "corner", "pooled", "folded"]


def halved(kind: Down, channels: int, channels_out: int | None = None) -> nn.Module:
    """(B, channels, H, W) -> (B, channels_out, H/2, W/2), for even H and W."""
    out = channels_out or channels
    if kind == "folded":
        return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, out, 1))
    if kind == "pooled":
        return nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, out, 3, padding=1))
    if kind == "corner":
        return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, out, 3, stride=2))
    return nn.Conv2d(channels, out, 3, stride=2, padding=1)


class Up(nn.Module):
    """(B, channels, H, W) -> (B, channels_out, 2H, 2W): every pixel four times, then a 3x3 convolution."""

    def __init__(self, channels: int, channels_out: int | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels_out or channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Twice the height and width."""
        out: Tensor = self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
