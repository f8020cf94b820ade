"""Patches of three photographs of surfaces that come with scikit-image."""

from typing import Any, ClassVar

import numpy as np

from undiffuse.data.patches import Picture, check_patches, cut
from undiffuse.data.source import Source, Splits
from undiffuse.extras import install

NAMES = ("brick", "grass", "gravel")


class Textures(Source):
    """Grey squares cut at random from pictures of bricks, grass and gravel, 512x512 each.

    Training patches come from the upper three quarters of each picture, test patches from the lower
    quarter: they share no pixel.

    Args:
        size: side of the patches, in pixels; at most 128.
        train: number of training patches.
        test: number of test patches.
        names: the pictures to cut from, of brick, grass and gravel; all are equally likely.
        seed: other seeds cut elsewhere.

    Raises:
        ValueError: if `size` or a count is out of range, or a name is unknown or given twice.
    """

    source: ClassVar[str] = "cc0textures.com and linolafett (DeviantArt), as shipped by scikit-image"
    licence: ClassVar[str] = "CC0 1.0"
    about: ClassVar[str] = "images (1, 32, 32), 256 levels; 20,000 + 2,000 unless told; needs scikit-image"
    overlapping: ClassVar[bool] = True

    def __init__(
        self,
        size: int = 32,
        train: int = 20_000,
        test: int = 2_000,
        names: tuple[str, ...] = NAMES,
        seed: int = 0,
    ) -> None:
        check_patches(size, train, test)
        if not names or not set(names) <= set(NAMES) or len(set(names)) < len(names):
            raise ValueError(f"names={names!r} must be some of {', '.join(NAMES)}; try data.names=[brick]")
        self.size, self.train, self.test = size, train, test
        self.names, self.seed = tuple(names), seed

    def load(self) -> Splits:
        """Cut the patches.

        Raises:
            ImportError: if scikit-image is not installed.
            ValueError: if the patches do not fit.
        """
        data = pictures("textures")

        def read(name: str) -> Picture:
            return np.asarray(getattr(data, name)(), np.uint8)[None]

        return cut(self.names, read, (1, self.size), self.train, self.test, self.seed)


def pictures(kind: str) -> Any:
    """The pictures of scikit-image, for the data of this kind. Raises ImportError without it."""
    try:
        from skimage import data  # an extra: imported only by who asks for it
    except ImportError as error:
        raise ImportError(f"data.kind={kind} needs: {install('textures')}") from error
    return data
