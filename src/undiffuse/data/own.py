"""What your own pictures in files have in common: where they are, how they are read, how they are split."""

from abc import ABC
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from undiffuse.data.files import plain_path
from undiffuse.data.loading import Loading
from undiffuse.data.source import Source, check_fraction, split


class Own(Source, ABC):
    """Pictures of your own.

    Args:
        path: where they are.
        size: side of the square, or (height, width), that images are centre-cropped and resized to.
            None keeps their size, which must then be the same for all.
        channels: 1 turns colour into grey, 3 grey into colour; None keeps them, if all have the same.
        test: share kept for testing, if the folder is not split already.
        memory: up to so many GB of decoded images are kept in memory; more are decoded when needed.
        workers: processes that decode ahead while training; the batches are the same for any number.
        skip_bad: skip images that cannot be read: the next one of the class stands in the place of each.

    Raises:
        ValueError: if an argument is out of range.
    """

    licence: ClassVar[str] = "that of your images"

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
