"""Your own images: a folder of PNG and JPEG files."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, ClassVar, final

import torch
from torch import Tensor

from undiffuse.data.decoded import Pictures
from undiffuse.data.files import existing, plain_path
from undiffuse.data.loading import Loading
from undiffuse.data.pictures import open_picture
from undiffuse.data.source import Source, Splits, check_fraction, split

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
        memory: up to so many GB of decoded images are kept in memory; more are decoded when needed.
        workers: processes that decode ahead while training; the batches are the same for any number.
        skip_bad: skip images that cannot be read: the next one stands in the place of each.

    Raises:
        ValueError: if an argument is out of range.
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
        memory: float = 1.0,
        workers: int = 0,
        skip_bad: bool = False,
    ) -> None:
        self.path, self.test = plain_path(path), check_fraction(test)
        self.loading = Loading(size, channels, memory, workers, skip_bad)

    def load(self) -> Splits:
        """Look at every header first, to find at once what does not fit; decode, if all fit in memory."""
        root = existing(self.path, "a folder of PNG and JPEG files")
        files, count = in_folders(root, find_images)
        train, test = numbers_of(len(files), count, self.test)
        return self.loading.splits(Files(root, files), train, test)

    def files(self) -> list[Path]:
        """The images themselves."""
        return find_images(self.path)


@final
class Files(Pictures):
    """Pictures in a folder, of which only the names are kept, relative to it."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root, self.names = str(root), [os.path.relpath(file, root) for file in files]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        """The path."""
        return os.path.join(self.root, self.names[number])  # noqa: PTH118 (a path object costs a kilobyte)

    def open(self, number: int) -> IO[bytes]:
        """The file."""
        return open_picture(self.name(number))


def in_folders(root: Path, find: Callable[[Path], list[Path]]) -> tuple[list[Path], int | None]:
    """What is found in a folder, or in its ``train`` and ``test``, and then how much in ``train``."""
    if (root / "train").is_dir() and (root / "test").is_dir():
        train, test = find(root / "train"), find(root / "test")
        return [*train, *test], len(train)
    return find(root), None


def numbers_of(total: int, train: int | None, fraction: float) -> tuple[Tensor, Tensor]:
    """Numbers of the training and the test examples: the first `train`, or, if None, split at random."""
    if train is None:
        return split(total, fraction)
    numbers = torch.arange(total)
    return numbers[:train], numbers[train:]


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
