"""Blocks of the U-Net; all share one signature: Block(channels_in, channels_out, embedding, dropout)."""

from torch import Tensor, nn
from torch.nn.functional import silu

from undiffuse.networks.layers import group_norm, zeroed


class ResNetBlock(nn.Module):
    """Two 3x3 convolutions with GroupNorm and SiLU; time shifts and scales between them.

    (B, channels_in, H, W), (B, embedding) -> (B, channels_out, H, W). The second convolution starts at zero.
    """

    def __init__(self, channels_in: int, channels_out: int, embedding: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = group_norm(channels_in)
        self.conv_1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(embedding, 2 * channels_out)
        self.norm_2 = group_norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_2 = zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.skip = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x plus what the block adds."""
        scale, shift = self.time(embedding)[:, :, None, None].chunk(2, 1)
        h = self.conv_1(silu(self.norm_1(x)))
        h = self.norm_2(h) * (1 + scale) + shift
        h = self.conv_2(self.dropout(silu(h)))
        out: Tensor = h + (x if self.skip is None else self.skip(x))
        return out
