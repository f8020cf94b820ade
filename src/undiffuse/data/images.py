"""Your own images: a folder of PNG and JPEG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.files import existing, plain_path
from undiffuse.data.pictures import Header, read_header, read_image
from undiffuse.data.source import Source, Splits, check_fraction, split

MAX_SIDE = 4096
SUFFIXES = {".png", ".jpg", ".jpeg"}


class Images(Source):
    """A folder of PNG and JPEG files, searched with its subfolders.

    Other and hidden files are ignored. If there are subfolders ``train`` and ``test``, those are
    the splits; otherwise the files, sorted by path, are split by `test`. Images are turned upright
    as their EXIF says. Grey images keep one channel, colour images three.

    Args:
        path: the folder.
        size: side of the square, or (height, width), that images are centre-cropped and resized to.
            None keeps their size, which must then be the same for all.
        channels: 1 turns colour into grey, 3 grey into colour; None keeps them, if all have the
            same.
        test: share of images kept for testing, if the folder is not split already.

    Raises:
        ValueError: if `size`, `channels` or `test` are out of range.
    """

    source: ClassVar[str] = "your folder of PNG and JPEG files: data.path=FOLDER"
    licence: ClassVar[str] = "that of your images"
    about: ClassVar[str] = "images (1, H, W) or (3, H, W), 256 levels"

    def __init__(
        self,
        path: str | Path,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        test: float = 0.1,
    ) -> None:
        self.path, self.test = plain_path(path), check_fraction(test)
        self.size = (size, size) if isinstance(size, int) else size
        self.channels = channels
        if self.size is not None and not (
            len(self.size) == 2 and 0 < min(self.size) <= max(self.size) <= MAX_SIDE
        ):
            raise ValueError(f"size={size}: give data.size=64, or (height, width), to {MAX_SIDE}")
        if channels not in (None, 1, 3):
            raise ValueError(f"channels={channels} must be 1 (grey) or 3 (colour)")

    def load(self) -> Splits:
        """Look at every header first, to find at once what does not fit; then decode."""
        root = existing(self.path, "a folder of PNG and JPEG files")
        train, test = self._files(root)
        shape = self._shape([read_header(path) for path in sorted([*train, *test])])
        return Splits(self._stack(train, shape), self._stack(test, shape), levels=256)

    def _files(self, root: Path) -> tuple[list[Path], list[Path]]:
        if (root / "train").is_dir() and (root / "test").is_dir():
            return find_images(root / "train"), find_images(root / "test")
        files = find_images(root)
        train, test = ([files[i] for i in part] for part in split(len(files), self.test))
        return train, test

    def _shape(self, headers: Sequence[Header]) -> tuple[int, int, int]:
        """The (C, H, W) that all images have, or will have."""
        first = headers[0]
        for other in headers:
            if self.channels is None and other.channels != first.channels:
                grey, colour = sorted((first, other), key=lambda header: header.channels)
                raise ValueError(
                    f"{grey.path} is grey but {colour.path} is colour; set data.channels=1 or data.channels=3"
                )
            if self.size is None and (other.height, other.width) != (first.height, first.width):
                raise ValueError(
                    f"{first.path} is {first.height} high and {first.width} wide but {other.path} "
                    f"is {other.height} high and {other.width} wide; set data.size=64, say, to "
                    f"make all equal"
                )
        return self.channels or first.channels, *(self.size or (first.height, first.width))

    def _stack(self, files: Sequence[Path], shape: tuple[int, int, int]) -> Tensor:
        images = np.empty((len(files), *shape), np.uint8)
        for out, path in zip(images, files, strict=True):
            image = read_image(path, self.size, self.channels)
            if image.shape != shape:
                raise ValueError(f"{path} is {image.shape} once decoded, not {shape}; set data.size=64")
            out[:] = image
        return torch.from_numpy(images)


def find_images(root: Path) -> list[Path]:
    """The images below a folder, in the order of their paths."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; for one .npy or .npz file use data.kind=array")
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if _is_image(path, root)}
    if not found:
        raise ValueError(f"{root} holds no .png, .jpg or .jpeg file; set data.path to a folder that does")
    return [found[name] for name in sorted(found)]


def _is_image(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()
