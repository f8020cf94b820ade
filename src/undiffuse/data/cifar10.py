"""CIFAR-10 in its published binary format, which needs no unpickling.

A file is records of 3,073 bytes: the class 0..9, then the red, the green and the blue plane of 32x32
values, row by row.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from undiffuse.data.files import existing, plain_path, read_exactly
from undiffuse.data.source import Source, Splits

FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = ("test_batch.bin",)
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes
CLASSES = 10
ADVICE = (
    f"{FOLDER}, the folder that https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz unpacks to, or to "
    f"the folder that holds it"
)


class CIFAR10(Source):
    """Colour photographs of ten kinds of animals and vehicles, 32x32 with 256 levels.

    Reference: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of
    Toronto, 2009.

    Args:
        path: the folder ``cifar-10-batches-bin``, with ``data_batch_1.bin`` to ``data_batch_5.bin``
            and ``test_batch.bin``, or a folder that holds it.
    """

    source: ClassVar[str] = "Krizhevsky, Nair & Hinton; your copy of the binary version: data.path=FOLDER"
    licence: ClassVar[str] = "none stated by the authors"
    about: ClassVar[str] = "images (3, 32, 32), 256 levels, 10 classes; 50,000 + 10,000"

    def __init__(self, path: str | Path) -> None:
        self.path = plain_path(path)

    def load(self) -> Splits:
        """Check the size of every file first, then read them.

        Raises:
            FileNotFoundError: if a file is missing; the message says how to get it.
            ValueError: if a file is not whole records, or a class is not 0..9.
        """
        root = existing(self.path, ADVICE)
        root = root / FOLDER if (root / FOLDER).is_dir() else root
        train, test = _counted(root, TRAIN), _counted(root, TEST)
        (train_images, train_labels), (test_images, test_labels) = _read(train), _read(test)
        return Splits(train_images, test_images, 256, train_labels, test_labels)


def _counted(root: Path, names: Sequence[str]) -> dict[Path, int]:
    """The files and their numbers of records."""
    return {root / name: _records(root / name) for name in names}


def _records(path: Path) -> int:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; set data.path to {ADVICE}")
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise ValueError(
            f"{path} is {size:,} bytes, not a multiple of {RECORD:,}: it is cut short or not CIFAR-10 in "
            f"binary; unpack the archive again"
        )
    return size // RECORD


def _read(files: dict[Path, int]) -> tuple[Tensor, Tensor]:
    """Images uint8 ``(N, 3, 32, 32)`` and labels int64 ``(N,)`` of these files, in their order."""
    count = sum(files.values())
    images, labels, done = np.empty((count, *SHAPE), np.uint8), np.empty(count, np.int64), 0
    for path, records in files.items():
        with path.open("rb") as stream:
            data = read_exactly(stream, records * RECORD, path).reshape(records, RECORD)
        _check(data[:, 0].max(), path)
        images[done : done + records] = data[:, 1:].reshape(records, *SHAPE)
        labels[done : done + records] = data[:, 0]
        done += records
    return torch.from_numpy(images), torch.from_numpy(labels)


def _check(label: int, path: Path) -> None:
    if label >= CLASSES:
        raise ValueError(
            f"{path} has class {label}; CIFAR-10 has 0..{CLASSES - 1}: it is damaged or another data set; "
            f"unpack the archive again"
        )
