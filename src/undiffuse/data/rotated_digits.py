"""The 8x8 digits, each turned by an angle that is its label: a continuous condition."""

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from undiffuse.data.digits import Digits
from undiffuse.data.source import Source, Splits
from undiffuse.random import keyed, uniform

LEVELS = 17


class RotatedDigits(Source):
    """The digits of `Digits`, turned by angles drawn at random; the label of each is its angle in degrees.

    Args:
        most: angles are uniform from -most to most, anticlockwise.
        seed: other seeds turn them by other angles.

    Raises:
        ValueError: unless 0 < most <= 180.
    """

    source: ClassVar[str] = Digits.source
    licence: ClassVar[str] = Digits.licence
    about: ClassVar[str] = "images (1, 8, 8), 17 levels, and their angles; 1,497 + 300; in the package"

    def __init__(self, most: float = 90.0, seed: int = 0) -> None:
        if not 0 < most <= 180:
            raise ValueError(f"most={most}: degrees, above 0 and up to 180")
        self.most, self.seed = most, seed

    def load(self) -> Splits:
        """Turn them, by bilinear interpolation, and round to levels."""
        splits = Digits().load()
        train, angles = self._turned(splits.train[:], "train")
        test, other = self._turned(splits.test[:], "test")
        return replace(splits, train=train, test=test, train_labels=angles, test_labels=other)

    def _turned(self, images: Tensor, part: str) -> tuple[Tensor, Tensor]:
        """The images, and their angles (N, 1)."""
        u = uniform((len(images), 1), keyed(self.seed, "angle", part))
        angle = (self.most * (2 * u - 1)).float()
        return turned(images, angle[:, 0]), angle


def turned(images: Tensor, degrees: Tensor) -> Tensor:
    """Level numbers (N, C, H, W), turned anticlockwise about their middle by degrees (N,), black beyond."""
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    back = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    places = affine_grid(back, list(images.shape), align_corners=False)
    out = grid_sample(images.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return out.round().clamp(0, LEVELS - 1).to(images.dtype)
