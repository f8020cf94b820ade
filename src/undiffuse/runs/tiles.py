"""Pictures of any size as tiles of one size, and back."""

import torch
from torch import Tensor


def tiles(image: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A picture (C, H, W) as tiles (N, C, h, w), row by row; the last ones repeat its edge."""
    (h, w), (down, across) = shape[1:], counts(image.shape[1], image.shape[2], shape)
    rows = torch.arange(down * h).clamp(max=image.shape[1] - 1)
    columns = torch.arange(across * w).clamp(max=image.shape[2] - 1)
    filled = image[:, rows][:, :, columns]
    return filled.view(len(image), down, h, across, w).permute(1, 3, 0, 2, 4).reshape(-1, *shape)


def counts(height: int, width: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many tiles (C, h, w) a picture needs, down and across."""
    return -(-height // shape[1]), -(-width // shape[2])


def joined(parts: Tensor, down: int, across: int) -> Tensor:
    """The picture of tiles (down * across, C, h, w), filled up as it was."""
    _, channels, h, w = parts.shape
    grid = parts.view(down, across, channels, h, w).permute(2, 0, 3, 1, 4)
    return grid.reshape(channels, down * h, across * w)
