"""Patches of photographs that come with scikit-image: of surfaces, grey, and of things, in colour."""

from typing import Any, ClassVar

import numpy as np

from undiffuse.data.patches import Picture, check_patches, cut
from undiffuse.data.source import Source, Splits
from undiffuse.extras import install

SURFACES = ("brick", "grass", "gravel")
THINGS = ("astronaut", "chelsea", "coffee")


class Textures(Source):
    """Squares cut at random from pictures of surfaces, grey, 512x512 each.

    Training patches come from the upper three quarters of each picture, test patches from the lower
    quarter: they share no pixel.

    Args:
        size: side of the patches, in pixels; at most a quarter of the height of the lowest picture.
        train: number of training patches.
        test: number of test patches.
        names: the pictures to cut from; all are equally likely.
        seed: other seeds cut elsewhere.

    Raises:
        ValueError: if `size` or a count is out of range, or a name is unknown or given twice.
    """

    source: ClassVar[str] = "cc0textures.com and linolafett (DeviantArt), as shipped by scikit-image"
    licence: ClassVar[str] = "CC0 1.0"
    about: ClassVar[str] = "images (1, 32, 32), 256 levels; 20,000 + 2,000 unless told; needs scikit-image"
    overlapping: ClassVar[bool] = True
    kind: ClassVar[str] = "textures"
    known: ClassVar[tuple[str, ...]] = SURFACES
    channels: ClassVar[int] = 1

    def __init__(
        self,
        size: int = 32,
        train: int = 20_000,
        test: int = 2_000,
        names: tuple[str, ...] = SURFACES,
        seed: int = 0,
    ) -> None:
        check_patches(size, train, test)
        if not names or not set(names) <= set(self.known) or len(set(names)) < len(names):
            raise ValueError(
                f"names={names!r} must be some of {', '.join(self.known)}; try data.names=[{self.known[0]}]"
            )
        self.size, self.train, self.test = size, train, test
        self.names, self.seed = tuple(names), seed

    def load(self) -> Splits:
        """Cut the patches.

        Raises:
            ImportError: if scikit-image is not installed.
            ValueError: if the patches do not fit.
        """
        data, shape = _pictures(self.kind), (self.channels, self.size)

        def read(name: str) -> Picture:
            picture = np.asarray(getattr(data, name)(), np.uint8)
            return np.moveaxis(np.atleast_3d(picture), -1, 0)

        return cut(self.names, read, shape, self.train, self.test, self.seed)


class Photographs(Textures):
    """Squares cut at random from pictures of an astronaut, a cat and a cup of coffee, in colour."""

    source: ClassVar[str] = "NASA (Eileen Collins), S. van der Walt, R. Michetti, as shipped by scikit-image"
    licence: ClassVar[str] = "public domain and CC0 1.0"
    about: ClassVar[str] = "images (3, 16, 16), 256 levels; 20,000 + 2,000 unless told; needs scikit-image"
    kind: ClassVar[str] = "photographs"
    known: ClassVar[tuple[str, ...]] = THINGS
    channels: ClassVar[int] = 3

    def __init__(
        self,
        size: int = 16,
        train: int = 20_000,
        test: int = 2_000,
        names: tuple[str, ...] = THINGS,
        seed: int = 0,
    ) -> None:
        super().__init__(size, train, test, names, seed)


def _pictures(kind: str) -> Any:
    """The pictures of scikit-image, for the data of this kind. Raises ImportError without it."""
    try:
        from skimage import data  # an extra: imported only by who asks for it
    except ImportError as error:
        raise ImportError(f"data.kind={kind} needs: {install('textures')}") from error
    return data
