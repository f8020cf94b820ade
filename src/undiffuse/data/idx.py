"""IDX, the format of MNIST: a magic number, big-endian sizes, then bytes; often gzipped.

The magic number is 0, 0, the type (8: unsigned byte), and the number of dimensions.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.files import check_expansion, existing, plain_path, read_exactly
from undiffuse.data.source import Source, Splits, check_fraction, split

LIMIT = 2**31  # bytes of one array
WHAT = "an IDX file, or a folder with train-images-idx3-ubyte[.gz] and t10k-images-idx3-ubyte[.gz]"


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """The array of bytes in a plain or gzipped IDX file.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is not an IDX file of unsigned bytes, or not exactly as long as it says.
    """
    path = existing(path, WHAT)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an IDX file")
    zipped = _is_gzip(path)
    try:
        with cast(IO[bytes], gzip.open(path) if zipped else path.open("rb")) as stream:
            shape = _shape(stream, path)
            count = math.prod(shape)
            check_expansion(path, count, LIMIT)
            if not zipped and count > path.stat().st_size:
                raise ValueError(f"{path} is cut short: its sizes {shape} say {count:,} bytes")
            data = read_exactly(stream, count, path)
            if stream.read(1):
                raise ValueError(f"{path} is damaged: it is longer than its sizes {shape} say")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file ({error}); fetch it again") from error
    return data.reshape(shape)


class IDX(Source):
    """Your own IDX files.

    Args:
        path: a folder with ``train-images-idx3-ubyte`` and ``t10k-images-idx3-ubyte``, plain or
            ``.gz`` (and ``train-labels-idx1-ubyte``, ``t10k-labels-idx1-ubyte`` if there are
            classes), or one IDX file of images.
        test: share of examples kept for testing, if `path` is one file.

    Raises:
        ValueError: if `test` is not a fraction.
    """

    source: ClassVar[str] = "your IDX files: data.path=FILE or FOLDER"
    licence: ClassVar[str] = "that of your files"
    about: ClassVar[str] = "images (1, H, W), or (C, H, W) from four dimensions; 256 levels"

    def __init__(self, path: str | Path, test: float = 0.1) -> None:
        self.path, self.test = plain_path(path), check_fraction(test)

    def load(self) -> Splits:
        """Read the files."""
        path = existing(self.path, WHAT)
        if path.is_dir():
            return Splits(
                train=_examples(_required(path, "train-images", 3)),
                test=_examples(_required(path, "t10k-images", 3)),
                levels=256,
                train_labels=_labels(_find(path, "train-labels", 1)),
                test_labels=_labels(_find(path, "t10k-labels", 1)),
            )
        examples = _examples(path)
        train, test = split(len(examples), self.test)
        return Splits(examples[train], examples[test], levels=256)


def _is_gzip(path: Path) -> bool:
    """Whether the file starts like gzip, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _shape(stream: IO[bytes], path: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"{path} is not an IDX file: it starts with {magic!r}, not with two zeros")
    kind, ndim = magic[2:]
    if kind != 8 or not 1 <= ndim <= 4:
        raise ValueError(
            f"{path} is IDX of type {kind:#x} with {ndim} dimensions; only unsigned bytes (0x8) in "
            f"1 to 4 dimensions are read; save other data as .npy and use data.kind=array"
        )
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{path} ends within its header: it is cut short")
    shape: tuple[int, ...] = struct.unpack(f">{ndim}I", sizes)
    if not math.prod(shape):
        raise ValueError(f"{path} has sizes {shape}: it holds no values")
    return shape


def _find(folder: Path, name: str, ndim: int) -> Path | None:
    """``train-images-idx3-ubyte``, or with a dot as some mirrors have it, or gzipped."""
    names = [f"{name}{dot}idx{ndim}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _required(folder: Path, name: str, ndim: int) -> Path:
    found = _find(folder, name, ndim)
    if found is None:
        raise FileNotFoundError(f"{folder} has no {name}-idx{ndim}-ubyte[.gz]; set data.path to {WHAT}")
    return found


def _examples(path: Path) -> Tensor:
    array: NDArray[Any] = read_idx(path)
    if array.ndim == 1:
        raise ValueError(f"{path} holds one number an example, so labels; images have 3 or 4 dimensions")
    return torch.from_numpy(array[:, None] if array.ndim == 3 else array)


def _labels(path: Path | None) -> Tensor | None:
    return None if path is None else torch.from_numpy(read_idx(path)).long()
