r"""Dead leaves: discs that hide one another, a model of natural images that is simulated exactly.

    radius r in [smallest, largest] of density ~ r^-exponent,  centre uniform,  grey level uniform

Discs are laid from the front to the back until no pixel is left: a pixel has the level of the first
disc over its centre. That is the stationary law itself, not an approximation by many discs. Two
pixels d apart lie in one leaf with probability

    P(d) = g(d) / (2 g(0) - g(d)),   g(d) = E area of the overlap of two discs of radius r, d apart

Only discs that touch the picture matter: their centres lie at most r from it. Enlarging the picture
by r instead of by `largest` turns the density of r into r^-exponent (size + 2r)^2, a mixture of three
powers, and leaves the law of the picture as it is.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.data.source import Source, Splits
from undiffuse.random import Streams, uniform

LEVELS = 256
ROUND = 32  # discs an image and a round
NUMBERS = 5  # uniform numbers a disc: power, radius, x, y, level
BLOCK = 2**17  # pixels of the images that are made together
CHUNK = 2**18  # pairs of a pixel and a disc that are compared at a time


class DeadLeaves(Source):
    """Grey pictures of discs in front of discs; image i depends on the seed and on i alone.

    References: D. Jeulin, Dead leaves models: from space tessellation to random functions, 1997.
    A. B. Lee, D. Mumford and J. Huang, Occlusion models for natural images, International Journal of
    Computer Vision 41, 2001.

    Args:
        size: side of the square images, in pixels.
        train: number of training images.
        test: number of test images.
        smallest: least radius, in pixels.
        largest: greatest radius, in pixels; None takes half the side.
        exponent: of the density of radii r^-exponent; 3 is the scale-invariant model.
        seed: other seeds give other images of the same law.

    Raises:
        ValueError: if a count, the size, a radius or the exponent is out of range.
    """

    source: ClassVar[str] = "generated; the dead leaves of Jeulin (1997) and Lee, Mumford & Huang (2001)"
    licence: ClassVar[str] = "none needed: generated"
    about: ClassVar[str] = "images (1, 32, 32), 256 levels; 20,000 + 2,000 unless told; exact statistics"

    def __init__(
        self,
        size: int = 32,
        train: int = 20_000,
        test: int = 2_000,
        smallest: float = 1.0,
        largest: float | None = None,
        exponent: float = 3.0,
        seed: int = 0,
    ) -> None:
        if train < 1 or test < 1:
            raise ValueError(f"train={train} and test={test} must both be at least 1 image")
        if not 1 <= size <= 1024:
            raise ValueError(f"size={size} must be from 1 to 1024 pixels; try data.size=32")
        if not -10 <= exponent <= 10:
            raise ValueError(f"exponent={exponent} must be from -10 to 10; try data.exponent=3")
        self.largest = size / 2 if largest is None else largest
        if not 0.1 <= smallest < self.largest <= 10 * size:
            raise ValueError(
                f"smallest={smallest} and largest={self.largest}: radii must satisfy 0.1 <= smallest < "
                f"largest <= {10 * size} pixels; try data.smallest=1 data.largest={max(2, size // 2)}"
            )
        self.size, self.train, self.test = size, train, test
        self.smallest, self.exponent, self.seed = smallest, exponent, seed

    def load(self) -> Splits:
        """Lay the leaves."""
        return Splits(self._draw("train", self.train), self._draw("test", self.test), levels=LEVELS)

    def _draw(self, name: str, n: int) -> Tensor:
        images = torch.empty(n, 1, self.size, self.size, dtype=torch.uint8)
        block = max(1, BLOCK // self.size**2)
        for first in range(0, n, block):
            rows = range(first, min(first + block, n))
            images[rows.start : rows.stop] = self._block(Streams(self.seed, "dead-leaves", name, rows=rows))
        return images

    def _block(self, streams: Streams) -> Tensor:
        """One image a stream: ``(B, 1, size, size)``."""
        levels = torch.empty(len(streams) * self.size**2, dtype=torch.uint8)
        bare = torch.arange(len(levels))  # pixels that no disc has covered so far
        while len(bare):
            x, y, grey = self._discs(streams)
            chunks = torch.split(bare, max(1, CHUNK // ROUND))
            bare = torch.cat([_cover(levels, pixels, x, y, grey) for pixels in chunks])
        return levels.reshape(-1, 1, self.size, self.size)

    def _discs(self, streams: Streams) -> tuple[Tensor, Tensor, Tensor]:
        """The next discs of every image, as what `_cover` compares.

        Returns:
            (x - c_x)^2 - r^2 by column and (y - c_y)^2 by row, float32 ``(B * size, ROUND)``, and
            the levels, uint8 ``(B, ROUND)``.
        """
        u = uniform((len(streams), ROUND, NUMBERS), streams)
        r = self._radius(u[..., 0], u[..., 1])
        pixels = torch.arange(self.size, dtype=torch.float64)[:, None] + 0.5
        c_x, c_y = ((u[..., i] * (self.size + 2 * r) - r)[:, None] for i in (2, 3))
        x = (pixels - c_x).square() - r.square()[:, None]
        y = (pixels - c_y).square()
        return x.float().flatten(0, 1), y.float().flatten(0, 1), (u[..., 4] * LEVELS).to(torch.uint8)

    def _radius(self, which: Tensor, u: Tensor) -> Tensor:
        """Radii of density ~ r^-exponent (size + 2r)^2, by two uniform numbers each.

        The first chooses among r^p, p = -exponent + (0, 1, 2); the second inverts the distribution
        function of that, r = a (1 + u ((b/a)^q - 1))^(1/q) with q = p + 1, a (b/a)^u where q = 0.
        """
        a, log = self.smallest, math.log(self.largest / self.smallest)
        q = 1 - self.exponent + torch.arange(3, dtype=torch.float64)
        q = torch.where(q.abs() < 1e-9, 1e-9, q)  # the limit, to nine digits
        growth = (q * log).expm1()
        touch = torch.tensor([1.0, 4 * a / self.size, (2 * a / self.size) ** 2], dtype=torch.float64)
        shares = (touch * growth / q).cumsum(0)
        power = (which[..., None] >= shares[:2] / shares[2]).sum(-1)
        return a * ((u * growth[power]).log1p() / q[power]).exp()


def _cover(levels: Tensor, pixels: Tensor, x: Tensor, y: Tensor, grey: Tensor) -> Tensor:
    """Give `pixels`, numbers into `levels`, the level of the first disc over each.

    Returns:
        The pixels that these discs leave bare.
    """
    size = len(x) // len(grey)
    row = pixels.div(size, rounding_mode="floor")  # of all images, one below the other
    image = row.div(size, rounding_mode="floor")
    inside = x.index_select(0, image * size + pixels % size) + y.index_select(0, row) <= 0
    covered, first = inside.max(1)
    levels[pixels[covered]] = grey[image[covered], first[covered]]
    return pixels[~covered]
