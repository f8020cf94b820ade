"""Patches cut at random from large pictures; training and test patches never share a pixel."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.files import existing, plain_path
from undiffuse.data.images import find_images
from undiffuse.data.loading import MAX_SIDE
from undiffuse.data.pictures import read_header, read_image
from undiffuse.data.source import Source, Splits
from undiffuse.random import keyed, uniform

Picture = NDArray[np.uint8]


class Patches(Source):
    """Squares cut at random from a folder of PNG and JPEG pictures, searched with its subfolders.

    Training patches come from the upper three quarters of each picture, test patches from the lower
    quarter. Every picture is as likely as any other, and so is every place in it.

    Args:
        path: the folder.
        size: side of the patches, in pixels of the pictures: nothing is resized.
        channels: 1 turns colour into grey, 3 grey into colour.
        train: number of training patches.
        test: number of test patches.
        seed: other seeds cut elsewhere.

    Raises:
        ValueError: if `size`, `channels` or a count is out of range.
    """

    source: ClassVar[str] = "your folder of large PNG and JPEG pictures: data.path=FOLDER"
    licence: ClassVar[str] = "that of your pictures"
    about: ClassVar[str] = "images (1, 32, 32) or (3, 32, 32), 256 levels; 20,000 + 2,000 unless told"
    overlapping: ClassVar[bool] = True

    def __init__(
        self,
        path: str | Path,
        size: int = 32,
        channels: int = 1,
        train: int = 20_000,
        test: int = 2_000,
        seed: int = 0,
    ) -> None:
        check_patches(size, train, test)
        if channels not in (1, 3):
            raise ValueError(f"channels={channels} must be 1 (grey) or 3 (colour)")
        self.path, self.size, self.channels = plain_path(path), size, channels
        self.train, self.test, self.seed = train, test, seed

    def load(self) -> Splits:
        """Look at every header first, to find at once what is too small; then decode and cut."""
        files = find_images(existing(self.path, "a folder of PNG and JPEG files"))
        for header in map(read_header, files):
            _check_room(header.name, header.height, header.width, self.size)
        read, shape = partial(read_image, channels=self.channels), (self.channels, self.size)
        return cut(list(map(str, files)), read, shape, self.train, self.test, self.seed)


def check_patches(size: int, train: int, test: int) -> None:
    """Refuse a patch or a number of patches that makes no sense.

    Raises:
        ValueError: if a count is not positive or the size is out of range.
    """
    if train < 1 or test < 1:
        raise ValueError(f"train={train} and test={test} must both be at least 1 patch")
    if not 1 <= size <= MAX_SIDE:
        raise ValueError(f"size={size} must be from 1 to {MAX_SIDE} pixels; try data.size=32")


def cut(
    names: Sequence[str],
    read: Callable[[str], Picture],
    shape: tuple[int, int],
    train: int,
    test: int,
    seed: int,
) -> Splits:
    """Random patches of these pictures, of which one at a time is in memory.

    Args:
        names: what the pictures are called.
        read: gives the picture of a name: uint8 ``(C, H, W)``.
        shape: (channels, size) of the patches ``(channels, size, size)``, in pixels.
        train: number of patches from the upper three quarters.
        test: number of patches from the lower quarter.
        seed: other seeds cut elsewhere.

    Raises:
        ValueError: if a picture is too small.
    """
    channels, size = shape
    counts = {"train": train, "test": test}
    out = {part: torch.empty(n, channels, size, size, dtype=torch.uint8) for part, n in counts.items()}
    u = {part: uniform((n, 3), keyed(seed, "patches", part)) for part, n in counts.items()}
    for number, name in enumerate(names):
        picture = read(name)
        _check_room(name, picture.shape[1], picture.shape[2], size)
        upper = 3 * picture.shape[1] // 4
        for part, area in (("train", picture[:, :upper]), ("test", picture[:, upper:])):
            mine = ((u[part][:, 0] * len(names)).long() == number).nonzero()[:, 0]
            out[part][mine] = _cut(area, size, u[part][mine, 1:])
    return Splits(out["train"], out["test"], levels=256)


def _cut(picture: Picture, size: int, u: Tensor) -> Tensor:
    """Patches ``(n, C, size, size)`` whose corner is at u ``(n, 2)``, uniform in [0, 1), of its range."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(1, 2))
    y, x = (u * torch.tensor(windows.shape[1:3])).long().numpy().T
    return torch.from_numpy(windows[:, y, x]).transpose(0, 1)


def _check_room(name: str, height: int, width: int, size: int) -> None:
    """Refuse a picture that is narrower than the patch, or whose upper or lower part is less high."""
    upper = 3 * height // 4
    room = min(upper, height - upper, width)
    if room < size:
        raise ValueError(
            f"{name} is {height} high and {width} wide, too small to cut patches of size={size} from its "
            f"upper three quarters and its lower quarter; set data.size={max(room, 1)} or less, or give "
            f"pictures at least {4 * size} high and {size} wide"
        )
