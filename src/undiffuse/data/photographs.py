"""Patches of three colour photographs that come with scikit-image."""

from typing import ClassVar

import numpy as np

from undiffuse.data.patches import Picture, check_patches, cut
from undiffuse.data.source import Source, Splits
from undiffuse.data.textures import pictures

NAMES = ("astronaut", "chelsea", "coffee")


class Photographs(Source):
    """Colour squares cut at random from pictures of an astronaut, a cat and a cup of coffee.

    Training patches come from the upper three quarters of each picture, test patches from the lower
    quarter: they share no pixel.

    Args:
        size: side of the patches, in pixels; at most 75.
        train: number of training patches.
        test: number of test patches.
        names: the pictures to cut from, of astronaut, chelsea and coffee; all are equally likely.
        seed: other seeds cut elsewhere.

    Raises:
        ValueError: if `size` or a count is out of range, or a name is unknown or given twice.
    """

    source: ClassVar[str] = "NASA (Eileen Collins), S. van der Walt, R. Michetti, as shipped by scikit-image"
    licence: ClassVar[str] = "public domain and CC0 1.0"
    about: ClassVar[str] = "images (3, 16, 16), 256 levels; 20,000 + 2,000 unless told; needs scikit-image"
    overlapping: ClassVar[bool] = True

    def __init__(
        self,
        size: int = 16,
        train: int = 20_000,
        test: int = 2_000,
        names: tuple[str, ...] = NAMES,
        seed: int = 0,
    ) -> None:
        check_patches(size, train, test)
        if not names or not set(names) <= set(NAMES) or len(set(names)) < len(names):
            raise ValueError(f"names={names!r} must be some of {', '.join(NAMES)}; try data.names=[coffee]")
        self.size, self.train, self.test = size, train, test
        self.names, self.seed = tuple(names), seed

    def load(self) -> Splits:
        """Cut the patches.

        Raises:
            ImportError: if scikit-image is not installed.
            ValueError: if the patches do not fit.
        """
        data = pictures("photographs")

        def read(name: str) -> Picture:
            return np.moveaxis(np.asarray(getattr(data, name)(), np.uint8), -1, 0)

        return cut(self.names, read, (3, self.size), self.train, self.test, self.seed)
