"""Your own arrays: .npy and .npz files of vectors, sequences and images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from undiffuse.data.files import existing, plain_path
from undiffuse.data.mapped import Mapped
from undiffuse.data.npy import WHAT, npz_names, read_npy, read_npz
from undiffuse.data.rows import CHUNK, check_memory, held
from undiffuse.data.source import Source, Splits, check_fraction, split
from undiffuse.data.space import check_levels

Found = NDArray[Any]
NATURAL = {"b1": 2, "u1": 256, "u2": 65536}  # levels that a type of integer implies


class Array(Source):
    """Your own array, in an .npy or .npz file.

    An .npz file with arrays ``train`` and ``test``, or ``x_train`` and ``x_test`` (and labels
    ``y_train``, ``y_test``), is already split; any other array is split by `test`. The first
    dimension counts examples:

    ===============================  =======================================
    ``(N, D)``                       vectors
    ``(N, H, W)``, levels            grey images, which become ``(1, H, W)``
    ``(N, C, L)``, floats            sequences
    ``(N, C, H, W)``                 images
    ``(N, L, C)``, ``(N, H, W, C)``  the same with ``channels_last``
    ===============================  =======================================

    Booleans have 2 levels, uint8 256, uint16 65,536; floats are continuous.

    Args:
        path: the file.
        key: which array of an .npz file, if it has several.
        levels: K, if the values are the whole numbers 0..K-1.
        channels_last: whether the channels are the last dimension rather than the second.
        test: share of examples kept for testing, if the file is not split already.
        memory: an .npy file of up to so many GB is kept in memory; of a larger one, only what is used is
            read.

    Raises:
        ValueError: if `levels`, `test` or `memory` are out of range, or the path has another ending.
    """

    source: ClassVar[str] = "your .npy or .npz file: data.path=FILE"
    licence: ClassVar[str] = "that of your file"
    about: ClassVar[str] = "vectors, sequences or images; integers are levels, floats continuous"

    def __init__(
        self,
        path: str | Path,
        key: str | None = None,
        levels: int | None = None,
        channels_last: bool = False,
        test: float = 0.1,
        memory: float = 1.0,
    ) -> None:
        self.path, self.key, self.channels_last = plain_path(path), key, channels_last
        self.levels = None if levels is None else check_levels(levels)
        self.test, self.memory = check_fraction(test), check_memory(memory)
        if self.path.suffix.lower() not in (".npy", ".npz"):
            raise ValueError(f"path={path} must end in .npy or .npz; for images use data.kind=images")

    def load(self) -> Splits:
        """Check every value of the file, and split it."""
        existing(self.path, WHAT)
        if self.path.suffix.lower() == ".npy":
            return self._mapped()
        names = npz_names(self.path)
        for prefix in ("", "x_"):
            if self.key is None and {f"{prefix}train", f"{prefix}test"} <= set(names):
                return self._ready_made(prefix, names)
        return self._divided(self._only(names))

    def _only(self, names: tuple[str, ...]) -> str:
        if self.key is None and len(names) != 1:
            raise ValueError(f"{self.path} has arrays {names}; choose one with data.key=NAME")
        return names[0] if self.key is None else self.key

    def _ready_made(self, prefix: str, names: tuple[str, ...]) -> Splits:
        parts = [self._examples(f"{prefix}{part}") for part in ("train", "test")]
        labels = [
            _labels(read_npz(self.path, f"y_{part}"), f"{self.path}: 'y_{part}'")
            if f"y_{part}" in names
            else None
            for part in ("train", "test")
        ]
        (train, levels), (test, test_levels) = parts
        if levels != test_levels:
            raise ValueError(f"{self.path}: training data has levels {levels}, test data {test_levels}")
        return Splits(train, test, levels, labels[0], labels[1])

    def _mapped(self) -> Splits:
        convert, levels = self._checked(lambda: read_npy(self.path), str(self.path))
        parts = split(len(read_npy(self.path)), self.test)
        train, test = (Mapped(self.path, numbers, convert) for numbers in parts)
        return Splits(*held(train, test, self.memory), levels)

    def _divided(self, name: str) -> Splits:
        array, where = read_npz(self.path, name), f"{self.path}: {name!r}"
        convert, levels = self._checked(lambda: array, where)
        parts = split(len(array), self.test)
        train, test = (torch.from_numpy(convert(array[numbers.numpy()])) for numbers in parts)
        return Splits(train, test, levels)

    def _examples(self, name: str) -> tuple[Tensor, int | None]:
        array = read_npz(self.path, name)
        convert, levels = self._checked(lambda: array, f"{self.path}: {name!r}")
        return torch.from_numpy(convert(array)), levels

    def _checked(self, found: Callable[[], Found], where: str) -> tuple[Callable[[Found], Found], int | None]:
        """Look at every value; what makes examples of rows, and K for level numbers or None for float32."""
        array = found()
        levels = self.levels or NATURAL.get(array.dtype.str[1:])
        if levels is None and array.dtype.kind != "f":
            raise ValueError(
                f"{where} holds {array.dtype} values, whose number of levels is not known; set "
                f"data.levels=K if they are 0..K-1, or save them as float32 if continuous"
            )
        _check_shape(array.shape, self.channels_last, where)
        if levels is None or levels != NATURAL.get(array.dtype.str[1:]):  # else no value can be wrong
            _check_values(found, levels, where)
        dtype = np.float32 if levels is None else np.uint8 if levels <= 256 else np.int32
        return _Convert(dtype, levels is not None, self.channels_last), levels


class _Convert:
    """Rows of an array as examples ``(N, D)``, ``(N, C, L)`` or ``(N, C, H, W)`` of this dtype."""

    def __init__(self, dtype: type[np.generic], discrete: bool, channels_last: bool) -> None:
        self.dtype, self.discrete, self.channels_last = dtype, discrete, channels_last

    def __call__(self, array: Found) -> Found:
        values = np.ascontiguousarray(array, self.dtype)
        if self.channels_last and values.ndim > 2:
            return np.ascontiguousarray(np.moveaxis(values, -1, 1))
        return values[:, None] if values.ndim == 3 and self.discrete else values


def _check_shape(shape: tuple[int, ...], channels_last: bool, where: str) -> None:
    """Refuse what is neither vectors, sequences nor images."""
    if not 2 <= len(shape) <= 4:
        raise ValueError(
            f"{where} has shape {shape}; give (N, D) vectors, (N, C, L) sequences or (N, C, "
            f"H, W) images, e.g. array.reshape(len(array), -1)"
        )
    if len(shape) == 4 and not channels_last and shape[1] == shape[2] > 4 and shape[3] in (1, 3):
        raise ValueError(
            f"{where} has shape {shape}, which looks like (N, H, W, C); set data.channels_last=true"
        )


def _check_values(found: Callable[[], Found], levels: int | None, where: str) -> None:
    """Count what is no finite float32, or no level number, and name the first as the file has it.

    `found` gives the array anew for every few million values, so that a mapped file stays out of memory.
    """
    shape = found().shape
    size, wrong, first = max(1, CHUNK // int(np.prod(shape[1:]))), 0, None
    for begin in range(0, shape[0], size):
        values = found()[begin : begin + size]
        bad = _not_finite(values) if levels is None else _no_level(values, levels)
        if bad.any() and first is None:
            index = tuple(int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
            first = values[index], (begin + index[0], *index[1:])
        wrong += int(bad.sum())
    if first is not None:
        what = "not finite in float32" if levels is None else f"not one of the whole numbers 0..{levels - 1}"
        level = "correct them, or set data.levels to the largest plus one"
        remedy = "remove or fill them in" if levels is None else level
        raise ValueError(
            f"{where}: {wrong:,} value(s) are {what}, the first {first[0]} at index {first[1]}; {remedy}"
        )


def _not_finite(array: Found) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):  # what overflows becomes infinite
        return ~np.isfinite(np.asarray(array, np.float32))


def _no_level(array: Found, levels: int) -> NDArray[np.bool_]:
    if array.dtype == np.float16:
        array = array.astype(np.float32)  # the largest levels are beyond float16
    wrong: NDArray[np.bool_] = ~((array >= 0) & (array <= levels - 1))  # NaN is wrong too
    return wrong | (array != np.round(array)) if array.dtype.kind == "f" else wrong


def _labels(array: NDArray[Any], where: str) -> Tensor:
    if array.dtype.kind not in "biu" or array.size != len(array):
        raise ValueError(f"{where} is {array.dtype} {array.shape}; labels must be whole numbers (N,)")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))
