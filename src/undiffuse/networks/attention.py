"""Self-attention over the pixels of a feature map."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from undiffuse.networks.layers import group_norm, zeroed


class Attention(nn.Module):
    """(B, C, H, W) -> the same, x + attention(norm(x)); the last layer starts at zero."""

    def __init__(self, channels: int, head: int = 32) -> None:
        super().__init__()
        self.heads = max(1, channels // head)
        if channels % self.heads:
            raise ValueError(f"channels={channels} cannot be split into heads of {head}")
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Every pixel looks at every other."""
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).view(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        seen = scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(b, c, h, w)
        out: Tensor = x + self.out(seen)
        return out
